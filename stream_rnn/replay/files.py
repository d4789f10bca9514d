"""A log as a file: JSON lines, CSV or Parquet, as the records of partitions.

A file has no partitions: it is split by Kafka's murmur2 of the key, as a producer would have done,
since stream time, and with it expiry, is per partition.  A row's timestamp is its event time, or
its number where the spec names no time; its place is file, partition and row.  A line of JSON is a record as it stands; rows of CSV and Parquet
become the JSON that polars writes of them, and so do those of a data frame, which is read in place of
a file.  Nothing reads a file as a whole.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from aiokafka.partitioner import murmur2

from stream_rnn.errors import ConfigError, RecordError, SpecError, reason
from stream_rnn.fold.decoder import NO_TIMESTAMP, LogRecord, parse_time_ms
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.features import EventTime, FeatureSpec

ROWS_A_BATCH = 50_000
BYTES_A_BATCH = 4_000_000
SCHEMA_ROWS = 10_000
JSON_LINES = (".jsonl", ".ndjson", ".json")

OPAQUE = (pl.Binary, pl.Object)

Rows = Path | pl.DataFrame  # where rows are, or they themselves
Value = tuple[bytes, Any]  # a row as JSON, and as it was read


def name_of(rows: Rows) -> str:
    """Return how messages name a file or a data frame."""
    return str(rows) if isinstance(rows, Path) else "the data frame"


def read_frames(path: Rows, what: str = "log") -> Iterator[pl.DataFrame]:
    """Yield the rows of a file or of a data frame in their order, as frames.

    Args:
        path: of the file, or a data frame.
        what: its rows are, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: it is missing, or not what its name says.
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
        why = error.strerror or reason(error)
        raise ConfigError(f"cannot read the {what} {path}: {why}") from error
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"cannot read the {what} {path}: {reason(error)}") from error


def _scan(path: Path, what: str) -> pl.LazyFrame:
    if path.suffix not in (".parquet", ".csv", *JSON_LINES):
        are = "a log is a" if what == "log" else f"{what} are a"
        raise ConfigError(f"{path}: {are} .jsonl, .csv or .parquet file")
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
    """Yield the records of one partition of a file or frame; an offset is the number of its row.

    Raises:
        SpecError: the spec names no key, which a file needs.
        ConfigError: the file is missing, or not what its name says.
    """
    if not spec.event.key:
        raise SpecError(
            f"{name_of(path)}: a file needs event.key in the spec: the fields that make the key"
        )
    make = _maker(spec)
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
        if records:
            yield records


def read_records(
    path: Rows, spec: FeatureSpec, partitions: int = 1
) -> Iterator[tuple[int, LogRecord]]:
    """Yield (partition, record) of every row."""
    for records in read_batches(path, spec):
        for record in records:
            yield partition_of(record.key, partitions), record


@lru_cache(maxsize=100_000)
def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a key."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


def _json_lines(path: Path) -> Iterator[list[Value]]:
    """Yield lines; one that is not JSON stays as it is, and the decoder skips it."""
    try:
        with path.open("rb") as file:
            while lines := file.readlines(BYTES_A_BATCH):
                yield [(line, _parsed(line)) for line in map(bytes.strip, lines) if line]
    except OSError as error:
        raise ConfigError(f"cannot read the log {path}: {reason(error)}") from error


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _rows(path: Rows, spec: FeatureSpec) -> Iterator[list[Value]]:
    """Yield rows of frames with what of them makes key and timestamp."""
    time = spec.event.time
    paths = [*spec.event.key, *([time.path] if time else [])]
    for frame in read_frames(path):
        if opaque := [name for name, kind in frame.schema.items() if kind in OPAQUE]:
            raise ConfigError(
                f"cannot read the log {name_of(path)}: JSON has no bytes, which {', '.join(opaque)} holds; "
                "leave it out, or make it text"
            )
        buffer = io.BytesIO()
        frame.write_ndjson(buffer)
        columns = {name for path in paths if (name := path.partition(".")[0]) in frame.columns}
        rows = frame.select(sorted(columns)).to_dicts() if columns else [{}] * len(frame)
        yield list(zip(buffer.getvalue().split(b"\n"), rows, strict=False))


def _maker(spec: FeatureSpec) -> Callable[[int, bytes, Any], LogRecord]:
    """Return what makes a record of a row: its offset, its JSON, and what was read."""
    getters = [value_getter(path) for path in spec.event.key]
    dated = None if spec.event.time is None else _dater(spec.event.time)

    def make(offset: int, value: bytes, row: Any) -> LogRecord:
        if not isinstance(row, dict):  # a broken line: with a key, it is skipped for what it is
            return LogRecord(offset, -1, b"", value)
        parts = [get(row) for get in getters]
        key = None if None in parts else "-".join(map(str, parts)).encode()
        return LogRecord(offset, offset if dated is None else dated(row), key, value)

    return make


def _dater(time: EventTime) -> Callable[[dict[str, Any]], int]:
    """Return what gives a row's event time; of one that has none, the decoder says what is wrong."""
    get_time = value_getter(time.path)
    kinds = (object,) if time.unit == "iso8601" else (int, float)

    def dated(row: dict[str, Any]) -> int:
        raw = get_time(row)
        if not isinstance(raw, kinds) or isinstance(raw, bool):
            return NO_TIMESTAMP
        try:
            return parse_time_ms(raw, time.unit, time.path)
        except RecordError:
            return NO_TIMESTAMP

    return dated
