"""The decoder of records: each becomes an event, a forget, a skip, or it is filtered.

A record with a key and a null value is a *forget*.  A record that decodes, is valid and has an
event time is an event.  Every other record is a *skip*: it becomes a dead letter with the
:class:`RecordError` that states the reason.  A spec may also filter records, and let records with
a value forget their key (``envelope.py``).  What a record becomes does not depend on any other
record, so it is the same in every micro-batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from stream_rnn.errors import FeatureError, RecordError
from stream_rnn.fold.envelope import Envelope, NoEvent
from stream_rnn.fold.event_time import (
    TIME_MS_MAX,
    TIME_MS_MIN,
    latest_ms,
    parse_numbers_ms,
    parse_time_ms,
)
from stream_rnn.fold.fields import build_row_type, column_reader
from stream_rnn.fold.record_limits import check_key, check_size, not_json
from stream_rnn.fold.schema_errors import schema_error
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.settings import Settings

NO_TIMESTAMP = -1
STAMP_MAX = 1 << 62


class Record(Protocol):
    """A record of the source, such as aiokafka's ``ConsumerRecord``."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka's timestamp in milliseconds; -1 for none."""

    @property
    def key(self) -> bytes | None:
        """Key to which a hidden state belongs."""

    @property
    def value(self) -> bytes | None:
        """Event as JSON, or ``None`` to forget the key."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Headers, which are only copied to a dead letter."""


class LogRecord(NamedTuple):
    """A record from a file or a test instead of Kafka."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class DecodedRecords:
    """What the records of a micro-batch are; a row is the index of a record in it.

    Attributes:
        rows: (N,) Row of each event, ascending.
        keys: N record keys.
        time_ms: (N,) Event times.
        moves_to_ms: (N,) Time to which each event moves stream time: its event time, or a time
            before the year 1 if its record has no timestamp to confirm the event time.
        columns: N values for the path of each field; ``None`` for a missing value.
        forgets: Rows of forgets.
        skips: Error of each skipped row.
        filtered: Rows of filtered records.
    """

    rows: NDArray[np.int64]
    keys: list[bytes]
    time_ms: NDArray[np.int64]
    moves_to_ms: NDArray[np.int64]
    columns: dict[str, list[Any]]
    forgets: list[int]
    skips: dict[int, RecordError]
    filtered: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Decoded:
    """The records of a micro-batch that are decoded one by one."""

    rows: list[int] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    envelopes: list[Any] = field(default_factory=list)  # with the event time, if it is not inside
    forgets: list[int] = field(default_factory=list)
    skips: dict[int, RecordError] = field(default_factory=dict)
    filtered: list[int] = field(default_factory=list)


class Decoder:
    """Decodes a micro-batch of JSON records into one column for each field that the spec names.

    Args:
        spec: Feature spec with the fields and the event time.
        settings: Bounds of keys, values and event times.
        with_targets: Whether to also decode the fields that only the labels of the heads need.

    Attributes:
        time_ms_max: Greatest valid event time and timestamp in milliseconds.

    Raises:
        SpecError: The path of a head is the parent of another path, or passes through a value.
    """

    def __init__(
        self, spec: FeatureSpec, settings: Settings, *, with_targets: bool = False
    ) -> None:
        self._settings = settings
        self._time = spec.event.time
        self.time_ms_max = latest_ms(settings.event_year_max)
        fields = spec.fields(with_targets=with_targets)
        self._paths = tuple(field.path for field in fields)
        self._columns = [column_reader(field) for field in fields]
        event = TypeAdapter(build_row_type(fields)).validator
        self._validate, self._validate_content = event.validate_json, event.validate_python
        self._names = {name for path in self._paths for name in split_path(path)}
        self._envelope = Envelope(spec.event, settings) if spec.event.is_enveloped else None
        self._validate_envelope = None
        if self._time is not None and spec.event.unwrap is not None:
            outer = TypeAdapter(build_row_type([spec.time_field()])).validator
            self._validate_envelope = outer.validate_python
            self._read_times = column_reader(spec.time_field())
            self._names.update(split_path(self._time.path))

    def decode(self, records: Sequence[Record]) -> DecodedRecords:
        """Decode records; a bad record does not affect the others."""
        keys = [record.key for record in records]
        one_by_one = _Decoded()
        events = self._decode_all(keys, [record.value for record in records])
        if events is None:
            one_by_one = self._decode_each(records)
            rows, events = one_by_one.rows, one_by_one.events
            timestamps = [records[row].timestamp for row in rows]
            keys = [keys[row] for row in rows]
        else:
            rows = list(range(len(events)))
            timestamps = [record.timestamp for record in records]
        columns = {
            path: column(events) for path, column in zip(self._paths, self._columns, strict=True)
        }
        stamps = np.array(timestamps, np.int64)
        time_ms, undated = self._event_times(columns, one_by_one.envelopes, stamps)
        decoded = DecodedRecords(
            rows=np.array(rows, np.int64),
            keys=cast("list[bytes]", keys),
            time_ms=time_ms,
            moves_to_ms=np.where(stamps == NO_TIMESTAMP, TIME_MS_MIN - 1, time_ms),
            columns=columns,
            forgets=one_by_one.forgets,
            skips=one_by_one.skips,
            filtered=one_by_one.filtered,
        )
        return skip_events(decoded, undated) if undated else decoded

    def _decode_all(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None]
    ) -> list[Any] | None:
        """Return the events if every record is an event, else ``None``."""
        if self._envelope is not None or None in keys or None in values or not keys:
            return None
        key_bytes, value_bytes = cast("Sequence[bytes]", keys), cast("Sequence[bytes]", values)
        if max(map(len, key_bytes)) > self._settings.key_bytes_max:
            return None
        if max(map(len, value_bytes)) > self._settings.value_bytes_max:
            return None
        try:
            return list(map(self._validate, value_bytes))
        except ValidationError:
            return None

    def _decode_each(self, records: Sequence[Record]) -> _Decoded:
        decoded = _Decoded()
        rows, events, validate = decoded.rows, decoded.events, self._validate
        key_bytes_max = self._settings.key_bytes_max
        value_bytes_max = self._settings.value_bytes_max
        for row, record in enumerate(records):
            key, value = record.key, record.value
            try:
                if self._envelope is not None:
                    self._open(row, record, self._envelope, decoded)
                    continue
                if key is None or len(key) > key_bytes_max:
                    check_key(key, self._settings)
                if value is None:
                    decoded.forgets.append(row)
                    continue
                if len(value) > value_bytes_max:
                    check_size(value, self._settings)
                events.append(validate(value))
                rows.append(row)
            except ValidationError as error:
                decoded.skips[row] = schema_error(error, self._names, value or b"", record.headers)
            except RecordError as error:
                decoded.skips[row] = error
        return decoded

    def _open(self, row: int, record: Record, envelope: Envelope, decoded: _Decoded) -> None:
        """Open the envelope of a record, and add what is inside."""
        try:
            content = envelope.open(record.key, record.value)
        except ValueError:
            raise not_json(record.value or b"", record.headers) from None
        if content is NoEvent.FORGET:
            decoded.forgets.append(row)
        elif content is NoEvent.FILTERED:
            decoded.filtered.append(row)
        else:
            event = self._validate_content(envelope.unwrap(content))
            if self._validate_envelope is not None:
                decoded.envelopes.append(self._validate_envelope(content))
            decoded.events.append(event)
            decoded.rows.append(row)

    def _event_times(
        self,
        columns: Mapping[str, list[Any]],
        envelopes: Sequence[Any],
        timestamps: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], dict[int, RecordError]]:
        """Return event times in ms, and the errors of the events without a valid time."""
        errors: dict[int, RecordError] = {}
        if self._time is None:
            times = timestamps.copy()
            for i in np.flatnonzero(timestamps < 0).tolist():
                errors[i] = FeatureError("no_timestamp", "the record has no timestamp")
            for i in np.flatnonzero(timestamps > TIME_MS_MAX).tolist():
                message = "the record's timestamp lies beyond the year 9999"
                errors[i] = FeatureError("time_out_of_bounds", message)
        else:
            is_inside = self._validate_envelope is None
            raws = columns[self._time.path] if is_inside else self._read_times(envelopes)
            rounded = parse_numbers_ms(raws, self._time.unit)
            times = np.zeros(len(timestamps), np.int64) if rounded is None else rounded
            if rounded is None:
                for i, raw in enumerate(raws):
                    try:
                        times[i] = parse_time_ms(raw, self._time)
                    except RecordError as error:
                        errors[i] = error
        if self._settings.event_year_max is not None:
            self._check_year(times, timestamps, errors)
        self._check_ahead(times, timestamps, errors)
        return times, errors

    def _check_year(
        self,
        times: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        errors: dict[int, RecordError],
    ) -> None:
        """Add the errors of the events after the last year."""
        for i in np.flatnonzero(np.maximum(times, timestamps) > self.time_ms_max).tolist():
            what = "event time" if times[i] > self.time_ms_max else "record's timestamp"
            message = f"the {what} lies beyond event_year_max {self._settings.event_year_max}"
            errors.setdefault(i, FeatureError("time_out_of_bounds", message))

    def _check_ahead(
        self,
        times: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        errors: dict[int, RecordError],
    ) -> None:
        """Add the errors of the events that are too far ahead of their records."""
        # A timestamp may be any int64; it is clipped so that the difference cannot overflow.
        stamps = np.clip(timestamps, -STAMP_MAX, STAMP_MAX)
        ahead = times - stamps > self._settings.event_time_ahead_max_s * 1000
        for i in np.flatnonzero(ahead & (timestamps != NO_TIMESTAMP)).tolist():
            seconds = (int(times[i]) - int(timestamps[i])) / 1000
            limit = self._settings.event_time_ahead_max_s
            message = (
                f"the event is {seconds:.0f} s later than its record's timestamp; "
                f"event_time_ahead_max_s is {limit:g}"
            )
            errors.setdefault(i, FeatureError("time_ahead", message))


def skip_events(decoded: DecodedRecords, errors: Mapping[int, RecordError]) -> DecodedRecords:
    """Turn some events into skips.

    Args:
        decoded: Decoded records.
        errors: Error of each event to skip, by the number of the event (not its row).
    """
    is_valid = np.ones(len(decoded.rows), bool)
    for i, error in errors.items():
        decoded.skips[int(decoded.rows[i])] = error
        is_valid[i] = False
    valid = np.flatnonzero(is_valid)
    return DecodedRecords(
        rows=decoded.rows[valid],
        keys=[decoded.keys[i] for i in valid],
        time_ms=decoded.time_ms[valid],
        moves_to_ms=decoded.moves_to_ms[valid],
        columns={path: [column[i] for i in valid] for path, column in decoded.columns.items()},
        forgets=decoded.forgets,
        skips=decoded.skips,
        filtered=decoded.filtered,
    )
