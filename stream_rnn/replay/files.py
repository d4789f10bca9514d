"""A log as a file: JSON lines, CSV or Parquet, as the records of partitions.

A file has no partitions: it is split by Kafka's murmur2 of the key, as a producer would have done,
since stream time, and with it expiry, is per partition.  A row's timestamp is its event time, its
place is file, partition and row.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from aiokafka.partitioner import murmur2

from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.fold.events import TIME_MS_MAX, TIME_MS_MIN, LogRecord
from stream_rnn.model.features import FeatureSpec

ROWS_A_BATCH = 50_000


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file in its order.

    Raises:
        ConfigError: it is missing, or not what its name says.
    """
    try:
        if path.suffix == ".parquet":
            lazy = pl.scan_parquet(path)
        elif path.suffix == ".csv":
            lazy = pl.scan_csv(path, infer_schema_length=10_000)
        elif path.suffix in (".jsonl", ".ndjson", ".json"):
            lazy = pl.scan_ndjson(path, infer_schema_length=10_000)
        else:
            raise ConfigError(f"{path}: a log is a .jsonl, .csv or .parquet file")
        for first in range(0, 1 << 62, ROWS_A_BATCH):
            rows = lazy.slice(first, ROWS_A_BATCH).collect().to_dicts()
            yield from rows
            if len(rows) < ROWS_A_BATCH:
                return
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"cannot read the log {path}: {error}") from error


def read_records(
    path: Path, spec: FeatureSpec, partitions: int = 1
) -> Iterator[tuple[int, LogRecord]]:
    """Yield (partition, record) of every row; a record's offset is the number of its row.

    Raises:
        SpecError: the spec names no key, which a file needs.
    """
    if not spec.event.key:
        raise SpecError(f"{path}: a file needs event.key in the spec: the fields that make the key")
    for offset, row in enumerate(read_rows(path)):
        parts = [_at(row, field) for field in spec.event.key]
        key = None if None in parts else "-".join(str(part) for part in parts).encode()
        value = orjson.dumps(row, default=str)
        timestamp = _timestamp(row, spec)
        yield partition_of(key, partitions), LogRecord(offset, timestamp, key, value)


def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a key."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


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
