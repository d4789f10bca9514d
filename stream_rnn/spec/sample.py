"""The first rows of a log as columns: a delimited file, JSON, Parquet, or a data frame."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.fold.record_limits import not_json
from stream_rnn.formats.logical import Moment
from stream_rnn.model.file_format import FileFormat
from stream_rnn.model.paths import join_path
from stream_rnn.replay.avro_files import read_avro_contents, read_container
from stream_rnn.replay.file_parts import Part, list_parts
from stream_rnn.replay.frame_rows import Rows, name_of, read_parquet
from stream_rnn.replay.json_files import read_json_values
from stream_rnn.replay.other_content import describe_value
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.spec.columns import Column, frame_columns
from stream_rnn.spec.connect_types import refuse_connect_types
from stream_rnn.spec.frame_parts import join_frames
from stream_rnn.spec.json_columns import json_columns
from stream_rnn.spec.schema_fields import SchemaField, avro_fields, merge_fields, with_schema
from stream_rnn.spec.text_columns import OTHER_MISSING_WORDS, Marks, type_column, without_missing
from stream_rnn.spec.text_parts import read_text_table

ROWS_MIN = 2
WORDS_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Sample:
    """The first rows of a log.

    Attributes:
        columns: The columns.
        rows: Number of rows.
        file: Options of ``[file]`` with which the log is read, other than defaults.
        reasons: Reasons for these options, and other remarks, a sentence each.
        key: Path of the key of the records of a topic; empty for a file, whose key is a guess.
        is_topic: Whether the rows are records of a topic, of whose partitions each has an order.
    """

    columns: Sequence[Column]
    rows: int
    file: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    is_topic: bool = False


def read_sample(log: Rows, rows: int, given: Mapping[str, Any] | None = None) -> Sample:
    """Read the first rows of a log.

    Args:
        log: Path of a file, or a data frame.
        rows: Maximum number of rows to read.
        given: Options of ``[file]`` that need not be guessed.

    Raises:
        ConfigError: The log cannot be read, or has fewer than two rows.
    """
    parts = list_parts(log) if isinstance(log, Path) else []
    if not isinstance(log, Path) or parts[0].kind != "delimited":
        if given:
            raise ConfigError(
                f"{name_of(log)}: {', '.join(given)} is for delimited text files (.csv, .tsv, .txt)"
            )
        frames = _parquet_frames(parts) if isinstance(log, Path) else [(name_of(log), log)]
        kind = parts[0].kind if parts else ""
        if kind == "avro":
            sample = _read_avro(parts, rows)
        else:
            sample = _read_json(log, parts, rows) if kind == "json" else _read_frames(frames, rows)
    else:
        sample = _read_text(log, parts, rows, dict(given or {}))
    if sample.rows < ROWS_MIN:
        count = f"{sample.rows} row{'s' * (sample.rows != 1)}"
        raise ConfigError(
            f"{name_of(log)} has {count}; a proposal needs at least {ROWS_MIN}, better thousands"
        )
    return sample


def frame_sample(frame: pl.DataFrame) -> Sample:
    """Return the sample of a data frame."""
    marks = Marks(is_json=True)
    return Sample([type_column(column, marks) for column in frame_columns(frame)], len(frame))


def _read_frames(frames: Iterable[tuple[str, pl.DataFrame]], rows: int) -> Sample:
    read: list[tuple[str, pl.DataFrame]] = []
    left = rows
    for name, frame in frames:
        read.append((name, frame.head(left)))
        left -= len(read[-1][1])
        if left <= 0:
            break
    table = join_frames(read)
    sample = frame_sample(table.frame)
    columns = [
        replace(column, texts=table.texts.get(column.parts[0], column.texts))
        if len(column.parts) == 1
        else column
        for column in sample.columns
    ]
    return replace(sample, columns=columns, reasons=(*sample.reasons, *table.notes))


def _parquet_frames(parts: Iterable[Part]) -> Iterator[tuple[str, pl.DataFrame]]:
    for part in parts:
        folders = [pl.lit(text, pl.String).alias(name) for name, text in part.folders.items()]
        for frame in read_parquet(part.path):
            yield str(part.path), frame.with_columns(folders)


def _read_json(log: Rows, parts: Iterable[Part], rows: int) -> Sample:
    objects: list[dict[str, Any]] = []
    wrong: Counter[str] = Counter()
    lines = (
        (part, line) for part in parts for batch in read_json_values(part.path) for line in batch
    )
    for part, line in islice(lines, rows):
        value = parse_json(line)
        if isinstance(value, dict):
            objects.append(part.folders | value)
        else:
            wrong[_what_is(line) if value is None and line != b"null" else "no object"] += 1
    if wrong and not objects:
        seen = "; ".join(f"{_lines_are(count)} {what}" for what, count in wrong.items())
        raise ConfigError(f"cannot read the log {name_of(log)}: no line is a JSON object: {seen}")
    if len(objects) == 1 and (array := _find_records(objects[0])):
        raise ConfigError(f"cannot read the log {name_of(log)}: {array}")
    reasons = tuple(
        f"{_lines_are(count)} {what}; {'it is' if count == 1 else 'they are'} skipped."
        for what, count in wrong.items()
    )
    return object_sample(objects, reasons)


def _read_avro(parts: Iterable[Part], rows: int) -> Sample:
    contents: list[dict[str, Any]] = []
    fields: dict[tuple[str, ...], SchemaField] = {}
    for part in parts:
        fields = merge_fields(fields, dict(avro_fields(read_container(part.path).root)))
        for batch in read_avro_contents(part.path, Moment()):
            taken = batch[: rows - len(contents)]
            contents += [part.folders | one for one in taken if isinstance(one, dict)]
            if len(contents) >= rows:
                break
        if len(contents) >= rows:
            break
    return object_sample(contents, (), fields, "the schema of the file")


def object_sample(
    objects: Sequence[dict[str, Any]],
    reasons: tuple[str, ...] = (),
    fields: Mapping[tuple[str, ...], SchemaField] | None = None,
    what: str = "",
) -> Sample:
    """Return the sample of objects.

    Args:
        objects: Contents of records.
        reasons: Remarks, a sentence each.
        fields: Fields of the schema of the records.
        what: Name of this schema, for a remark.
    """
    marks = Marks(is_json=True)
    found, lost = json_columns(objects)
    if lost:
        note = (
            f"{lost} values are left out, whose fields would be more than {len(found)} columns; are "
            "their names ids? Write such names as values."
        )
        reasons = (*reasons, note)
    found, said = with_schema(found, fields or {}, what)
    typed = [type_column(column, marks) for column in refuse_connect_types(found, objects)]
    return Sample(typed, len(objects), reasons=(*reasons, *said))


def _lines_are(count: int) -> str:
    return "1 line is" if count == 1 else f"{count} lines are"


def _what_is(line: bytes) -> str:
    """Return what a line is that is no JSON."""
    if found := describe_value(line):
        return found
    error = not_json(line, ())
    return str(error) if error.code == "framed" else "no JSON"


def _find_records(content: Mapping[str, Any], parts: tuple[str, ...] = ()) -> str:
    """Return where the records of an object are, such as ``{"data": [{}, {}]}``; empty for none."""
    for name, value in content.items():
        path = (*parts, name)
        is_array = isinstance(value, list) and len(value) >= ROWS_MIN
        if is_array and all(isinstance(element, dict) for element in value):
            names = "".join(f"[{json.dumps(part)}]" for part in path)
            return (
                f"it is one object, whose array {join_path(path)} has {len(value)} objects; write "
                f"these as lines: jq -c {shlex.quote(f'.{names}[]')} LOG > LINES.jsonl"
            )
        if isinstance(value, dict) and (found := _find_records(value, path)):
            return found
    return ""


def _read_text(log: Path, parts: Sequence[Part], rows: int, given: dict[str, Any]) -> Sample:
    table = read_text_table(log, parts, rows, given)
    columns = [
        Column((name,), "text", pl.Series(cells, dtype=pl.String))
        for name, cells in table.cells.items()
    ]
    reasons = (*table.reasons, *table.notes(), *_unnamed_notes(table.unnamed))
    return _typed(columns, table.rows, table.format, table.options, reasons)


def _unnamed_notes(unnamed: Sequence[int]) -> Iterator[str]:
    """Yield which columns are left out because they have no name."""
    if unnamed:
        shown = ", ".join(map(str, unnamed[:WORDS_SHOWN]))
        more = f" and {len(unnamed) - WORDS_SHOWN} more" if len(unnamed) > WORDS_SHOWN else ""
        index = ", such as the index that pandas writes" * (unnamed[0] == 1)
        yield (
            f"Without a name, and so left out: column {shown}{more}{index}. To read it, give it a "
            "name in the first line."
        )


def _typed(
    columns: Sequence[Column],
    rows: int,
    file: FileFormat,
    options: Mapping[str, Any],
    reasons: tuple[str, ...],
) -> Sample:
    """Return the sample of a delimited file, with the words for missing values."""
    marks = Marks(file.decimal, file.thousands)
    missing: Sequence[str] = file.missing
    typed = [_type_with_missing(column, missing, marks) for column in columns]
    further = {word for c in typed for word in c.unread if _may_be_missing(c, word)}
    if further:
        missing = (*file.missing, *sorted(further))
        options = {**options, "missing": missing}
        typed = [_type_with_missing(column, missing, marks) for column in columns]
        shown = ", ".join(map(repr, sorted(further)[:WORDS_SHOWN]))
        shown += f" and {len(further) - WORDS_SHOWN} more" if len(further) > WORDS_SHOWN else ""
        note = (
            f"missing: {shown} stand among numbers, so they are read as missing, in every column "
            "(confidence 0.70)."
        )
        reasons = (*reasons, note)
    return Sample(typed, rows, file=options, reasons=(*reasons, *_missing_notes(columns, missing)))


def _missing_notes(columns: Sequence[Column], missing: Sequence[str]) -> tuple[str, ...]:
    """Return which words are read as missing, and where."""
    seen = Counter[str]()
    places: dict[str, list[str]] = {}
    for column in columns:
        for word, count in without_missing(column.values, missing)[1].items():
            seen[word] += count
            places.setdefault(word, []).append(column.path)
    if not seen:
        return ()
    words = "; ".join(
        f"{word!r} in {count} fields of {', '.join(places[word][:3])}"
        for word, count in seen.most_common(WORDS_SHOWN)
    )
    more = f" and {len(seen) - WORDS_SHOWN} more" if len(seen) > WORDS_SHOWN else ""
    note = (
        f"These words are read as missing: {words}{more}. If one is a value, such as NA for Namibia, "
        "list the others in missing."
    )
    return (note,)


def _type_with_missing(column: Column, missing: Sequence[str], marks: Marks) -> Column:
    values, _ = without_missing(column.values, missing)
    raw = pl.select(pl.when(column.values != "").then(column.values)).to_series()
    return type_column(replace(column, values=values, raw=raw), marks)


def _may_be_missing(column: Column, word: str) -> bool:
    """Return whether a text among numbers means that there is no number."""
    if word.strip() in OTHER_MISSING_WORDS:
        return True
    return (
        column.unread[word] > 1 and not any(c.isdigit() for c in word) and len(column.unread) <= 3
    )
