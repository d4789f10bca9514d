"""Where a reader stands: the next offset of each partition, and what it saw of each source.

Pure.  A fold publishes the predictions of one source partition in source order, into one partition
of the predictions topic.  What is published again after a crash (``at_least_once``) begins at or
below what was seen last, so a source offset that does not rise is a duplicate.  That is also true
across folds: a rebuild, or another bundle, folds silently up to the group offset.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from stream_rnn.errors import ConfigError

METADATA_VERSION = "v1"
METADATA_BYTES_MAX = 4000  # brokers accept 4096 by default
SOURCES_MAX = 64


class SourcePartition(NamedTuple):
    """One partition of a source, folded by one app."""

    app: str
    topic: str
    partition: int


@dataclass(slots=True)
class Place:
    """How far one partition of the predictions topic was read.

    Attributes:
        position: the next offset to read.
        last: of each source partition, the source offset of the last prediction.
        is_fresh: nothing was read or committed: retention may move the position.
        is_moved: records were read since the last commit.
        is_owed: among them were predictions that were yielded.
    """

    position: int
    last: dict[SourcePartition, int] = field(default_factory=dict)
    is_fresh: bool = False
    is_moved: bool = False
    is_owed: bool = False

    def admit(self, source: SourcePartition, offset: int) -> bool:
        """Return whether a source offset is new, and remember it.

        Raises:
            ConfigError: the predictions are of too many sources.
        """
        last = self.last.get(source)
        if last is not None and offset <= last:
            return False
        if last is None and len(self.last) >= SOURCES_MAX:
            raise ConfigError(
                f"one partition holds predictions of more than {SOURCES_MAX} source partitions; "
                "give each app a predictions topic of its own"
            )
        self.last[source] = offset
        return True

    def metadata(self) -> str:
        """Return what is committed beside the position.

        Raises:
            ConfigError: it is more than a broker accepts.
        """
        content = orjson.dumps([[*source, last] for source, last in self.last.items()]).decode()
        text = f"{METADATA_VERSION} {content}"
        if len(text.encode()) > METADATA_BYTES_MAX:
            raise ConfigError(
                f"the last offsets of {len(self.last)} source partitions need "
                f"{len(text.encode())} bytes of metadata, {METADATA_BYTES_MAX} are accepted; "
                "give each app a predictions topic of its own"
            )
        return text

    @classmethod
    def parse(cls, position: int, metadata: str) -> "Place":
        """Read what was committed; without our metadata (set by a person) nothing was seen yet."""
        version, _, content = metadata.partition(" ")
        if version != METADATA_VERSION:
            return cls(position)
        try:
            last = {
                SourcePartition(str(app), str(topic), int(partition)): int(offset)
                for app, topic, partition, offset in orjson.loads(content)
            }
        except (ValueError, TypeError):
            return cls(position)
        return cls(position, last)
