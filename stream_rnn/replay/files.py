"""A log in a file (JSON lines, CSV or Parquet) or in a data frame, as records of partitions.

The rows are split into partitions by Kafka's murmur2 hash of the key, as a producer splits them,
because stream time, and with it expiry, belongs to a partition.  The offset of a record is the
number of its row.  Its timestamp is the event time of the row, or the row number if the spec names
no event time.  A line of JSON becomes the value of a record unchanged; other rows become JSON.  A
file is read in batches, never as a whole.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from aiokafka.partitioner import murmur2

from stream_rnn.errors import SpecError
from stream_rnn.fold.records import FileRecord, LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.file_rows import read_row_batches
from stream_rnn.replay.frame_rows import Rows, name_of
from stream_rnn.replay.row_batch import RowBatch
from stream_rnn.replay.time_order import OrderCheck, sort_rows

__all__ = ["Rows", "name_of", "partition_of", "read_batches"]


def read_batches(
    path: Rows,
    spec: FeatureSpec,
    partition: int = 0,
    partitions: int = 1,
    *,
    sort_by_time: bool | None = None,
) -> Iterator[Sequence[LogRecord]]:
    """Yield the records of one partition of a file or data frame, in batches.

    A batch may be empty.  It takes a fraction of a second, and so does Ctrl-C.

    Args:
        path: Path of the file or of a directory of parts, or a data frame.
        spec: The feature spec, for the format, the key and the event time.
        partition: Number of the partition to yield.
        partitions: Number of partitions into which the rows are split.
        sort_by_time: Whether to sort the rows by event time; ``None`` to refuse rows whose times
            go back by much, ``False`` to take them as they stand.

    Raises:
        SpecError: The spec has no ``event.key``, which a file needs, or no ``event.time``, which
            sorting needs.
        ConfigError: The file does not exist, its content does not match its extension, or its rows
            are not in the order of their times.
    """
    if not spec.event.key:
        raise SpecError(
            f"{name_of(path)}: a file needs event.key in the spec, the fields that make the key"
        )
    offset = 0
    for batch in _ordered(path, spec, sort_by_time):
        records = _records(batch, offset, has_time=spec.event.time is not None)
        offset += len(batch.values)
        if partitions > 1:
            records = [r for r in records if partition_of(r.key, partitions) == partition]
        yield records


def _ordered(path: Rows, spec: FeatureSpec, sort_by_time: bool | None) -> Iterator[RowBatch]:
    """Yield the rows of a log in the order of its offsets."""
    batches = read_row_batches(path, spec)
    if sort_by_time:
        if spec.event.time is None:
            raise SpecError(f"{name_of(path)}: --sort-by-time needs event.time in the spec")
        yield from sort_rows(batches, name_of(path))
    elif sort_by_time is False or spec.event.time is None:
        yield from batches
    else:
        check, row = OrderCheck(name_of(path)), 0
        for batch in batches:
            check.add(batch, row)
            row += len(batch.values)
            yield batch
        check.finish()


def _records(batch: RowBatch, offset: int, *, has_time: bool) -> list[LogRecord]:
    values, keys, timestamps = batch
    if has_time:
        return [
            FileRecord(offset, timestamp, key, value)
            for offset, (value, key, timestamp) in enumerate(
                zip(values, keys, timestamps, strict=True), offset
            )
        ]
    return [
        FileRecord(offset, offset, key, value)
        for offset, (value, key) in enumerate(zip(values, keys, strict=True), offset)
    ]


@lru_cache(maxsize=100_000)
def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition of a key by Kafka's default partitioner."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions
