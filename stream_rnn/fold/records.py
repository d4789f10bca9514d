"""Records of the source: those of Kafka, and those of files and tests."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Keyed(Protocol):
    """The content of a record, which decides what is folded, and of which key."""

    @property
    def key(self) -> bytes | None:
        """Key to which a hidden state belongs."""

    @property
    def value(self) -> bytes | None:
        """Event, or ``None`` to forget the key."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Headers, of which one may name the schema of the value."""


class Record(Keyed, Protocol):
    """A record of the source, such as aiokafka's ``ConsumerRecord``."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka's timestamp in milliseconds; -1 for none."""


class LogRecord(NamedTuple):
    """A record from a test, or made by a program, instead of Kafka."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class FileRecord(LogRecord):
    """A row of a file or a data frame as JSON; the option ``value_format`` is not for it."""

    __slots__ = ()
