"""The decoder of records: each becomes an event, a forget, a skip, or it is filtered.

A record with a key and a null value is a *forget*.  A record that decodes, is valid and has an
event time is an event.  Every other record is a *skip*: it becomes a dead letter with the
:class:`RecordError` that states the reason.  A spec may also filter records, and let records with
a value forget their key (``envelope.py``).  What a record becomes does not depend on any other
record, so it is the same in every micro-batch.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from stream_rnn.errors import DecodeError, RecordError
from stream_rnn.fold.columnar import merge
from stream_rnn.fold.envelope import Envelope, NoEvent
from stream_rnn.fold.event_time import TIME_MS_MIN, latest_ms
from stream_rnn.fold.event_times import NO_TIMESTAMP, EventTimes
from stream_rnn.fold.fields import build_row_type, column_reader
from stream_rnn.fold.framed import FramedRecords, Frames
from stream_rnn.fold.record_limits import check_key, check_size, not_json
from stream_rnn.fold.records import FileRecord, LogRecord, Record
from stream_rnn.fold.schema_errors import schema_error
from stream_rnn.fold.value_formats import SCHEMA_KINDS, raiser, unframed
from stream_rnn.formats.frames import Frame
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schemas import Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.settings import Settings

__all__ = ["DecodedRecords", "Decoder", "LogRecord", "Record", "skip_events"]

_TIMESTAMP = attrgetter("timestamp")
_Bytes = Sequence[bytes | None]


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
        schemas: Schemas of framed records; ``None`` takes those of the settings' registry, without
            which framed records are no events.
        fetches: Whether :meth:`decode` fetches new schemas, which blocks, rather than to raise a
            :class:`SchemasNeededError`.

    Attributes:
        time_ms_max: Greatest valid event time and timestamp in milliseconds.

    Raises:
        SpecError: The path of a head is the parent of another path, or passes through a value.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        *,
        with_targets: bool = False,
        schemas: Schemas | None = None,
        fetches: bool = True,
    ) -> None:
        self._settings = settings
        self._time, self._times = spec.event.time, EventTimes(spec.event.time, settings)
        self.time_ms_max = latest_ms(settings.event_year_max)
        fields = spec.fields(with_targets=with_targets)
        self._paths = tuple(field.path for field in fields)
        self._columns = [column_reader(field) for field in fields]
        self._format = spec.event.value_format
        self._needs_frames = self._format in SCHEMA_KINDS
        self.schemas = None if self._format == "json" else schemas or open_schemas(settings)
        self._framed = (
            None
            if self.schemas is None
            else FramedRecords(fields, spec.event, self.schemas, fetches=fetches)
        )
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
        values = [record.value for record in records]
        frames = self._framed.frames(records, values) if self._framed is not None else None
        rows: list[int] | None = None  # of events; None if all records are events
        events = self._decode_alike(records, keys, values, frames)
        if events is not None:
            columns, times = self._read_columns(events), None
        else:
            rows, columns, times, one_by_one = self._decode_mixed(records, keys, values, frames)
        if rows is None:
            stamps = np.fromiter(map(_TIMESTAMP, records), np.int64, len(records))
            row_numbers = np.arange(len(records))
        else:
            row_numbers = np.array(rows, np.int64)
            stamps = np.array([records[row].timestamp for row in rows], np.int64)
            keys = [keys[row] for row in rows]
        raws: Sequence[Any] = ()
        if self._time is not None:
            is_inside = self._validate_envelope is None
            raws = columns[self._time.path] if is_inside else self._read_times(one_by_one.envelopes)
        time_ms, undated = self._times.read(raws, stamps, times)
        decoded = DecodedRecords(
            rows=row_numbers,
            keys=cast("list[bytes]", keys),
            time_ms=time_ms,
            moves_to_ms=np.where(stamps == NO_TIMESTAMP, TIME_MS_MIN - 1, time_ms),
            columns=columns,
            forgets=one_by_one.forgets,
            skips=one_by_one.skips,
            filtered=one_by_one.filtered,
        )
        return skip_events(decoded, undated) if undated else decoded

    def _decode_alike(
        self, records: Sequence[Record], keys: _Bytes, values: _Bytes, frames: Frames | None
    ) -> list[Any] | None:
        """Return the events if every record is JSON and an event, else ``None``."""
        if frames is None:
            return None if self._refuses_any(records) else self._decode_all(keys, values)
        assert self._framed is not None, "only it finds frames"
        bodies = self._framed.json_bodies(values, frames)
        if bodies is None or not self._are_eligible(keys, values):
            return None
        return self._decode_all(keys, bodies)

    def _refuses_any(self, records: Sequence[Record]) -> bool:
        """Return whether the format of the spec may refuse a record that is not framed."""
        return self._needs_frames and not all(isinstance(one, FileRecord) for one in records)

    def _refusal(self, record: Record, frame: Frame | None) -> DecodeError | None:
        """Return the error of a record that is not framed, but must be."""
        if not self._needs_frames or frame is not None or isinstance(record, FileRecord):
            return None
        return unframed(record.value or b"", record.headers, self._format)

    def prepare(self, schema_id: str) -> None:
        """Compile a fetched schema, which may block; see :meth:`FramedRecords.prepare`."""
        if self._framed is not None:
            self._framed.prepare(schema_id)

    def _read_columns(self, events: Sequence[Any]) -> dict[str, list[Any]]:
        return {
            path: column(events) for path, column in zip(self._paths, self._columns, strict=True)
        }

    def _decode_mixed(
        self, records: Sequence[Record], keys: _Bytes, values: _Bytes, frames: Frames | None
    ) -> tuple[list[int] | None, dict[str, list[Any]], NDArray[Any] | None, _Decoded]:
        """Decode records of which some are framed, or some are no events.

        Returns:
            Rows of events, ``None`` for all; the columns; the event times, if they were read as an
            array; and what was decoded one by one.
        """
        by_column: Sequence[int] = ()
        columns: dict[str, list[Any]] = {}
        if self._framed is not None and frames is not None and self._envelope is None:
            is_eligible = None
            if not self._are_eligible(keys, values, self._framed.longest(values)):
                is_eligible = [
                    self._are_eligible([key], [value])
                    for key, value in zip(keys, values, strict=True)
                ]
            by_column, columns, times = self._framed.columns(values, frames, is_eligible)
            if len(by_column) == len(records):
                return None, columns, times, _Decoded()
        one_by_one = self._decode_each(records, frames, frozenset(by_column))
        rows, others = one_by_one.rows, self._read_columns(one_by_one.events)
        if by_column:
            rows, others = merge(rows, others, by_column, columns)
        return rows, others, None, one_by_one

    def _are_eligible(self, keys: _Bytes, values: _Bytes, longest: int | None = None) -> bool:
        """Return whether all records have a key and a value whose sizes are valid."""
        try:
            # The maximum of a set is faster: there are few different lengths.
            key_bytes = max(set(map(len, cast("Sequence[bytes]", keys))))
            value_bytes = longest or max(set(map(len, cast("Sequence[bytes]", values))))
        except (TypeError, ValueError):  # one is None, or there is none
            return False
        limits = self._settings
        return key_bytes <= limits.key_bytes_max and value_bytes <= limits.value_bytes_max

    def _decode_all(self, keys: _Bytes, values: _Bytes) -> list[Any] | None:
        """Return the events if every record is an event, else ``None``."""
        if self._envelope is not None or not self._are_eligible(keys, values):
            return None
        try:
            return list(map(self._validate, cast("Sequence[bytes]", values)))
        except ValidationError:
            return None

    def _decode_each(
        self, records: Sequence[Record], frames: Frames | None, done: Collection[int]
    ) -> _Decoded:
        """Decode the records whose rows are not done."""
        decoded = _Decoded()
        for row, record in enumerate(records):
            if row in done:
                continue
            frame = frames[row] if frames is not None else None
            try:
                if self._envelope is not None:
                    self._open(row, record, frame, decoded)
                else:
                    self._decode_one(row, record, frame, decoded)
            except ValidationError as error:
                decoded.skips[row] = self._schema_error(error, record)
            except RecordError as error:
                decoded.skips[row] = error
        return decoded

    def _schema_error(self, error: ValidationError, record: Record) -> RecordError:
        value = record.value or b""
        return schema_error(error, self._names, value, record.headers, self._format)

    def _decode_one(self, row: int, record: Record, frame: Frame | None, decoded: _Decoded) -> None:
        key, value = record.key, record.value
        if key is None or len(key) > self._settings.key_bytes_max:
            check_key(key, self._settings)
        if value is None:
            decoded.forgets.append(row)
            return
        if len(value) > self._settings.value_bytes_max:
            check_size(value, self._settings)
        if (refusal := self._refusal(record, frame)) is not None:
            raise refusal
        if frame is None:
            decoded.events.append(self._validate(value))
        else:
            decoded.events.append(self._validate_content(self._content(value, frame)))
        decoded.rows.append(row)

    def _content(self, value: bytes, frame: Frame) -> Any:
        """Return the content of a framed value."""
        assert self._framed is not None, "only it finds frames"
        return self._framed.content(value, frame)

    def _open(self, row: int, record: Record, frame: Frame | None, decoded: _Decoded) -> None:
        """Open the envelope of a record, and add what is inside."""
        envelope = self._envelope
        assert envelope is not None
        parse: Callable[[bytes], Any] | None = None
        if frame is not None:
            parse = partial(self._content, frame=frame)
        if (refusal := self._refusal(record, frame)) is not None:
            parse = raiser(refusal)
        try:
            content = envelope.open(record.key, record.value, parse)
        except ValueError:
            raise not_json(record.value or b"", record.headers, self._format) from None
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
