"""A log in a file (JSON lines, CSV or Parquet) or in a data frame, as records of partitions.

The rows are split into partitions by Kafka's murmur2 hash of the key, as a producer splits them,
because stream time, and with it expiry, belongs to a partition.  The offset of a record is the
number of its row.  Its timestamp is the event time of the row, or the row number if the spec names
no event time.  A line of JSON becomes the value of a record unchanged; polars converts other
rows to JSON.  A file is read in batches, never as a whole.
"""

import io
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from aiokafka.partitioner import murmur2

from stream_rnn.errors import ConfigError, RecordError, SpecError, reason
from stream_rnn.fold.decoder import NO_TIMESTAMP, LogRecord
from stream_rnn.fold.event_time import parse_time_ms
from stream_rnn.fold.fields import key_element_getter, value_getter
from stream_rnn.model.event import EventTime
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path

ROWS_A_BATCH = 50_000
RECORDS_PER_BATCH = 16_384
BYTES_A_BATCH = 2_000_000
SCHEMA_ROWS = 10_000
JSON_LINES = (".jsonl", ".ndjson", ".json")

UNSUPPORTED_TYPES = (pl.Binary, pl.Object)

Rows = Path | pl.DataFrame  # path of a file, or a data frame
Value = tuple[bytes, Any]  # a row as JSON, and as an object of Python


def name_of(rows: Rows) -> str:
    """Return the name of a file or a data frame for messages."""
    return str(rows) if isinstance(rows, Path) else "the data frame"


def read_frames(path: Rows, what: str = "log") -> Iterator[pl.DataFrame]:
    """Yield the rows of a file or of a data frame in order, as frames.

    Args:
        path: Path of the file, or a data frame.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file does not exist, or its content does not match its extension.
    """
    if isinstance(path, pl.DataFrame):
        yield from path.iter_slices(ROWS_A_BATCH)
        return
    try:
        lazy = _scan(path, what)
        for first in range(0, 1 << 62, ROWS_A_BATCH):
            frame = lazy.slice(first, ROWS_A_BATCH).collect()
            yield frame
            if len(frame) < ROWS_A_BATCH:
                return
    except OSError as error:
        message = error.strerror or reason(error)
        raise ConfigError(f"cannot read the {what} {path}: {message}") from error
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"cannot read the {what} {path}: {reason(error)}") from error


def _scan(path: Path, what: str) -> pl.LazyFrame:
    if path.suffix not in (".parquet", ".csv", *JSON_LINES):
        subject = "a log is a" if what == "log" else f"{what} are a"
        raise ConfigError(f"{path}: {subject} .jsonl, .csv or .parquet file")
    if not path.stat().st_size:
        raise ConfigError(f"cannot read the {what} {path}: the file is empty")
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    if path.suffix == ".csv":
        return pl.scan_csv(path, infer_schema_length=SCHEMA_ROWS)
    return pl.scan_ndjson(path, infer_schema_length=SCHEMA_ROWS)


def read_batches(
    path: Rows, spec: FeatureSpec, partition: int = 0, partitions: int = 1
) -> Iterator[Sequence[LogRecord]]:
    """Yield the records of one partition of a file or data frame, in batches.

    A batch may be empty.  It takes a fraction of a second, and so does Ctrl-C.

    Args:
        path: Path of the file, or a data frame.
        spec: The feature spec, for the key and the event time.
        partition: Number of the partition to yield.
        partitions: Number of partitions into which the rows are split.

    Raises:
        SpecError: The spec has no ``event.key``, which a file needs.
        ConfigError: The file does not exist, or its content does not match its extension.
    """
    if not spec.event.key:
        raise SpecError(
            f"{name_of(path)}: a file needs event.key in the spec, the fields that make the key"
        )
    make = _record_maker(spec)
    if isinstance(path, Path) and path.suffix in JSON_LINES:
        read = _json_lines(path)
    else:
        read = _rows(path, spec)
    offset = 0
    for values in read:
        records = [make(offset, value, row) for offset, (value, row) in enumerate(values, offset)]
        offset += len(values)
        if partitions > 1:
            records = [r for r in records if partition_of(r.key, partitions) == partition]
        yield records


def read_records(
    path: Rows, spec: FeatureSpec, partitions: int = 1
) -> Iterator[tuple[int, LogRecord]]:
    """Yield the partition and the record of every row, in the order of the rows."""
    for records in read_batches(path, spec):
        for record in records:
            yield partition_of(record.key, partitions), record


@lru_cache(maxsize=100_000)
def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition of a key by Kafka's default partitioner."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


def _json_lines(path: Path) -> Iterator[list[Value]]:
    """Yield the lines of a file; the decoder skips those that are not JSON."""
    try:
        with path.open("rb") as file:
            if file.read(len(BOM_UTF8)) != BOM_UTF8:
                file.seek(0)
            while lines := file.readlines(BYTES_A_BATCH):
                yield [(line, _parse_json(line)) for line in map(bytes.strip, lines) if line]
    except OSError as error:
        raise ConfigError(f"cannot read the log {path}: {reason(error)}") from error


def _parse_json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _rows(path: Rows, spec: FeatureSpec) -> Iterator[list[Value]]:
    """Yield rows as JSON, with the columns that make key and timestamp as objects."""
    time = spec.event.time
    paths = [*spec.event.key_paths, *([time.path] if time else [])]
    for frame in chain.from_iterable(f.iter_slices(RECORDS_PER_BATCH) for f in read_frames(path)):
        schema = frame.schema.items()
        if unsupported := [f"{n} ({dtype})" for n, dtype in schema if dtype in UNSUPPORTED_TYPES]:
            raise ConfigError(
                f"cannot read the log {name_of(path)}: JSON cannot carry the values of column "
                f"{', '.join(unsupported)}; drop the column, or cast it to text"
            )
        buffer = io.BytesIO()
        frame.write_ndjson(buffer)
        columns = {name for path in paths if (name := split_path(path)[0]) in frame.columns}
        rows = frame.select(sorted(columns)).to_dicts() if columns else [{}] * len(frame)
        yield list(zip(buffer.getvalue().split(b"\n"), rows, strict=False))


def _record_maker(spec: FeatureSpec) -> Callable[[int, bytes, Any], LogRecord]:
    """Return a function that makes a record from the offset, the JSON and the object of a row."""
    getters = [key_element_getter(element) for element in spec.event.key]
    read_timestamp = None if spec.event.time is None else _timestamp_reader(spec.event.time)

    def make(offset: int, value: bytes, row: Any) -> LogRecord:
        if not isinstance(row, dict):  # the decoder skips the record because its value is no object
            return LogRecord(offset, -1, b"", value)
        parts = [get(row) for get in getters]
        key = None if None in parts else "-".join(map(str, parts)).encode()
        return LogRecord(
            offset, offset if read_timestamp is None else read_timestamp(row), key, value
        )

    return make


def _timestamp_reader(time: EventTime) -> Callable[[dict[str, Any]], int]:
    """Return a function that reads the event time of a row; ``NO_TIMESTAMP`` if it is invalid."""
    get_time = value_getter(time.path)

    def read_timestamp(row: dict[str, Any]) -> int:
        try:
            return parse_time_ms(get_time(row), time)
        except RecordError:
            return NO_TIMESTAMP

    return read_timestamp
