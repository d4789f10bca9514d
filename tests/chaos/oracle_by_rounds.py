"""The reference for many records: the oracle's rules, with one step for many keys at a time.

It decodes and encodes each record by itself, once for all folds, as ``tests/oracle.py`` does.  Then
it steps the first events of all keys together, then the second ones, and so on to the end of the
log.  It has no micro-batches, cache, Redis or Kafka, and it leaves out what the bundles of the chaos
suite do not have: lags, surprises and envelopes.  ``tests/unit/test_oracle_by_rounds.py`` compares
it with the oracle that folds one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from tests import oracle


@dataclass(frozen=True, slots=True)
class Event:
    """One valid event, encoded but for the time since the previous one of its key."""

    record: Record
    time_ms: int
    x: NDArray[np.float32]


@dataclass(slots=True)
class Prepared:
    """Records of one partition, each of them decoded and encoded by itself.

    Attributes:
        records: Records in the order of the log.
        events: Valid events by offset.
        errors: Last error code of each record that has one, by offset.
        forgets: Offsets of the records that forget their key.
    """

    records: Sequence[Record]
    events: dict[int, Event] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    forgets: set[int] = field(default_factory=set)


def prepare(model: Model, settings: Settings, records: Sequence[Record]) -> Prepared:
    """Decode and encode records one by one, for every fold with this feature spec."""
    spec = model.spec
    assert not spec.event.is_enveloped, "an envelope needs tests/oracle.py"
    assert not len(model.encoder.lag_columns), "lags need tests/oracle.py"
    assert not oracle.rating_heads(model), "surprises need tests/oracle.py"
    prepared, decoder = Prepared(records), Decoder(spec, settings)
    for record in records:
        decoded = decoder.decode([record])
        x, errors = model.encoder.encode(decoded.columns, decoded.time_ms)
        for error in [*decoded.skips.values(), *errors.values()]:
            prepared.errors[record.offset] = error.code
        if decoded.forgets:
            prepared.forgets.add(record.offset)
        elif len(decoded.rows) and not errors:
            prepared.events[record.offset] = Event(record, int(decoded.time_ms[0]), x[0])
    return prepared


@dataclass(slots=True)
class Predictions(Mapping[int, dict[str, Any]]):
    """Predictions by offset; the content of each one is made when it is asked for.

    Attributes:
        of: Function that returns the content of a prediction: event, y (O,), steps.
        made: Event, y and steps of each prediction, by offset.
    """

    of: Any
    made: dict[int, tuple[Event, NDArray[np.float32], int]] = field(default_factory=dict)

    def __getitem__(self, offset: int) -> dict[str, Any]:
        return self.of(*self.made[offset])

    def __iter__(self) -> Iterator[int]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


@dataclass(slots=True)
class _Key:
    """The events of one key that are still to be stepped, the next one last, and its state.

    An event comes with stream time as it is after its record; ``None`` forgets the key.
    """

    ahead: list[tuple[Event, int | None] | None] = field(default_factory=list)
    steps: int = 0
    last_ms: int = 0
    h: NDArray[np.float32] | None = None

    def next_event(self) -> tuple[Event, int | None] | None:
        """Take the next event; forget what is to be forgotten before it, or after the last one."""
        while self.ahead:
            item = self.ahead.pop()
            if item is not None:
                return item
            self.steps = 0
        return None


def fold(
    model: Model,
    settings: Settings,
    prepared: Prepared,
    offsets: range,
    topic: str = "events",
    partition: int = 0,
) -> oracle.Truth:
    """Fold the prepared records of a range of offsets."""

    def content(event: Event, y: NDArray[np.float32], steps: int) -> dict[str, Any]:
        return oracle.prediction(
            model, settings, event.record, torch.from_numpy(y[None]), event.time_ms, steps, topic, partition
        )  # fmt: skip

    truth = oracle.Truth(predictions=Predictions(content))
    keys = _in_order(prepared, offsets, settings, truth)
    active = list(keys.values())
    while active:
        active = _round(model, settings, active, truth)
    for name, key in keys.items():
        if key.steps:
            truth.states[name] = (key.steps, key.last_ms, key.h.tobytes())
    return truth


def _in_order(
    prepared: Prepared, offsets: range, settings: Settings, truth: oracle.Truth
) -> dict[bytes, _Key]:
    """Return what happens to each key; advance stream time, and note the bad records."""
    keys: dict[bytes, _Key] = {}
    for record in prepared.records:
        offset = record.offset
        if offset not in offsets:
            continue
        if (code := prepared.errors.get(offset)) is not None:
            truth.dead_letters[offset] = code
        if offset in prepared.forgets:
            truth.forget(record, settings)
            keys.setdefault(record.key, _Key()).ahead.append(None)
        elif (event := prepared.events.get(offset)) is not None:
            truth.move_to(record, event.time_ms)
            keys.setdefault(record.key, _Key()).ahead.append((event, truth.stream_ms))
    for key in keys.values():
        key.ahead.reverse()
    return keys


def _round(model: Model, settings: Settings, active: list[_Key], truth: oracle.Truth) -> list[_Key]:
    """Step the next event of each key; return the keys that had one."""
    ttl_ms = None if settings.state_ttl is None else settings.state_ttl * 1000
    keys, events, steps, since_ms = [], [], [], []
    for key in active:
        if (item := key.next_event()) is None:
            continue
        event, stream_ms = item
        is_old = ttl_ms is not None and stream_ms is not None and stream_ms - key.last_ms > ttl_ms
        steps.append(0 if is_old else key.steps)
        since_ms.append(float(max(event.time_ms - key.last_ms, 0)) if steps[-1] else np.nan)
        keys.append(key)
        events.append(event)
    if not keys:
        return keys
    x, empty = np.stack([event.x for event in events]), np.zeros(model.hidden_shape, np.float32)
    model.encoder.fill_since_previous(x, np.array(since_ms))
    before = np.stack([key.h if old else empty for key, old in zip(keys, steps, strict=True)])
    y, h = model.step(torch.from_numpy(x), torch.from_numpy(before))
    is_finite = (torch.isfinite(y).all(1) & torch.isfinite(h).flatten(1).all(1)).tolist()
    y, h, made = y.numpy().copy(), h.numpy().copy(), truth.predictions.made
    for row, (key, event) in enumerate(zip(keys, events, strict=True)):
        if not is_finite[row]:
            truth.dead_letters[event.record.offset] = "step_not_finite"
            continue
        key.last_ms = max(key.last_ms, event.time_ms) if steps[row] else event.time_ms
        key.steps, key.h = steps[row] + 1, h[row]
        made[event.record.offset] = event, y[row], key.steps
    return keys
