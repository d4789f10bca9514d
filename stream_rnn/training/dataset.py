"""From records to training examples, by the fold's own decoder and runs.

What the heads ask for is read beside, as evaluation reads it: it decides nothing about what is an
event, so training sees the events, and with them the features, that a worker sees.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import Decoder, Record, skip_events
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.logs import Log, topic_partitions
from stream_rnn.settings import Settings
from stream_rnn.training.examples import Examples, fit
from stream_rnn.training.labels import Labels, value_at
from stream_rnn.training.splits import Placed, column_of, split_parts
from stream_rnn.training.targets import Questions, Runs

RECORDS_A_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Events:
    """The valid events of a log, and where they come from.  N events.

    Attributes:
        examples: as training sees them, all in the training part.
        keys: N record keys.
        partition: (N,) source partitions.
        offset: (N,) source offsets.
        words: N values of the column that a split goes by; empty if it goes by none.
        skips: how many records were skipped, by reason.
    """

    examples: Examples
    keys: list[bytes]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    words: list[Any]
    skips: dict[str, int]

    @property
    def placed(self) -> Placed:
        """What a split looks at."""
        time_ms = self.examples.time_ms
        return Placed(self.keys, time_ms, self.partition, self.offset, self.words)


@dataclass(slots=True)
class _Taken:
    """What was decoded so far.  A value that stands in many events is held once."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    labels: dict[str, list[Any]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    times: list[NDArray[np.int64]] = field(default_factory=list)
    moves: list[NDArray[np.int64]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    words: list[Any] = field(default_factory=list)
    forgets: list[tuple[int, bytes]] = field(default_factory=list)
    skips: dict[str, int] = field(default_factory=dict)
    held: dict[Any, Any] = field(default_factory=dict)

    def once(self, values: Iterable[Any]) -> list[Any]:
        """Return values, equal ones as one object."""
        hold = self.held.setdefault
        return [hold(v, v) if type(v) in (str, bytes) else v for v in values]


class EventTaker:
    """Decodes one partition's records, some at a time.

    Args:
        spec: what an event is.
        settings: what is skipped and what expires.
        partition: its number.
        labels: of the heads that need some.
        split_column: dotted path of the field that a split goes by.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        partition: int = 0,
        labels: Labels | None = None,
        split_column: str | None = None,
    ) -> None:
        self._decoder = Decoder(spec, settings)
        self._encoder = Encoder(spec)
        self._settings = settings
        self._partition = partition
        self._questions = Questions(spec, settings, labels)
        self._split_column = split_column
        self._taken = _Taken()
        self._row = 0

    def take(self, batch: Sequence[Record]) -> None:
        """Decode the next records, in offset order."""
        taken = self._taken
        for first in range(0, len(batch), RECORDS_A_BATCH):
            records = batch[first : first + RECORDS_A_BATCH]
            _take(taken, records, self._row, self._decoder, self._encoder)
            chosen = [records[i - self._row] for i in taken.rows[len(taken.offsets) :]]
            taken.offsets += [record.offset for record in chosen]
            for name, values in self._questions.answers(self._partition, chosen).items():
                taken.labels.setdefault(name, []).extend(taken.once(values))
            if (column := self._split_column) is not None:
                taken.words += taken.once(value_at(r.value, column) for r in chosen)
            self._row += len(records)

    def events(self) -> Events:
        """Return what was taken: the events, perhaps none."""
        return _events(self._taken, self._settings, self._partition)


def make_events(
    batches: Iterable[Sequence[Record]], spec: FeatureSpec, settings: Settings, **more: Any
) -> Events:
    """Decode one partition's records; ``more`` is as of :class:`EventTaker`."""
    taker = EventTaker(spec, settings, **more)
    for batch in batches:
        taker.take(batch)
    return taker.events()


async def read_events(
    log: Log,
    spec: FeatureSpec,
    settings: Settings,
    labels: Labels | None = None,
    split_column: str | None = None,
) -> Events:
    """Decode a log, partition by partition.

    Raises:
        SpecError: there is no event at all.
        ConfigError: labels do not say of which partition they are, or none is of an event.
    """
    parts, ranges = [], await log.ranges()
    if labels is not None:
        labels.check(log.name, topic_partitions(ranges))
    for wanted in ranges:
        taker = EventTaker(spec, settings, wanted.partition, labels, split_column)
        async for batch in log.batches(wanted):
            taker.take(batch)
        parts.append(taker.events())
    found = together(parts)
    if labels is not None:
        labels.check_joined(log.name)
    return found


async def read_fitted(
    log: Log,
    spec: FeatureSpec,
    settings: Settings,
    split: str,
    labels: Labels | None = None,
) -> tuple[FeatureSpec, Events, Examples]:
    """Decode a log, split it, and fit the spec to the training part.

    An event of another part may be beyond float32 once it is scaled.  The fold skips it, so the log
    is then read again by the fitted spec.

    Returns:
        The fitted spec, the events, and the same as examples with their parts.

    Raises:
        SpecError: there is no event at all, or none to train on.
        ConfigError: the split is none.
    """
    column = column_of(split)
    events = await read_events(log, spec, settings, labels, column)
    examples = with_parts(events, split_parts(split, events.placed))
    fitted = fit(spec, examples)
    if Encoder(fitted).encode(examples.columns, examples.time_ms)[1]:
        events = await read_events(log, fitted, settings, labels, column)
        examples = with_parts(events, split_parts(split, events.placed))
    return fitted, events, examples


def _take(
    taken: _Taken, records: Sequence[Record], row: int, decoder: Decoder, encoder: Encoder
) -> None:
    decoded = decoder.decode(records)
    _, errors = encoder.encode(decoded.columns, decoded.time_ms)
    decoded = skip_events(decoded, errors) if errors else decoded
    for path, column in decoded.columns.items():
        taken.columns.setdefault(path, []).extend(taken.once(column))
    taken.rows += (decoded.rows + row).tolist()
    taken.times.append(decoded.time_ms)
    taken.moves.append(decoded.moves_to_ms)
    taken.keys += taken.once(decoded.keys)
    taken.forgets += [(i + row, records[i].key or b"") for i in decoded.forgets]
    for error in decoded.skips.values():
        taken.skips[error.code] = taken.skips.get(error.code, 0) + 1


def _events(taken: _Taken, settings: Settings, partition: int) -> Events:
    count = len(taken.keys)
    time_ms = np.concatenate([np.zeros(0, np.int64), *taken.times])
    stream_ms = rounds.stream_times(np.concatenate([np.zeros(0, np.int64), *taken.moves]), None)
    touched = _touched(taken.keys, np.array(taken.rows, np.int64), taken.forgets)
    nothing = np.zeros(touched.keys, np.int64)
    ttl_ms = settings.state_ttl_ms
    planned = rounds.plan_runs(touched, time_ms, stream_ms, nothing > 0, nothing, nothing, ttl_ms)
    closes = np.zeros(len(planned.first), bool)
    closes[planned.last_run[planned.last_run >= 0]] = True
    examples = Examples(
        columns=taken.columns,
        time_ms=time_ms,
        since_ms=planned.since_ms,
        runs=Runs(planned.order, planned.first, planned.length, closes),
        part=np.zeros(count, np.int8),
        labels=taken.labels,
    )
    return Events(
        examples=examples,
        keys=taken.keys,
        partition=np.full(count, partition, np.int32),
        offset=np.array(taken.offsets, np.int64),
        words=taken.words,
        skips=taken.skips,
    )


def together(parts: Sequence[Events]) -> Events:
    """Join the events of several partitions: their runs stay apart.

    Raises:
        SpecError: there is no event at all.
    """
    skips: dict[str, int] = {}
    for part in parts:
        for code, count in part.skips.items():
            skips[code] = skips.get(code, 0) + count
    if not any(part.keys for part in parts):
        raise SpecError(f"no record of the log is a valid event; skipped: {skips or 'none'}")
    parts = [part for part in parts if part.keys]
    begin = np.cumsum([0, *(len(part.keys) for part in parts)])
    each = [part.examples for part in parts]
    examples = Examples(
        columns={path: [v for e in each for v in e.columns[path]] for path in each[0].columns},
        time_ms=np.concatenate([e.time_ms for e in each]),
        since_ms=np.concatenate([e.since_ms for e in each]),
        runs=Runs(
            np.concatenate([e.runs.order + at for e, at in zip(each, begin, strict=False)]),
            np.concatenate([e.runs.first + at for e, at in zip(each, begin, strict=False)]),
            np.concatenate([e.runs.length for e in each]),
            np.concatenate([e.runs.closes for e in each]),
        ),
        part=np.concatenate([e.part for e in each]),
        labels={name: [v for e in each for v in e.labels[name]] for name in each[0].labels},
    )
    return Events(
        examples=examples,
        keys=[key for part in parts for key in part.keys],
        partition=np.concatenate([part.partition for part in parts]),
        offset=np.concatenate([part.offset for part in parts]),
        words=[word for part in parts for word in part.words],
        skips=skips,
    )


def with_parts(events: Events, part: NDArray[np.int8]) -> Examples:
    """Return the examples with the part of each event."""
    return replace(events.examples, part=part)


def _touched(
    keys: list[bytes], rows: NDArray[np.int64], forgets: list[tuple[int, bytes]]
) -> rounds.KeyedEvents:
    number: dict[bytes, int] = {}
    key = [number.setdefault(k, len(number)) for k in keys]
    key += [number.setdefault(k, len(number)) for _, k in forgets]
    event = np.concatenate([np.arange(len(rows)), np.full(len(forgets), -1)]).astype(np.int64)
    at = np.concatenate([rows, np.array([row for row, _ in forgets], np.int64)])
    in_order = np.argsort(at, kind="stable")
    return rounds.KeyedEvents(np.array(key, np.int64)[in_order], event[in_order], len(number))
