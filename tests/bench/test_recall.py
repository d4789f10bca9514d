"""Measures how many events later each cell still recalls a bit; prints figures.

pytest -m bench tests/bench/test_recall.py -s

The first event of a key contains a bit, the following ones noise, and the last one asks for the
bit.  Each cell trains on all distances at once.  Then new keys pass through the streaming path: the
worker's processor, which keeps the hidden state between micro-batches as in production.
"""

import asyncio
import time

import numpy as np
import pytest
import torch

from stream_rnn.evaluation.advice import EPOCHS_LONG
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.cells import cell_of
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.logs import Range
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import make_events, with_parts
from stream_rnn.training.examples import fit
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

DISTANCES = (10, 30, 100, 300, 1000)
KEYS_TRAINED, KEYS_TESTED = 48, 100  # of each distance
SETTINGS = Settings.build(app="recall", source="recall", batch_events_max=1000)
FEATURES = [
    {"kind": "numeric", "name": n, "path": n, "scaling": "none", "missing": "mean"}
    for n in ("shown", "noise", "asked")
]
SINCE_PREVIOUS = {"kind": "since_previous", "name": "wait"}
CELLS = ("elman", "gru", "lstm", "mingru", "rg_lru", "decay_gru")


def spec_of(kind: str) -> FeatureSpec:
    """Return the spec; only a cell that decays reads the time."""
    features = [*FEATURES, SINCE_PREVIOUS] if kind == "decay_gru" else FEATURES
    head = {"kind": "binary", "name": "bit", "of": "now", "path": "bit"}
    return FeatureSpec.parse({"name": "recall", "features": features, "heads": [head]}, "recall")


def records_of(keys: int, seed: int) -> list[LogRecord]:
    """Return events of keys with all distances, interleaved as in a stream."""
    rng, rows = np.random.default_rng(seed), []
    for distance in DISTANCES:
        for number in range(keys):
            bit = bool(rng.integers(2))
            key = b"%d-%d" % (distance, number)
            noise = rng.normal(0, 1, distance + 1).round(2).tolist()
            for step in range(distance + 1):
                is_last = step == distance
                value = b'{"shown":%d,"noise":%s,"asked":%d,"bit":%s}' % (
                    (2 * bit - 1) if step == 0 else 0,
                    str(noise[step]).encode(),
                    is_last,
                    (b"true" if bit else b"false") if is_last else b"null",
                )
                rows.append((step, key, value))
    rows.sort(key=lambda row: row[0])
    return [LogRecord(i, i, key, value) for i, (_, key, value) in enumerate(rows)]


class Log:
    """A log of one partition in memory."""

    name = "recall"

    def __init__(self, records) -> None:
        self.records = records

    async def ranges(self):
        """Return the whole range."""
        return [Range(0, 0, None)]

    async def batches(self, _range):
        """Yield all records."""
        yield self.records


@pytest.mark.parametrize("kind", CELLS)
def test_recall_by_distance(kind):
    """Print the share of recalled bits by distance; a guess is right half of the time.

    The option is the one that ``train`` suggests when the memory does not help.
    """
    torch.set_num_threads(1)
    spec = spec_of(kind)
    events = make_events([records_of(KEYS_TRAINED, 1)], spec, SETTINGS)
    number = np.array([int(key.partition(b"-")[2]) for key in events.keys])
    examples = with_parts(events, np.where(number % 8 == 0, 1, 0).astype(np.int8))
    training, begin_s = TrainingSettings(epochs=EPOCHS_LONG), time.process_time()
    model = train(fit(spec, examples), cell_of(kind, 32, 1, {}), examples, training).model
    seconds = time.process_time() - begin_s
    outcomes = asyncio.run(predict_with_targets(Log(records_of(KEYS_TESTED, 2)), model, SETTINGS))
    target = outcomes.targets["bit"]
    asked = np.isfinite(target)
    distance = np.array([int(outcomes.keys[k].partition(b"-")[0]) for k in outcomes.key.tolist()])
    right = (outcomes.outputs["bit"] > 0.5) == (target > 0)
    shares = {d: float(right[asked & (distance == d)].mean()) for d in DISTANCES}
    assert asked.sum() == KEYS_TESTED * len(DISTANCES)
    print(
        f"\n{kind:9} {seconds:.0f} CPU s: " + "  ".join(f"{d}: {s:.2f}" for d, s in shares.items())
    )
