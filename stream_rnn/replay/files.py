"""A log as a file: JSON lines, CSV or Parquet, as the records of partitions.

A file has no partitions: it is split by Kafka's murmur2 of the key, as a producer would have done,
since stream time, and with it expiry, is per partition.  A row's timestamp is its event time, its
place is file, partition and row.  A line of JSON is a record as it stands; rows of CSV and Parquet
become the JSON that polars writes of them.  Nothing reads a file as a whole.
"""

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from aiokafka.partitioner import murmur2

from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.fold.events import TIME_MS_MAX, TIME_MS_MIN, LogRecord
from stream_rnn.model.features import FeatureSpec

ROWS_A_BATCH = 50_000
LINE_BYTES_MAX = 64_000_000
SCHEMA_ROWS = 10_000
JSON_LINES = (".jsonl", ".ndjson", ".json")

Value = tuple[bytes, Any]  # a row as JSON, and as it was read


def read_frames(path: Path) -> Iterator[pl.DataFrame]:
    """Yield a file's rows in its order, as frames.

    Raises:
        ConfigError: it is missing, or not what its name says.
    """
    try:
        if path.suffix == ".parquet":
            lazy = pl.scan_parquet(path)
        elif path.suffix == ".csv":
            lazy = pl.scan_csv(path, infer_schema_length=SCHEMA_ROWS)
        elif path.suffix in JSON_LINES:
            lazy = pl.scan_ndjson(path, infer_schema_length=SCHEMA_ROWS)
        else:
            raise ConfigError(f"{path}: a log is a .jsonl, .csv or .parquet file")
        for first in range(0, 1 << 62, ROWS_A_BATCH):
            frame = lazy.slice(first, ROWS_A_BATCH).collect()
            yield frame
            if len(frame) < ROWS_A_BATCH:
                return
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"cannot read the log {path}: {error}") from error


def read_batches(
    path: Path, spec: FeatureSpec, partition: int = 0, partitions: int = 1
) -> Iterator[Sequence[LogRecord]]:
    """Yield the records of one partition of a file; an offset is the number of its row.

    Raises:
        SpecError: the spec names no key, which a file needs.
        ConfigError: the file is missing, or not what its name says.
    """
    if not spec.event.key:
        raise SpecError(f"{path}: a file needs event.key in the spec: the fields that make the key")
    is_json = path.suffix in JSON_LINES
    offset = 0
    for values in _json_lines(path) if is_json else _rows(path, spec):
        records = [_record(offset + i, value, row, spec) for i, (value, row) in enumerate(values)]
        offset += len(values)
        if partitions > 1:
            records = [r for r in records if partition_of(r.key, partitions) == partition]
        if records:
            yield records


def read_records(
    path: Path, spec: FeatureSpec, partitions: int = 1
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
    values: list[Value] = []
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES_MAX):
                if not (line := line.strip()):
                    continue
                try:
                    values.append((line, orjson.loads(line)))
                except orjson.JSONDecodeError:
                    values.append((line, None))
                if len(values) == ROWS_A_BATCH:
                    yield values
                    values = []
    except OSError as error:
        raise ConfigError(f"cannot read the log {path}: {error}") from error
    if values:
        yield values


def _rows(path: Path, spec: FeatureSpec) -> Iterator[list[Value]]:
    """Yield rows of frames with what of them makes key and timestamp."""
    time = spec.event.time
    paths = [*spec.event.key, *([time.path] if time else [])]
    for frame in read_frames(path):
        buffer = io.BytesIO()
        frame.write_ndjson(buffer)
        columns = {name for path in paths if (name := path.partition(".")[0]) in frame.columns}
        rows = frame.select(sorted(columns)).to_dicts() if columns else [{}] * len(frame)
        yield list(zip(buffer.getvalue().split(b"\n"), rows, strict=False))


def _record(offset: int, value: bytes, row: Any, spec: FeatureSpec) -> LogRecord:
    if not isinstance(row, dict):  # a broken line: with a key, it is skipped for what it is
        return LogRecord(offset, -1, b"", value)
    parts = [_at(row, field) for field in spec.event.key]
    key = None if None in parts else "-".join(map(str, parts)).encode()
    return LogRecord(offset, _timestamp(row, spec), key, value)


def _timestamp(row: dict[str, Any], spec: FeatureSpec) -> int:
    """Return the event time, -1 where it is none: the decoder looks at the field and says why."""
    time = spec.event.time
    raw = None if time is None else _at(row, time.path)
    if time is None or isinstance(raw, bool) or not isinstance(raw, int | float):
        return -1
    time_ms = raw * (1000 if time.unit == "s" else 1)
    return round(time_ms) if TIME_MS_MIN <= time_ms <= TIME_MS_MAX else -1  # NaN is not between


def _at(row: dict[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
