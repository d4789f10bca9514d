"""The rows of a file or a data frame, in the order of the file, with their keys and times."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson
import polars as pl

from stream_rnn.fold.event_time import MS_PER, parse_numbers_ms
from stream_rnn.fold.event_times import NO_TIMESTAMP
from stream_rnn.fold.fields import value_getter
from stream_rnn.formats.logical import Moment
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.replay.avro_files import read_avro_values, read_container
from stream_rnn.replay.delimited import TextRows, column_of, read_text_rows, require_columns
from stream_rnn.replay.file_parts import Part, list_parts
from stream_rnn.replay.frame_rows import (
    Rows,
    frames_as_json,
    name_of,
    read_parquet,
)
from stream_rnn.replay.json_files import read_json_values
from stream_rnn.replay.key_types import KeyTypes
from stream_rnn.replay.row_batch import RowBatch
from stream_rnn.replay.row_keys import (
    join_key,
    json_key_reader,
    needed_paths,
    parse_json,
    time_reader,
)
from stream_rnn.replay.text_values import text_readers

T = TypeVar("T")


def read_row_batches(rows: Rows, spec: FeatureSpec) -> Iterator[RowBatch]:
    """Yield the rows of a file, of the parts of a directory, or of a data frame.

    Raises:
        ConfigError: A file cannot be read, or lacks a column of the key or of the event time, or
            parts write the key with different types.
    """
    if isinstance(rows, pl.DataFrame):
        make = _json_batch_maker(spec, {})
        for values, texts in frames_as_json([rows], spec, name_of(rows)):
            yield make(values, texts)
        return
    key_types = KeyTypes(spec)
    for part in list_parts(rows):
        if part.kind == "delimited":
            yield from _delimited_batches(part, spec)
            continue
        yield from _typed_batches(part, spec, key_types)


def _typed_batches(part: Part, spec: FeatureSpec, key_types: KeyTypes) -> Iterator[RowBatch]:
    """Yield the rows of a part whose format has types of its own."""
    make, name = _json_batch_maker(spec, part.folders), str(part.path)
    if part.kind == "parquet":
        frames = key_types.checked(read_parquet(part.path), name)
        for values, texts in frames_as_json(frames, spec, name, part.folders):
            yield make(values, texts)
        return
    if part.kind == "avro":
        key_types.check_avro(read_container(part.path).root, name)
    for values in read_values(part, Moment.of(spec.event)):
        yield make(values, values)


def read_values(part: Part, moment: Moment, what: str = "log") -> Iterator[list[bytes]]:
    """Yield the rows of a part of JSON or Avro as JSON, in batches.

    Args:
        part: The part.
        moment: What a logical time of Avro becomes.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file cannot be read.
    """
    if part.kind == "avro":
        return read_avro_values(part.path, moment, what)
    return read_json_values(part.path, what)


def _json_batch_maker(
    spec: FeatureSpec, folders: dict[str, str | None]
) -> Callable[[list[bytes], list[bytes]], RowBatch]:
    """Return a function that makes a batch of JSON.

    Args:
        spec: The feature spec.
        folders: Texts of the columns that folders add to each row that lacks them.

    Returns:
        A function of the JSON of rows, and of the same JSON or the part of it that contains the
        fields of the key and the event time.
    """
    read_key = json_key_reader(spec.event, folders)
    get_time = value_getter(spec.event.time.path) if spec.event.time else None
    read_time = time_reader(spec.event.time)
    added = _typed_folders(spec, folders)
    fields = b",".join(orjson.dumps(name) + b":" + orjson.dumps(v) for name, v in added.items())

    def make(values: list[bytes], texts: list[bytes]) -> RowBatch:
        keys: list[bytes | None] = []
        timestamps: list[int] = []
        for i, row in enumerate(map(parse_json, texts)):
            if row is None and texts[i].startswith(BOM_UTF8):  # files that were joined to one
                values[i] = texts[i] = texts[i][len(BOM_UTF8) :].lstrip()
                row = parse_json(texts[i])  # noqa: PLW2901  # the row without the mark
            if not isinstance(row, dict):  # the decoder skips the record: its value is no object
                keys.append(b"")
                timestamps.append(NO_TIMESTAMP)
                continue
            keys.append(read_key(row, texts[i]))
            if fields:
                values[i] = _with_fields(values[i], fields)
                row = added | row  # noqa: PLW2901  # the row with the folders
            timestamps.append(read_time(get_time(row)) if get_time else NO_TIMESTAMP)
        return RowBatch(values, keys, timestamps)

    return make


def _with_fields(value: bytes, fields: bytes) -> bytes:
    """Return the JSON of an object with more fields; its own fields take precedence."""
    rest = value[1:].lstrip()
    return b"{" + fields + (b"" if rest.startswith(b"}") else b",") + rest


def _typed_folders(spec: FeatureSpec, folders: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the values of the columns that folders add, as the spec reads them."""
    readers = text_readers(spec)
    return {
        name: None if text is None else readers.get(name, str)(text)
        for name, text in folders.items()
    }


def _delimited_batches(part: Part, spec: FeatureSpec) -> Iterator[RowBatch]:
    batches = read_text_rows(part.path, spec.file)
    names = next(batches).names
    added = {name: text for name, text in part.folders.items() if name not in names}
    require_columns(part.path, [*names, *added], needed_paths(spec), spec.file)
    yield from map(partial(_TextColumns(spec, names, added).batch), batches)


class _TextColumns:
    """Makes batches of rows of texts.

    Args:
        spec: The feature spec.
        names: Names of the columns of the file.
        added: Texts of the columns that folders add.
    """

    def __init__(
        self, spec: FeatureSpec, names: Sequence[str], added: Mapping[str, str | None]
    ) -> None:
        self._names = [*names, *added]
        self._typed = _typed_folders(spec, added)
        self._added = added
        self._readers = [text_readers(spec).get(name) for name in names]
        self._missing = frozenset(spec.file.missing)
        index = {name: i for i, name in enumerate(self._names)}
        elements = [(item,) if isinstance(item, str) else item for item in spec.event.key]
        self._key = [
            [index[column] for path in paths if (column := column_of(path)) in index]
            for paths in elements
        ]
        self._time = index[split_path(spec.event.time.path)[0]] if spec.event.time else None
        self._read_time = time_reader(spec.event.time)
        self._unit = spec.event.time.unit if spec.event.time else ""

    def batch(self, rows: TextRows) -> RowBatch:
        """Return the batch of some rows."""
        count = len(rows.rows)
        texts: list[Sequence[str | None]] = [*zip(*rows.rows, strict=True)]
        texts = texts or [()] * (len(self._names) - len(self._added))
        columns = [
            self._values(column, read) for column, read in zip(texts, self._readers, strict=True)
        ]
        columns += [[value] * count for value in self._typed.values()]
        texts += [[text] * count for text in self._added.values()]
        names = self._names
        values = [_dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
        timestamps = [NO_TIMESTAMP] * count
        if self._time is not None:
            timestamps = self._timestamps(columns[self._time])
        return RowBatch(values, self._keys(texts), timestamps)

    def _timestamps(self, values: Sequence[Any]) -> list[int]:
        """Return event times; many are read at once if all are numbers."""
        assert self._unit, "the spec names an event time"
        if self._unit in MS_PER and set(map(type, values)) <= {int, float}:
            values = list(map(float, values))
        times = parse_numbers_ms(values, self._unit)
        return _map_distinct(self._read_time, values) if times is None else times.tolist()

    def _values(self, texts: Sequence[Any], read: Callable[[str], Any] | None) -> Sequence[Any]:
        if read is not None:
            return _map_distinct(read, texts)
        missing = self._missing
        if missing.isdisjoint(texts):
            return texts
        return [None if text in missing else text for text in texts]

    def _keys(self, texts: Sequence[Sequence[str | None]]) -> list[bytes | None]:
        """Return the keys; in a key, only the empty text is missing."""
        parts = [_first_texts([texts[i] for i in element]) for element in self._key]
        if len(parts) == 1:
            return [text.encode() if text else None for text in parts[0]]
        return [join_key([text or None for text in row]) for row in zip(*parts, strict=True)]


def _dumps(row: dict[str, Any]) -> bytes:
    """Return a row as JSON, in as much memory as it needs: what orjson returns occupies 4 kB."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)[:-1]


def _first_texts(columns: list[Sequence[str | None]]) -> Sequence[str | None]:
    """Return the first text of each row that is not empty."""
    if len(columns) == 1:
        return columns[0]
    return [next(filter(None, row), None) for row in zip(*columns, strict=True)]


def _map_distinct(read: Callable[[Any], T], values: Sequence[Any]) -> list[T]:
    """Return a function's value for each value, of which many are equal."""
    results = {value: read(value) for value in set(values)}
    return [results[value] for value in values]
