"""Rows of Parquet files and data frames as JSON, whose rules they follow.

Dates and times become the texts that JSON carries, a categorical value its word, and a decimal
number a text, or a number where the spec reads one.  A column that JSON cannot carry is an error if
the spec names it, and is left out otherwise.
"""

import io
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import polars as pl

from stream_rnn.errors import ConfigError, reason
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.replay.other_content import describe_first_line
from stream_rnn.replay.row_keys import missing_column, needed_paths
from stream_rnn.replay.text_files import describe_magic
from stream_rnn.replay.text_values import text_readers

HEAD_BYTES = 200
ROWS_A_BATCH = 50_000
RECORDS_PER_BATCH = 16_384

Rows = Path | pl.DataFrame  # path of a file or of a directory, or a data frame


def name_of(rows: Rows) -> str:
    """Return the name of a file or a data frame for messages."""
    return str(rows) if isinstance(rows, Path) else "the data frame"


def read_parquet(path: Path, what: str = "log") -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file in order, as frames.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        lazy = pl.scan_parquet(path, hive_partitioning=False)
        for first in range(0, 1 << 62, ROWS_A_BATCH):
            frame = lazy.slice(first, ROWS_A_BATCH).collect()
            yield frame
            if len(frame) < ROWS_A_BATCH:
                return
    except OSError as error:
        message = error.strerror or reason(error)
        raise ConfigError(f"cannot read the {what} {path}: {message}") from error
    except pl.exceptions.PolarsError as error:
        message = _describe_other(path) or reason(error)
        raise ConfigError(f"cannot read the {what} {path}: {message}") from error


def _describe_other(path: Path) -> str:
    """Return what a file is that is no Parquet file, with the remedy; empty for a damaged one."""
    if path.is_dir():
        return ""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return ""
    if remedy := describe_magic(head) or describe_first_line(head.decode("latin-1")):
        return remedy
    if head.isascii() and b"\0" not in head:
        return "it is a text file, not Parquet; give it a name that ends in .csv or .jsonl"
    return "it is no Parquet file, which begins with PAR1"


def named_columns(spec: FeatureSpec) -> frozenset[str]:
    """Return the columns that a spec reads: the first name on each of its paths."""
    event = spec.event
    paths = {*event.key_paths, *(only.path for only in event.only)}
    paths.update(part.path for part in (event.time, event.forget_when) if part is not None)
    if event.unwrap is not None:
        paths.add(event.unwrap)
    else:
        paths.update(field.path for field in spec.fields(with_targets=True))
    return frozenset(split_path(path)[0] for path in paths)


def frames_as_json(
    frames: Iterable[pl.DataFrame], spec: FeatureSpec, name: str, folders: Collection[str] = ()
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield rows as JSON, twice: whole, and with only the columns of the key and the event time.

    Args:
        frames: The rows.
        spec: The feature spec.
        name: Name of the file or the data frame, for messages.
        folders: Columns that the folders of the file add.

    Raises:
        ConfigError: A column of the key or of the event time is missing, or JSON cannot carry a
            column that the spec names.
    """
    named, numbers = named_columns(spec), text_readers(spec)
    needed = {split_path(path)[0] for paths in needed_paths(spec) for path in paths}
    for frame in frames:
        names = [*frame.columns, *folders]
        for paths in needed_paths(spec):
            if not any(split_path(path)[0] in names for path in paths):
                raise missing_column(name, names, paths)
        kept = _with_types_of_json(frame, named, numbers.keys(), name)
        kept_columns = [column for column in kept.columns if column in needed]
        for batch in kept.iter_slices(RECORDS_PER_BATCH):
            values = _lines(batch)
            yield (
                values,
                _lines(batch.select(kept_columns)) if kept_columns else [b"{}"] * len(values),
            )


def _with_types_of_json(
    frame: pl.DataFrame, named: frozenset[str], numbers: Iterable[str], name: str
) -> pl.DataFrame:
    """Return a frame without the columns that JSON cannot carry, and with numbers for decimals."""
    for column, dtype in frame.schema.items():
        if not _is_carried(dtype):
            if column in named:
                raise ConfigError(
                    f"cannot read the log {name}: JSON cannot carry the values of column "
                    f"{column} ({dtype}); cast the column to text or numbers"
                )
            frame = frame.drop(column)
    decimals = [c for c in numbers if isinstance(frame.schema.get(c), pl.Decimal)]
    return frame.with_columns(pl.col(c).cast(pl.String).cast(pl.Float64) for c in decimals)


def _is_carried(dtype: pl.DataType) -> bool:
    """Return whether JSON carries the values of a type."""
    if isinstance(dtype, pl.Struct):
        return all(_is_carried(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]  # polars has classes for types too
    if isinstance(dtype, pl.List | pl.Array):
        return _is_carried(dtype.inner)  # type: ignore[arg-type]
    return dtype not in (pl.Binary, pl.Object)


def _lines(frame: pl.DataFrame) -> list[bytes]:
    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    return buffer.getvalue().split(b"\n")[: len(frame)]
