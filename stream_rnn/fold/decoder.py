"""The decoder of records: each becomes an event, a forget or a skip.

A record with a key and a null value is a *forget*.  A record that decodes, is valid and has an
event time is an event.  Every other record is a *skip*: it becomes a dead letter with the
:class:`RecordError` that states the reason.  What a record becomes does not depend on any other
record, so it is the same in every micro-batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from stream_rnn.errors import DecodeError, FeatureError, RecordError
from stream_rnn.fold.fields import build_row_type, column_reader
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings

TIME_MS_MIN = -62_135_596_800_000  # the year 1
TIME_MS_MAX = 253_402_300_799_999  # the year 9999
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
    """The events, forgets and skips of a micro-batch; a row is the index of a record in it.

    Attributes:
        rows: (N,) Row of each event, ascending.
        keys: N record keys.
        time_ms: (N,) Event times.
        moves_to_ms: (N,) Time to which each event moves stream time: its event time, or a time
            before the year 1 if its record has no timestamp to confirm the event time.
        columns: N values for the path of each field; ``None`` for a missing value.
        forgets: Rows of forgets.
        skips: Error of each skipped row.
    """

    rows: NDArray[np.int64]
    keys: list[bytes]
    time_ms: NDArray[np.int64]
    moves_to_ms: NDArray[np.int64]
    columns: dict[str, list[Any]]
    forgets: list[int]
    skips: dict[int, RecordError]


class Decoder:
    """Decodes a micro-batch of JSON records into one column for each field that the spec names.

    Args:
        spec: Feature spec with the fields and the event time.
        settings: Bounds of keys, values and event times.
        with_targets: Whether to also decode the fields that only the labels of the heads need.

    Raises:
        SpecError: The path of a head is the parent of another path, or passes through a value.
    """

    def __init__(
        self, spec: FeatureSpec, settings: Settings, *, with_targets: bool = False
    ) -> None:
        self._settings = settings
        self._time = spec.event.time
        fields = spec.fields(with_targets=with_targets)
        self._paths = tuple(field.path for field in fields)
        self._parts = {part for path in self._paths for part in path.split(".")}
        self._columns = [column_reader(field) for field in fields]
        self._validate = TypeAdapter(build_row_type(fields)).validator.validate_json

    def decode(self, records: Sequence[Record]) -> DecodedRecords:
        """Decode records; a bad record does not affect the others."""
        keys = [record.key for record in records]
        forgets: list[int] = []
        skips: dict[int, RecordError] = {}
        rows: list[int] = []
        events = self._decode_all(keys, [record.value for record in records])
        if events is None:
            rows, events = self._decode_each(records, forgets, skips)
            timestamps = [records[row].timestamp for row in rows]
            keys = [keys[row] for row in rows]
        else:
            rows = list(range(len(events)))
            timestamps = [record.timestamp for record in records]
        columns = {
            path: column(events) for path, column in zip(self._paths, self._columns, strict=True)
        }
        stamps = np.array(timestamps, np.int64)
        time_ms, undated = self._event_times(columns, stamps)
        decoded = DecodedRecords(
            rows=np.array(rows, np.int64),
            keys=cast("list[bytes]", keys),
            time_ms=time_ms,
            moves_to_ms=np.where(stamps == NO_TIMESTAMP, TIME_MS_MIN - 1, time_ms),
            columns=columns,
            forgets=forgets,
            skips=skips,
        )
        return skip_events(decoded, undated) if undated else decoded

    def _decode_all(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None]
    ) -> list[Any] | None:
        """Return the events if every record is an event, else ``None``."""
        if None in keys or None in values or not keys:
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

    def _decode_each(
        self, records: Sequence[Record], forgets: list[int], skips: dict[int, RecordError]
    ) -> tuple[list[int], list[Any]]:
        """Return rows and values of the events; add the other rows to ``forgets`` or ``skips``."""
        rows: list[int] = []
        events: list[Any] = []
        validate = self._validate
        key_bytes_max, value_bytes_max = (
            self._settings.key_bytes_max,
            self._settings.value_bytes_max,
        )
        for row, record in enumerate(records):
            key, value = record.key, record.value
            try:
                if key is None or len(key) > key_bytes_max:
                    raise self._key_error(key)
                if value is None:
                    forgets.append(row)
                    continue
                if len(value) > value_bytes_max:
                    raise self._size_error(value)
                events.append(validate(value))
                rows.append(row)
            except ValidationError as error:
                skips[row] = self._value_error(error)
            except RecordError as error:
                skips[row] = error
        return rows, events

    def _key_error(self, key: bytes | None) -> DecodeError:
        if key is None:
            return DecodeError("no_key", "the record has no key, so no hidden state belongs to it")
        limit = self._settings.key_bytes_max
        return DecodeError(
            "key_too_large", f"the key has {len(key)} bytes; key_bytes_max is {limit}"
        )

    def _size_error(self, value: bytes) -> DecodeError:
        limit = self._settings.value_bytes_max
        message = f"the value has {len(value)} bytes; value_bytes_max is {limit}"
        return DecodeError("value_too_large", message)

    def _value_error(self, error: ValidationError) -> DecodeError:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            return DecodeError("not_json", "the value is not JSON")
        path = ".".join(str(part) for part in first["loc"] if part in self._parts)
        message = f"{path or 'the value'}: {first['msg'].lower()}"
        return DecodeError("wrong_schema", message)

    def _event_times(
        self, columns: Mapping[str, list[Any]], timestamps: NDArray[np.int64]
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
            raws = columns[self._time.path]
            rounded = _parse_numbers_ms(raws, self._time.unit)
            times = np.zeros(len(timestamps), np.int64) if rounded is None else rounded
            if rounded is None:
                for i, raw in enumerate(raws):
                    try:
                        times[i] = parse_time_ms(raw, self._time.unit, self._time.path)
                    except RecordError as error:
                        errors[i] = error
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
        return times, errors


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
    )


def _parse_numbers_ms(raws: Sequence[Any], unit: str) -> NDArray[np.int64] | None:
    """Return :func:`parse_time_ms` of each value if all are valid numbers, else ``None``."""
    if unit == "iso8601" or set(map(type, raws)) != {float}:
        return None
    with np.errstate(over="ignore"):
        times = np.rint(np.array(raws, np.float64) * (1000 if unit == "s" else 1))
    # NaN fails both comparisons.
    if not ((times >= TIME_MS_MIN) & (times <= TIME_MS_MAX)).all():
        return None
    return times.astype(np.int64)


def parse_iso8601_ms(text: str) -> int:
    """Return milliseconds since 1970, rounded down; a text without a time zone is in UTC.

    Raises:
        ValueError: The text is not ISO 8601.

    Example:
        >>> parse_iso8601_ms("1970-01-02"), parse_iso8601_ms("1970-01-01T01:00:00.5004+01:00")
        (86400000, 500)
    """
    moment = datetime.fromisoformat(text)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def parse_time_ms(raw: object, unit: str, path: str) -> int:
    """Return an event time in milliseconds since 1970.

    Raises:
        FeatureError: The time is missing, cannot be parsed, or lies outside the years 1 to 9999.
    """
    if raw is None:
        raise FeatureError("no_event_time", f"{path}: the event time is missing")
    try:
        if unit == "iso8601":
            time = parse_iso8601_ms(str(raw))
        else:
            time = round(cast("float", raw) * (1000 if unit == "s" else 1))
    except (ValueError, OverflowError) as error:
        message = f"{path}: the event time is not {'ISO 8601' if unit == 'iso8601' else 'finite'}"
        raise FeatureError("bad_event_time", message) from error
    if not TIME_MS_MIN <= time <= TIME_MS_MAX:
        message = f"{path}: the event time lies outside of the years 1 to 9999"
        raise FeatureError("time_out_of_bounds", message)
    return time
