"""The rows of a labels file, each column checked and read as what it is for.

The file is read by the rules of logs: the texts of a .csv file become what the spec says, and the
other formats have types of their own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.formats.logical import Moment
from stream_rnn.model.file_format import FileFormat
from stream_rnn.replay.delimited import read_text_rows
from stream_rnn.replay.file_parts import list_parts
from stream_rnn.replay.file_rows import read_values
from stream_rnn.replay.frame_rows import Rows, name_of, read_parquet
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.replay.text_values import value_reader

TEXT = (pl.String, pl.Categorical, pl.Enum)
JSON_TYPES = {bool: "boolean", int: "number", float: "number", str: "text"}
NAMES_MAX = 20
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column that a labels file must have.

    Attributes:
        name: Name of the column.
        rule: Beginning of the message about a wrong type, such as ``an id is``.
        types: Names of the types that the column may have, for the message.
        kinds: The same types as ``text``, ``number`` and ``boolean``.
        use: Use of the texts of a delimited file: ``id`` and ``word`` keep them, ``value`` reads
            numbers and booleans.
    """

    name: str
    rule: str
    types: str
    kinds: frozenset[str]
    use: Literal["id", "word", "value"] = "value"

    def error(self, file: str, content: str) -> ConfigError:
        """Return the error about a value or a type that the column must not have."""
        return ConfigError(
            f"labels {file}: the column {self.name} has {content}; {self.rule} {self.types}"
        )


def read_label_rows(
    rows: Rows, columns: Callable[[Sequence[str]], list[LabelColumn]], file: FileFormat
) -> Iterator[tuple[list[LabelColumn], Columns]]:
    """Yield the columns of a labels file, in batches.

    Args:
        rows: Path of the file, or a data frame.
        columns: Function that returns the columns to read, of the names of all columns.
        file: Format of a delimited file.

    Raises:
        ConfigError: The file cannot be read, lacks a column, or has a value of an unsuitable type.
    """
    name = name_of(rows)
    if isinstance(rows, pl.DataFrame):
        yield from _frames([rows], columns, name)
        return
    for part in list_parts(rows, "labels"):
        if part.kind == "parquet":
            yield from _frames(read_parquet(part.path, "labels"), columns, name)
        elif part.kind in ("json", "avro"):
            yield from _json(read_values(part, Moment(), "labels"), columns, name)
        else:
            yield from _texts(part.path, columns, file, name)


def _frames(
    frames: Iterable[pl.DataFrame], columns: Callable[[Sequence[str]], list[LabelColumn]], file: str
) -> Iterator[tuple[list[LabelColumn], Columns]]:
    for frame in frames:
        needed = columns(frame.columns)
        for column in needed:
            _require(column, frame.columns, file)
            dtype = frame.schema[column.name]
            kinds: tuple[Any, ...] = (pl.Null,)
            kinds += TEXT if "text" in column.kinds else ()
            kinds += (pl.Boolean,) if "boolean" in column.kinds else ()
            if not (dtype.is_numeric() or isinstance(dtype, kinds)):
                is_text = isinstance(dtype, TEXT)
                raise column.error(file, "text" if is_text else f"values of the type {dtype}")
        yield needed, {column.name: frame[column.name].to_list() for column in needed}


def _json(
    batches: Iterable[list[bytes]],
    columns: Callable[[Sequence[str]], list[LabelColumn]],
    file: str,
) -> Iterator[tuple[list[LabelColumn], Columns]]:
    needed: list[LabelColumn] = []
    seen: dict[str, None] = {}
    first = 0
    for lines in batches:
        rows = list(map(parse_json, lines))
        for number, row in enumerate(rows, first):
            if not isinstance(row, dict):
                raise ConfigError(f"labels {file}: row {number} is no JSON object")
            seen.update(dict.fromkeys(row))
        needed = needed or columns(list(seen))
        found = {column.name: [row.get(column.name) for row in rows] for column in needed}
        for column in needed:
            _check_values(column, found[column.name], first, file)
        first += len(rows)
        yield needed, found
    for column in needed or columns([]):
        _require(column, list(seen), file)


def _check_values(column: LabelColumn, values: Sequence[Any], first: int, file: str) -> None:
    for number, value in enumerate(values, first):
        if value is not None and JSON_TYPES.get(type(value), "nested") not in column.kinds:
            content = {bool: "true or false", str: "text", list: "values of the type List"}.get(
                type(value), "values of the type Struct"
            )
            shown = f" ({value!r:.40} in row {number})"
            raise column.error(file, content + shown)


def _texts(
    path: Path,
    columns: Callable[[Sequence[str]], list[LabelColumn]],
    file: FileFormat,
    name: str,
) -> Iterator[tuple[list[LabelColumn], Columns]]:
    first = 0
    needed: list[LabelColumn] = []
    headed = file.model_copy(update={"columns": ()})
    for batch in read_text_rows(path, headed, "labels"):
        if not needed:
            needed = columns(batch.names)
            for column in needed:
                _require(column, batch.names, name)
        index = {column.name: batch.names.index(column.name) for column in needed}
        found = {}
        for column in needed:
            read = _text_reader(column, file)
            found[column.name] = [read(row[index[column.name]]) for row in batch.rows]
            texts = frozenset({"text"}) if column.use != "value" else column.kinds - {"text"}
            _check_values(replace(column, kinds=texts), found[column.name], first, name)
        first += len(batch.rows)
        yield needed, found


def _text_reader(column: LabelColumn, file: FileFormat) -> Callable[[str], Any]:
    if column.use == "id":
        return lambda text: text or None
    if column.use == "word":
        missing = frozenset(file.missing)
        return lambda text: None if text in missing else text
    return value_reader(set(column.kinds - {"text"}), file)


def _require(column: LabelColumn, names: Sequence[str], file: str) -> None:
    if column.name not in names:
        has = ", ".join(names[:NAMES_MAX])
        raise ConfigError(f"labels {file}: no column {column.name}; it has {has or 'none'}")
