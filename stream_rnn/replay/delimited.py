"""Delimited text files (CSV) as rows of texts: nothing is guessed, and nothing is lost.

The spec's table ``[file]`` states the delimiter, the encoding and the names of the columns.  Every
row has a field for each column; a row that has not is an error with its line.  Blank lines are no
rows.  A column without a name is left out, because no path can name it.  A first line ``sep=;``, as
Excel reads and writes it, is no row, and decides the delimiter, whatever the spec says.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Protocol

from stream_rnn.errors import ConfigError, reason
from stream_rnn.model.file_format import BLANKS, FileFormat
from stream_rnn.model.paths import split_path
from stream_rnn.replay.other_content import describe_end, describe_first_line
from stream_rnn.replay.row_keys import missing_column
from stream_rnn.replay.sep_line import peek_delimiter
from stream_rnn.replay.text_files import open_text, strip_suffix, translated_errors

ROWS_A_BATCH = 16_384
CELLS_A_BATCH = 1_000_000  # bounds the memory of a batch of a file with many columns
FIELD_CHARS_MAX = 1 << 24  # bounds the memory that a quotation mark takes that is never closed
DELIMITERS = {";": ";", "\t": "\\t", "|": "|", ",": ",", "\x01": "\\u0001"}
SUFFIXES = (".csv", ".tsv", ".txt")
_NUMBER = re.compile(r"\s*[+-]?[0-9.,]+\s*")
_BLANK_FIELD = re.compile(r'"((?:[^"]|"")*)"(?!\S)|(\S+)')


class _RowReader(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class TextRows:
    """Some rows of a file.

    Attributes:
        names: Names of the columns.
        rows: Texts of each row, in the order of the columns.
        unnamed: Numbers, from 1, of the columns of the file that have no name and are left out.
    """

    names: list[str]
    rows: list[list[str]]
    unnamed: tuple[int, ...] = ()


def read_text_rows(path: Path, file: FileFormat, what: str = "log") -> Iterator[TextRows]:
    """Yield the rows of a delimited file, in batches; the first batch has the names, but no row.

    Args:
        path: Path of the file, which may be compressed.
        file: Delimiter, encoding and column names.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file cannot be read as such a file; the message states the line.
    """
    file = for_suffix(path, file)
    with translated_errors(path, what, file.encoding), open_text(path, file.encoding) as text:
        reader, file = _make_reader(text, file)
        try:
            names = _read_names(reader, path, file, what)
            kept = [i for i, name in enumerate(names) if name.strip()]
            unnamed = tuple(i for i, name in enumerate(names, 1) if not name.strip())
            yield TextRows([names[i] for i in kept], [], unnamed)
            count = max(1, min(ROWS_A_BATCH, CELLS_A_BATCH // len(names)))
            is_first = True
            while rows := [row for row in _read_some(reader, count) if row]:
                if is_first and file.columns:
                    _require_no_header(rows[0], path, file, what)
                is_first = False
                if set(map(len, rows)) != {len(names)}:
                    raise ConfigError(_describe_bad_row(path, file, what, len(names)))
                if len(kept) < len(names):
                    rows = [[row[i] for i in kept] for row in rows]
                yield TextRows([names[i] for i in kept], rows)
        except csv.Error as error:
            raise ConfigError(_describe_bad_row(path, file, what, 0)) from error


def for_suffix(path: Path, file: FileFormat) -> FileFormat:
    """Return the format of a file; the default delimiter of a .tsv file is the tab."""
    is_tsv = strip_suffix(path).suffix.lower() == ".tsv"
    if is_tsv and file.delimiter == FileFormat().delimiter:
        return file.model_copy(update={"delimiter": "\t"})
    return file


def column_of(path: str) -> str | None:
    """Return the column at a path; ``None`` for the path of a nested field, which no row has."""
    names = split_path(path)
    return names[0] if len(names) == 1 else None


def require_columns(
    file: Path, names: Sequence[str], needed: Sequence[Sequence[str]], layout: FileFormat
) -> None:
    """Check that a file has the columns of the key and of the event time.

    Args:
        file: Path of the file.
        names: Names of its columns.
        needed: Alternative paths of each field that is needed.
        layout: Delimiter and column names, for the remedy.

    Raises:
        ConfigError: The file has none of the alternatives.
    """
    for paths in needed:
        if not {column_of(path) for path in paths} & set(names):
            raise missing_column(str(file), names, paths, _hint(names, layout, paths))


def _hint(names: Sequence[str], file: FileFormat, paths: Sequence[str] = ()) -> str:
    """Return what may be the cause of a missing column, with the remedy."""
    if dotted := next((path for path in paths if path in names), None):
        return f"; write the path of a name that contains a dot as '\"{dotted}\"'"
    if found := _no_table(names, file):
        return found
    if len(names) == 1:
        for mark, toml in DELIMITERS.items():
            if mark in names[0] and mark != file.delimiter:
                return f'; set delimiter = "{toml}" in [file] of the spec'
        if len(names[0].split()) > 1 and file.delimiter != BLANKS:
            return (
                f'; if blanks separate the columns, set delimiter = "{BLANKS}" in [file] of the '
                "spec; if the first line is a title, remove the lines above the header"
            )
    if names and not file.columns and any(map(_NUMBER.fullmatch, names)):
        return "; if the first line is no header, set columns = [...] in [file] of the spec"
    return ""


def _no_table(names: Sequence[str], file: FileFormat) -> str:
    """Return what the first line is if it is no line of a table; empty for one."""
    if any("\0" in name for name in names):
        order = "be" if names[0].startswith("\0") else "le"
        return f'; it looks like UTF-16: set encoding = "utf-16-{order}" in [file] of the spec'
    start = names[0].lstrip() if names else ""
    delimiter = " " if file.delimiter == BLANKS else file.delimiter
    if found := describe_first_line(delimiter.join(names)):
        return f"; {found}"
    if start.startswith("#") and not file.columns:
        return "; its first line looks like a comment: remove it, as in tail -n +2"
    return ""


def _make_reader(text: IO[str], file: FileFormat) -> tuple[_RowReader, FileFormat]:
    """Return a reader of the rows, and the format with the delimiter that the file itself names."""
    named, lines = peek_delimiter(text)
    if named:
        file = file.model_copy(update={"delimiter": named})
    blanks = file.delimiter == BLANKS
    reader: _RowReader = (
        _BlankReader(lines) if blanks else csv.reader(lines, delimiter=file.delimiter, strict=True)
    )
    if named is not None:
        next(reader)
    return reader, file


class _BlankReader:
    """Reads fields that are separated by runs of blanks; a field in quotes may contain blanks."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self.line_num = iter(lines), 0

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        line = next(self._lines)
        self.line_num += 1
        if '"' not in line:
            return line.split()
        return [
            quoted.replace('""', '"') if plain == "" else plain
            for quoted, plain in _BLANK_FIELD.findall(line)
        ]


def _read_names(reader: _RowReader, path: Path, file: FileFormat, what: str) -> list[str]:
    """Return the names of the columns; without ``columns``, read the first line that is not blank.

    Raises:
        ConfigError: The file has no line, or two columns have one name.
    """
    if file.columns:
        return list(file.columns)
    names = next((row for row in reader if row), None)
    if names is None:
        raise ConfigError(f"cannot read the {what} {path}: the file is empty")
    twice = next((name for i, name in enumerate(names) if name.strip() and name in names[:i]), None)
    if twice is not None:
        raise ConfigError(
            f"cannot read the {what} {path}: two columns of line {reader.line_num} have the name "
            f"{twice}; rename one{_hint(names, file)}"
        )
    return names


def _require_no_header(row: Sequence[str], path: Path, file: FileFormat, what: str) -> None:
    """Refuse a header line that would be read as a row, because ``columns`` names its columns.

    Raises:
        ConfigError: The first row has the names of the columns.
    """
    if [cell.strip() for cell in row] == [name.strip() for name in file.columns]:
        raise ConfigError(
            f"cannot read the {what} {path}: its first line names the columns, as columns does; "
            "columns is for files without a header line: remove it from [file] of the spec"
        )


def _read_some(reader: _RowReader, count: int) -> list[list[str]]:
    """Read the next rows, with a limit on the size of a field that serves this module alone."""
    before = csv.field_size_limit(FIELD_CHARS_MAX)
    try:
        rows: list[list[str]] = []
        while not any(rows):  # blank lines alone are not the end of the file
            rows = list(islice(reader, count))
            if not rows:
                break
        return rows
    finally:
        csv.field_size_limit(before)


def _describe_bad_row(path: Path, file: FileFormat, what: str, columns: int) -> str:
    """Return the message about the first row that cannot be read, or has other fields than columns.

    The file is read once more, row by row, because batches do not know the lines of their rows.
    """
    start = f"cannot read the {what} {path}: line "
    line = 1
    before = csv.field_size_limit(FIELD_CHARS_MAX)
    try:
        with open_text(path, file.encoding) as text:
            reader, file = _make_reader(text, file)
            line = reader.line_num + 1
            for row in reader:
                if columns and row and len(row) != columns:
                    if end := describe_end(chain([row], reader), line):
                        return f"{start}{line} {end}"
                    return start + _describe_fields(line, len(row), columns, file)
                line = reader.line_num + 1
    except csv.Error as error:
        if "expected after" in reason(error):
            return (
                f"{start}{line}: text follows a closing quotation mark; double each quotation mark "
                'inside of a quoted text, as in "5"" pipe"'
            )
        return f"{start}{line}: a quotation mark is not closed; close it, or double it"
    finally:
        csv.field_size_limit(before)
    return f"{start}{line} is no row"


def _describe_fields(line: int, fields: int, columns: int, file: FileFormat) -> str:
    source = "[file] of the spec names" if file.columns else "the header has"
    mark = "a blank" if file.delimiter == BLANKS else repr(file.delimiter)
    return (
        f"{line} has {fields} field{'s' * (fields != 1)}, but {source} {columns} "
        f"column{'s' * (columns != 1)}; put a text that contains {mark} into quotation marks, or "
        "mend the line"
    )
