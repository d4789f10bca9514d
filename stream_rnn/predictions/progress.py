"""The progress of a reader: the next offset of a partition, and the last offset of each source.

This module does no I/O.  A fold publishes the predictions of one source partition in source order, into one partition
of the predictions topic.  After a crash (``at_least_once``) a worker repeats predictions from at or
below the last source offset, so an offset that does not rise marks a duplicate.  This holds across
folds too: a rebuild, or another bundle, folds silently up to the group offset.

A cut-over puts another fold in charge, and each later prediction has its number.  A prediction with
a lower number than one before it is of a worker that has lost the partition (``at_least_once``).  It
does not count, because the fold in charge publishes its source offset, too.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from stream_rnn.errors import ConfigError

METADATA_VERSION = "v1"
METADATA_BYTES_MAX = 4000  # brokers accept 4096 by default
SOURCES_MAX = 64


class SourcePartition(NamedTuple):
    """One partition of a source that an app folds."""

    app: str
    topic: str
    partition: int


@dataclass(slots=True)
class PartitionProgress:
    """The progress of a reader in one partition of the predictions topic.

    Attributes:
        position: Next offset to read.
        last: Source offset of the last prediction of each source partition.
        numbers: Number of the last cut-over of each source partition, where there was one.
        is_initial: Whether nothing was read or committed yet: retention may then move the position.
        has_moved: Whether records were read since the last commit.
        has_uncommitted: Whether predictions were yielded since the last commit.
    """

    position: int
    last: dict[SourcePartition, int] = field(default_factory=dict)
    numbers: dict[SourcePartition, int] = field(default_factory=dict)
    is_initial: bool = False
    has_moved: bool = False
    has_uncommitted: bool = False

    def admit(self, source: SourcePartition, offset: int, number: int = 0) -> bool:
        """Record a prediction, and return whether it is new.

        Args:
            source: Source partition.
            offset: Source offset.
            number: Number of the last cut-over before the prediction.

        Raises:
            ConfigError: The predictions stem from more than ``SOURCES_MAX`` source partitions.
        """
        last, newest = self.last.get(source), self.numbers.get(source, 0)
        if number > newest and last is not None:
            self.numbers[source] = number
        if number < newest or (last is not None and offset <= last):
            return False
        if last is None and len(self.last) >= SOURCES_MAX:
            raise ConfigError(
                f"one partition has predictions of more than {SOURCES_MAX} source partitions; "
                "give each app a predictions topic of its own"
            )
        self.last[source] = offset
        if number:
            self.numbers[source] = number
        return True

    def is_behind(self, source: SourcePartition, offset: int, number: int) -> bool:
        """Return whether a prediction that was not read before is dropped for its number alone."""
        last = self.last.get(source)
        return number < self.numbers.get(source, 0) and last is not None and offset > last

    def metadata(self) -> str:
        """Return the last source offsets, and the numbers, as metadata of the committed offset.

        Raises:
            ConfigError: The metadata is longer than ``METADATA_BYTES_MAX``.
        """
        numbers = {source: [number] for source, number in self.numbers.items()}
        rows = [[*source, last, *numbers.get(source, [])] for source, last in self.last.items()]
        content = orjson.dumps(rows).decode()
        text = f"{METADATA_VERSION} {content}"
        if len(text.encode()) > METADATA_BYTES_MAX:
            raise ConfigError(
                f"the last offsets of {len(self.last)} source partitions need "
                f"{len(text.encode())} bytes of metadata, the limit is {METADATA_BYTES_MAX}; "
                "give each app a predictions topic of its own"
            )
        return text

    @classmethod
    def parse(cls, position: int, metadata: str) -> "PartitionProgress":
        """Parse a committed offset and its metadata.

        Metadata of another form is ignored, for example that of an offset which a person has set.
        """
        version, _, content = metadata.partition(" ")
        if version != METADATA_VERSION:
            return cls(position)
        last, numbers = {}, {}
        try:
            for app, topic, partition, offset, *number in orjson.loads(content):
                source = SourcePartition(str(app), str(topic), int(partition))
                last[source] = int(offset)
                if number:
                    numbers[source] = int(*number)
        except (ValueError, TypeError):
            return cls(position)
        return cls(position, last, numbers)
