"""The data set: records of a log become training examples, by the decoder of the fold.

The targets of the heads are decoded separately, as in evaluation, and never decide which records
are events.  So training sees the same events and features as a worker.
"""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import Decoder, Record, skip_events
from stream_rnn.fold.ticks import Tick, find_ticks, stream_times
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log, is_sorted, topic_partitions
from stream_rnn.replay.no_event import explain_no_event
from stream_rnn.settings import Settings
from stream_rnn.training.examples import Examples, fit
from stream_rnn.training.labels import Labels, value_at
from stream_rnn.training.splits import SplitEvents, column_of, split_parts
from stream_rnn.training.targets import Runs, TargetDecoder

RECORDS_PER_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Events:
    """N valid events of a log, with their places in it.

    Attributes:
        examples: The events as examples, all in the training part.
        keys: The N record keys.
        partition: Source partitions (N,).
        offset: Source offsets (N,).
        split_values: N values of the split column; empty if the split has no column.
        skips: Number of skipped records by reason; ``filtered`` counts those that are filtered.
    """

    examples: Examples
    keys: list[bytes]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    split_values: list[Any]
    skips: dict[str, int]

    @property
    def split_events(self) -> SplitEvents:
        """The events, as a split reads them."""
        time_ms = self.examples.time_ms
        return SplitEvents(self.keys, time_ms, self.partition, self.offset, self.split_values)


@dataclass(slots=True)
class _CollectedEvents:
    """The events that are decoded so far; equal texts share one object."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    labels: dict[str, list[Any]] = field(default_factory=dict)
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    times: list[NDArray[np.int64]] = field(default_factory=list)
    moves: list[NDArray[np.int64]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    split_values: list[Any] = field(default_factory=list)
    forgets: list[tuple[int, bytes]] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    skips: dict[str, int] = field(default_factory=dict)
    interned: dict[Any, Any] = field(default_factory=dict)

    def intern(self, values: Iterable[Any]) -> list[Any]:
        """Return the values, with one object for all equal texts, which saves memory."""
        intern = self.interned.setdefault
        return [intern(v, v) if type(v) in (str, bytes) else v for v in values]


class EventCollector:
    """Collects the events of one partition from batches of records.

    Args:
        spec: Feature spec.
        settings: Settings of the fold.
        partition: Number of the partition.
        labels: Labels of the heads with ``of = "label"``.
        split_column: Dotted path of the split column.
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
        self._target_decoder = TargetDecoder(spec, settings, labels)
        self._split_column = None if split_column is None else spec.event.path_of(split_column)
        self._collected = _CollectedEvents()
        self._row = 0

    def add(self, batch: Sequence[Record]) -> None:
        """Decode the next records, in offset order."""
        collected = self._collected
        for first in range(0, len(batch), RECORDS_PER_BATCH):
            records = batch[first : first + RECORDS_PER_BATCH]
            _decode(collected, records, self._row, self._decoder, self._encoder)
            valid = [records[i] for i in (collected.rows[-1] - self._row).tolist()]
            collected.offsets.append(np.array([record.offset for record in valid], np.int64))
            for name, values in self._target_decoder.decode(self._partition, valid).items():
                collected.labels.setdefault(name, []).extend(collected.intern(values))
            if (column := self._split_column) is not None:
                contents = map(self._target_decoder.contents.of, valid)
                values_of_split = (value_at(content, column) for content in contents)
                collected.split_values += collected.intern(values_of_split)
            self._row += len(records)

    @property
    def has_events(self) -> bool:
        """Whether a record was an event."""
        return bool(self._collected.keys)

    def events(self) -> Events:
        """Return all collected events; there may be none."""
        return _build_events(self._collected, self._settings, self._partition)


def make_events(
    batches: Iterable[Sequence[Record]], spec: FeatureSpec, settings: Settings, **options: Any
) -> Events:
    """Decode the records of one partition; ``options`` are those of :class:`EventCollector`."""
    collector = EventCollector(spec, settings, **options)
    for batch in batches:
        collector.add(batch)
    return collector.events()


def read_events(
    log: Log,
    spec: FeatureSpec,
    settings: Settings,
    labels: Labels | None = None,
    split_column: str | None = None,
) -> Events:
    """Decode a log, partition by partition.

    Args:
        log: Log to read; not opened.
        spec: Feature spec.
        settings: Settings of the fold.
        labels: Labels of the heads with ``of = "label"``.
        split_column: Dotted path of the split column.

    Raises:
        SpecError: The log contains no valid event.
        ConfigError: The log has several partitions and the labels do not name them, or no label
            joins an event.
    """

    async def collect() -> list[EventCollector]:
        collectors = []
        async with log:
            ranges = await log.ranges()
            if labels is not None:
                labels.check(log.name, topic_partitions(ranges), is_sorted=is_sorted(log))
            for log_range in ranges:
                part = EventCollector(spec, settings, log_range.partition, labels, split_column)
                collectors.append(part)
                async with aclosing(log.batches(log_range)) as batches:
                    async for batch in batches:
                        part.add(batch)
            if not any(part.has_events for part in collectors):
                raise SpecError(await explain_no_event(log, spec, settings))
        return collectors

    # Ctrl-C interrupts the coroutine only where it waits, and all other code at once.
    events = concatenate_events([part.events() for part in run_coroutine(collect())])
    if labels is not None:
        labels.check_joined(log.name)
    return events


def read_fitted(
    log: Log,
    spec: FeatureSpec,
    settings: Settings,
    split: str,
    labels: Labels | None = None,
) -> tuple[FeatureSpec, Events, Examples]:
    """Decode a log, split it, and fit the spec to the training part.

    The fold skips an event with a scaled value that is too large for float32.  If another part has
    such an event, the log is read again with the fitted spec.

    Args:
        log: Log to read; not opened.
        spec: Feature spec, not fitted.
        settings: Settings of the fold.
        split: Split of the log, see :mod:`stream_rnn.training.splits`.
        labels: Labels of the heads with ``of = "label"``.

    Returns:
        The fitted spec, the events, and the events as examples with their parts.

    Raises:
        SpecError: The log contains no valid event, or none in the training part.
        ConfigError: The split is invalid.
    """
    column = column_of(split)
    events = read_events(log, spec, settings, labels, column)
    examples = with_parts(events, split_parts(split, events.split_events))
    fitted = fit(spec, examples)
    if Encoder(fitted).encode(examples.columns, examples.time_ms)[1]:
        events = read_events(log, fitted, settings, labels, column)
        examples = with_parts(events, split_parts(split, events.split_events))
    return fitted, events, examples


def _decode(
    collected: _CollectedEvents,
    records: Sequence[Record],
    row: int,
    decoder: Decoder,
    encoder: Encoder,
) -> None:
    decoded = decoder.decode(records)
    _, errors = encoder.encode(decoded.columns, decoded.time_ms)
    decoded = skip_events(decoded, errors) if errors else decoded
    for path, column in decoded.columns.items():
        collected.columns.setdefault(path, []).extend(collected.intern(column))
    collected.rows.append(decoded.rows + row)
    collected.times.append(decoded.time_ms)
    collected.moves.append(decoded.moves_to_ms)
    collected.keys += collected.intern(decoded.keys)
    collected.ticks += [
        (i + row, ms) for i, ms in find_ticks(records, decoded.forgets, decoder.time_ms_max)
    ]
    collected.forgets += [(i + row, records[i].key or b"") for i in decoded.forgets]
    for error in decoded.skips.values():
        collected.skips[error.code] = collected.skips.get(error.code, 0) + 1
    if decoded.filtered:
        filtered = collected.skips.get("filtered", 0) + len(decoded.filtered)
        collected.skips["filtered"] = filtered


def _build_events(collected: _CollectedEvents, settings: Settings, partition: int) -> Events:
    count = len(collected.keys)
    time_ms = np.concatenate([np.zeros(0, np.int64), *collected.times])
    moves_ms = np.concatenate([np.zeros(0, np.int64), *collected.moves])
    rows = np.concatenate([np.zeros(0, np.int64), *collected.rows])
    stream_ms, _ = stream_times(rows, moves_ms, collected.ticks, None)
    keyed = _keyed_events(collected.keys, rows, collected.forgets)
    zeros = np.zeros(keyed.keys, np.int64)  # no key has a memory before the log
    ttl_ms = settings.state_ttl_ms
    planned = rounds.plan_runs(keyed, time_ms, stream_ms, zeros > 0, zeros, zeros, ttl_ms)
    closes = np.zeros(len(planned.first), bool)
    closes[planned.last_run[planned.last_run >= 0]] = True
    examples = Examples(
        columns=collected.columns,
        time_ms=time_ms,
        since_ms=planned.since_ms,
        runs=Runs(planned.order, planned.first, planned.length, closes),
        part=np.zeros(count, np.int8),
        labels=collected.labels,
    )
    return Events(
        examples=examples,
        keys=collected.keys,
        partition=np.full(count, partition, np.int32),
        offset=np.concatenate([np.zeros(0, np.int64), *collected.offsets]),
        split_values=collected.split_values,
        skips=collected.skips,
    )


def concatenate_events(parts: Sequence[Events]) -> Events:
    """Concatenate the events of several partitions; their runs stay separate.

    Raises:
        SpecError: No partition has a valid event.
    """
    skips: dict[str, int] = {}
    for part in parts:
        for code, count in part.skips.items():
            skips[code] = skips.get(code, 0) + count
    if not any(part.keys for part in parts):
        raise SpecError(f"no record of the log is a valid event; skipped: {skips or 'none'}")
    parts = [part for part in parts if part.keys]
    if len(parts) == 1:
        return replace(parts[0], skips=skips)
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
        split_values=[value for part in parts for value in part.split_values],
        skips=skips,
    )


def with_parts(events: Events, part: NDArray[np.int8]) -> Examples:
    """Return the examples of the events with these parts (N,)."""
    return replace(events.examples, part=part)


def _keyed_events(
    keys: list[bytes], rows: NDArray[np.int64], forgets: list[tuple[int, bytes]]
) -> rounds.KeyedEvents:
    number: dict[bytes, int] = {}
    key = [number.setdefault(k, len(number)) for k in keys]
    key += [number.setdefault(k, len(number)) for _, k in forgets]
    event = np.concatenate([np.arange(len(rows)), np.full(len(forgets), -1)]).astype(np.int64)
    at = np.concatenate([rows, np.array([row for row, _ in forgets], np.int64)])
    in_order = np.argsort(at, kind="stable")
    return rounds.KeyedEvents(np.array(key, np.int64)[in_order], event[in_order], len(number))
