"""The records of a file, one by one."""

from collections.abc import Iterator

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.files import Rows, partition_of, read_batches


def read_records(
    path: Rows, spec: FeatureSpec, partitions: int = 1
) -> Iterator[tuple[int, LogRecord]]:
    """Yield the partition and the record of every row, in the order of the rows."""
    for records in read_batches(path, spec):
        for record in records:
            yield partition_of(record.key, partitions), record
