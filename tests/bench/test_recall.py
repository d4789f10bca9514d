"""At which distance does each cell still remember?  Figures, never a verdict.

pytest -m bench tests/bench/test_recall.py -s

A key shows a bit at its first event, then noise, and is asked for the bit at its last event.  One
bundle for each cell is trained on all distances; then fresh keys go through the streaming path:
the worker's processor, the hidden state kept between micro-batches as it is in production.
"""

import asyncio

import numpy as np
import pytest
import torch

from stream_rnn.evaluation.outcomes import fold_outcomes
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.logs import Range
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import make_events, with_parts
from stream_rnn.training.examples import fit
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

DISTANCES = (10, 30, 100, 300, 1000)
KEYS_TRAINED, KEYS_ASKED = 48, 100  # of each distance
SETTINGS = Settings.build(app="recall", source="recall", batch_events_max=1000)
SPEC = FeatureSpec.parse(
    {
        "name": "recall",
        "features": [
            {"kind": "numeric", "name": n, "path": n, "scaling": "none", "missing": "mean"}
            for n in ("shown", "noise", "asked")
        ],
        "heads": [{"kind": "binary", "name": "bit", "of": "now", "path": "bit"}],
    },
    "recall",
)


def records_of(keys: int, seed: int) -> list[LogRecord]:
    """Make keys of all distances, their events in turn as a stream has them."""
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
    """A log in memory."""

    name = "recall"

    def __init__(self, records) -> None:
        self.records = records

    async def ranges(self):
        """Return all of it."""
        return [Range(0, 0, None)]

    async def batches(self, _wanted):
        """Yield all of it."""
        yield self.records


@pytest.mark.parametrize("memory", [0, 1000])
@pytest.mark.parametrize("kind", ["elman", "gru", "lstm"])
def test_recall_by_distance(kind, memory):
    """Print the share of bits that are recalled; a guess is right half the time."""
    if kind == "elman" and memory:
        pytest.skip("an Elman cell has no gates to set")
    torch.set_num_threads(2)
    events = make_events([records_of(KEYS_TRAINED, 1)], SPEC, SETTINGS)
    number = np.array([int(key.partition(b"-")[2]) for key in events.keys])
    examples = with_parts(events, np.where(number % 8 == 0, 1, 0).astype(np.int8))
    how = TrainingSettings(
        epochs=20,
        patience=20,
        window=1024,
        chrono_steps=memory,
        batch_sequences=16,
        learning_rate=5e-3,
    )
    model = train(fit(SPEC, examples), CellSpec(kind=kind, hidden=32), examples, how).model
    torch.set_num_threads(1)
    found = asyncio.run(fold_outcomes(Log(records_of(KEYS_ASKED, 2)), model, SETTINGS))
    target = found.targets["bit"]
    asked = np.isfinite(target)
    distance = np.array([int(found.keys[k].partition(b"-")[0]) for k in found.key.tolist()])
    right = (found.outputs["bit"] > 0.5) == (target > 0)
    shares = {d: float(right[asked & (distance == d)].mean()) for d in DISTANCES}
    assert asked.sum() == KEYS_ASKED * len(DISTANCES)
    print(f"\n{kind:5} memory {memory:4}: " + "  ".join(f"{d}: {s:.2f}" for d, s in shares.items()))
