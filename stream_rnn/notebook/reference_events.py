"""Raw events with reference outputs, encoded by the decoder and the encoder of the fold."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError, SpecError
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.weights.reference import Reference, Steps
from stream_rnn.replay.logs import make_log
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import Events, read_events


def steps_of_events(spec: FeatureSpec, reference: Reference, path: Path) -> list[Steps]:
    """Return the steps of each key, in the order of its events.

    Args:
        spec: Feature spec, whose ``event.key`` names the key.
        reference: Events and outputs.
        path: Path of the reference, for messages.

    Raises:
        SpecError: The spec has no ``event.key``.
        BundleError: An event is not valid, or contains a line break.
    """
    if not spec.event.key:
        raise SpecError(
            f"--check {path}: events need event.key in the spec, the fields that make the key"
        )
    if any("\n" in text or "\r" in text for text in reference.events):
        raise BundleError(f"--check {path}: an event contains a line break; write JSON in one line")
    settings = Settings.build()
    with TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        log.write_text("\n".join(reference.events) + "\n", encoding="utf-8")
        events = read_events(make_log(settings, spec, rows=log, sort_by_time=False), spec, settings)
    count = len(reference.events)
    if len(events.offset) < count:
        absent = sorted({*range(count)} - {*events.offset.tolist()})
        raise BundleError(
            f"--check {path}: event {absent[0]} is no valid event of the spec ({events.skips}); "
            "leave it out, with its outputs"
        )
    x = _encode(spec, events)
    runs = events.examples.runs
    parts = np.split(runs.order, runs.first[1:])
    return [
        Steps(x[None, at], reference.y[None, events.offset[at]], events.offset[at]) for at in parts
    ]


def _encode(spec: FeatureSpec, events: Events) -> NDArray[np.float32]:
    encoder, examples = Encoder(spec), events.examples
    x, _ = encoder.encode(examples.columns, examples.time_ms)
    encoder.fill_since_previous(x, examples.since_ms)
    return x
