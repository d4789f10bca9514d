"""Framed records: the values that serializers of a schema registry have written.

The schema of a record decides its format, record by record.  Each schema is compiled once for the
fields of a feature spec.  Avro bodies of one schema are read column by column, if no path leads
through a map, an array or a union of several types; all others become content one by one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from stream_rnn.errors import DecodeError, reason
from stream_rnn.fold.columnar import ColumnarRecords, merge
from stream_rnn.fold.records import FileRecord, Keyed
from stream_rnn.fold.value_formats import check_kind, raiser, unframed
from stream_rnn.formats.avro_columns import AvroColumns, Column, NotColumnarError
from stream_rnn.formats.avro_content import content_reader
from stream_rnn.formats.avro_cursors import Bodies
from stream_rnn.formats.avro_fields import all_numbers, field_values
from stream_rnn.formats.avro_schema import parse_avro
from stream_rnn.formats.frames import FRAME_BYTES, Frame, frame_of
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schemas import SCHEMAS_MAX, Schema, Schemas
from stream_rnn.model.event import Event
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.field import Field
from stream_rnn.model.paths import split_path
from stream_rnn.settings import Settings

COLUMNS_MIN = 32
"""Minimum number of bodies to read by column; for fewer, one by one is faster."""
_parse_json = TypeAdapter[Any](Any).validator.validate_json
_HEADERS = attrgetter("headers")
Content = Callable[[bytes, Frame], Any]
Columns = Callable[[Bodies, Frame], tuple[dict[tuple[str, ...], Column], NDArray[np.bool_]]]
Frames = Sequence[Frame | None]


class SchemasNeededError(Exception):
    """Some records need schemas that must be fetched first.

    Attributes:
        schema_ids: Ids of the schemas.
    """

    def __init__(self, schema_ids: Sequence[str]) -> None:
        super().__init__(", ".join(schema_ids))
        self.schema_ids = schema_ids


@dataclass(slots=True)
class _Compiled:
    """A schema for the fields of a spec.

    Attributes:
        content: Function that returns the content of a value; it raises a ``ValueError``.
        columns: Function that reads many values with equal frames; ``None`` if the schema or the
            spec needs the content.
    """

    content: Content
    columns: Columns | None = None


class FramedRecords:
    """Reads framed records for the fields of a feature spec.

    Args:
        fields: Fields of the spec.
        event: Table ``[event]`` of the spec.
        schemas: Known schemas.
        fetches: Whether to fetch schemas here, which blocks, rather than to ask the caller.
    """

    def __init__(
        self, fields: Sequence[Field], event: Event, schemas: Schemas, *, fetches: bool
    ) -> None:
        self._fields = {tuple(split_path(field.path)): field for field in fields}
        self._is_enveloped, self._format = event.is_enveloped, event.value_format
        self._moment = Moment.of(event)
        self._schemas, self._fetches = schemas, fetches
        self._compiled: dict[str, _Compiled | DecodeError] = {}
        self._joined: Bodies | None = None  # of the micro-batch whose frames were found

    def frames(self, records: Sequence[Keyed], values: Sequence[bytes | None]) -> Frames | None:
        """Return the frame of each record; ``None`` if no record is framed.

        Args:
            records: Records of a micro-batch.
            values: Their values.

        Raises:
            SchemasNeededError: Schemas must be fetched first.
            UnavailableError: The registry does not answer.
        """
        frames, distinct = self._find_frames(records, values)
        schema_ids = list(dict.fromkeys(frame.schema_id for frame in distinct))
        missing = self._schemas.missing(schema_ids)
        if not self._fetches:
            unready = [one for one in schema_ids if one not in missing and not self.is_ready(one)]
            if missing or unready:
                raise SchemasNeededError([*missing, *unready])
        else:
            for schema_id in missing:
                self._schemas.fetch(schema_id)
        return frames

    def _find_frames(
        self, records: Sequence[Keyed], values: Sequence[bytes | None]
    ) -> tuple[Frames | None, Collection[Frame]]:
        """Return the frame of each record, ``None`` if none is framed; and the different ones."""
        if not any(map(_HEADERS, records)):
            first = values[0] if values else None
            if first is not None and first[:1] == b"\0":
                frame = frame_of(first, ())
                if frame and (joined := _join(values, first[:FRAME_BYTES])) is not None:
                    self._joined = joined
                    return [frame] * len(values), (frame,)
            elif not any(value[:1] == b"\0" for value in values if value):
                return None, ()
        frames = [
            frame_of(value, record.headers) if value else None
            for value, record in zip(values, records, strict=True)
        ]
        distinct = [frame for frame in dict.fromkeys(frames) if frame]
        return (frames, distinct) if distinct else (None, ())

    def parser(self, record: Keyed) -> Callable[[bytes], Any] | None:
        """Return the function that returns the content of one record; ``None`` without a frame.

        Raises:
            SchemasNeededError: Its schema must be fetched first.
            UnavailableError: The registry does not answer.
        """
        frames = self.frames([record], [record.value])
        if frames and frames[0] is not None:
            return partial(self.content, frame=frames[0])
        if isinstance(record, FileRecord):
            return None
        error = unframed(record.value or b"", record.headers, self._format)
        return None if error is None else raiser(error)

    def content(self, value: bytes, frame: Frame) -> Any:
        """Return the content of a value, whose frame :meth:`frames` has returned.

        Raises:
            DecodeError: The schema is not known or cannot be used, or the body is not of it.
        """
        compiled = self._compile(frame.schema_id)
        try:
            return compiled.content(value, frame)
        except ValueError as error:
            message = f"the body is not of schema id {frame.schema_id}: {reason(error)}"
            raise DecodeError("bad_body", message) from None

    def json_bodies(
        self, values: Sequence[bytes | None], frames: Frames
    ) -> Sequence[bytes | None] | None:
        """Return the bodies of values that all have one schema of JSON; ``None`` for others."""
        first = frames[0]
        if first is None or self._schemas.kind(first.schema_id) != "JSON":
            return None
        if frames.count(first) < len(frames) or isinstance(self._known(first), DecodeError):
            return None
        return [value and value[first.skip :] for value in values]

    def columns(
        self, values: Sequence[bytes | None], frames: Frames, is_eligible: Sequence[bool] | None
    ) -> ColumnarRecords:
        """Read what can be read column by column.

        Args:
            values: Values of the records of a micro-batch.
            frames: Frame of each record.
            is_eligible: Whether each record has a key and a value of a valid size; ``None`` if all
                have.
        """
        groups: dict[Frame, Any] = {}  # rows
        first = frames[0]
        if is_eligible is None and first is not None and frames.count(first) == len(frames):
            groups[first] = range(len(frames))
        else:
            for row, frame in enumerate(frames):
                if frame is not None and (is_eligible is None or is_eligible[row]):
                    groups.setdefault(frame, []).append(row)
        rows: Sequence[int] = ()
        times: NDArray[Any] | None = None
        columns: dict[str, list[Any]] = {field.path: [] for field in self._fields.values()}
        for frame, group in groups.items():
            read_columns = self._columns_of(frame) if len(group) >= COLUMNS_MIN else None
            if read_columns is None:
                continue
            bodies = self._bodies(values, group)
            found, given_up = read_columns(bodies, frame)
            read = {
                field.path: field_values(field, found.get(path), given_up)
                for path, field in self._fields.items()
            }
            if given_up.any():
                good = np.flatnonzero(~given_up).tolist()
                group = [group[i] for i in good]  # noqa: PLW2901  # without those given up
                read = {path: [column[i] for i in good] for path, column in read.items()}
            elif len(group) == len(values):
                times = self._times(found)
            rows, columns = merge(rows, columns, group, read) if rows else (group, read)
        return ColumnarRecords(rows, columns, times)

    def _times(self, columns: Mapping[tuple[str, ...], Column]) -> NDArray[Any] | None:
        """Return the numbers of the event time, ``None`` if it is no number or no field."""
        path = self._moment.path
        return all_numbers(self._fields[path], columns.get(path)) if path in self._fields else None

    def longest(self, values: Sequence[bytes | None]) -> int | None:
        """Return the bytes of the longest value; ``None`` if :meth:`frames` did not join them."""
        bodies = self._joined
        return bodies.longest() if bodies is not None and bodies.values is values else None

    def _bodies(self, values: Sequence[bytes | None], group: Sequence[int]) -> Bodies:
        """Return the values of some rows, joined."""
        bodies, self._joined = self._joined, None
        if bodies is not None and bodies.values is values and len(group) == len(values):
            return bodies
        return Bodies([values[row] or b"" for row in group])

    def _columns_of(self, frame: Frame) -> Columns | None:
        compiled = self._known(frame)
        return None if isinstance(compiled, DecodeError) else compiled.columns

    def _known(self, frame: Frame) -> _Compiled | DecodeError:
        """Return the schema of a frame, or why it cannot be used, which each record then says."""
        try:
            return self._compile(frame.schema_id)
        except DecodeError as error:
            return error

    def _compile(self, schema_id: str) -> _Compiled:
        compiled = self._compiled.get(schema_id)
        if compiled is None:
            schema = self._schemas.get(schema_id)
            try:
                compiled = self._compiled_schema(schema)
            except DecodeError as error:
                compiled = DecodeError(error.code, f"schema id {schema_id}: {error}")
            while len(self._compiled) >= SCHEMAS_MAX:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[schema_id] = compiled
        if isinstance(compiled, DecodeError):
            raise compiled
        return compiled

    def is_ready(self, schema_id: str) -> bool:
        """Return whether a fetched schema needs no :meth:`prepare`."""
        return schema_id in self._compiled or self._schemas.kind(schema_id) != "PROTOBUF"

    def prepare(self, schema_id: str) -> None:
        """Compile a fetched schema of Protobuf; this may block for as long as the compiler runs.

        Raises:
            UnavailableError: The compiler cannot run.
        """
        with suppress(DecodeError):  # it is remembered for the records of this id
            self._compile(schema_id)

    def _compiled_schema(self, schema: Schema) -> _Compiled:
        check_kind(schema.kind, self._format)
        if schema.kind == "JSON":
            return _Compiled(lambda value, frame: _parse_json(value[frame.skip :]))
        if schema.kind == "PROTOBUF":
            return self._compiled_protobuf(schema)
        if schema.kind != "AVRO":
            message = f"the format {schema.kind} is not known"
            raise DecodeError("unsupported_schema", message)
        root = parse_avro(schema.text, [text for _, text in schema.references])
        read = content_reader(root, self._moment)
        columns: Columns | None = None
        if not self._is_enveloped:
            with suppress(NotColumnarError):
                reader = AvroColumns(root, list(self._fields), self._moment)
                columns = lambda bodies, frame: reader.read(bodies, frame.skip)  # noqa: E731
        return _Compiled(lambda value, frame: read(value, frame.skip), columns)

    def _compiled_protobuf(self, schema: Schema) -> _Compiled:
        from stream_rnn.formats.protobuf import Protobuf  # noqa: PLC0415  # few need it
        from stream_rnn.formats.protobuf_columns import ProtobufColumns  # noqa: PLC0415

        paths = [] if self._is_enveloped else list(self._fields)
        messages = Protobuf(schema.text, schema.references, self._moment, paths)
        reader = ProtobufColumns(messages, paths)
        return _Compiled(
            lambda value, frame: messages.content(value, frame.skip, frame.rest),
            lambda bodies, frame: reader.read(bodies.values, frame.skip, frame.rest),
        )


def _join(values: Sequence[bytes | None], prefix: bytes) -> Bodies | None:
    """Join values that begin alike; ``None`` if one is null or begins otherwise."""
    with suppress(TypeError):  # a value is null
        bodies = Bodies(cast("Sequence[bytes]", values))
        if bodies.all_begin_with(prefix):
            return bodies
    return None


def open_framed(
    spec: FeatureSpec, settings: Settings, fields: Sequence[Field] = (), *, fetches: bool = True
) -> FramedRecords | None:
    """Return the reader of framed records; ``None`` without a registry, or if the spec wants none.

    Args:
        spec: Feature spec.
        settings: Settings with the registry.
        fields: Fields to read by column.
        fetches: See :class:`FramedRecords`.

    Raises:
        ConfigError: See :func:`open_schemas`.
    """
    schemas = None if spec.event.value_format == "json" else open_schemas(settings)
    return None if schemas is None else FramedRecords(fields, spec.event, schemas, fetches=fetches)
