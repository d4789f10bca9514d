"""Outputs that a replay gives and that were not found yet, in bounded memory."""

from collections.abc import Iterator

from stream_rnn.fold.output_batches import Message

ABSENT_MAX = 100_000  # some 1 kB each, beside their bytes
ABSENT_BYTES_MAX = 100_000_000


class Absent:
    """Outputs by source offset, in the order in which they were put; iterates over the offsets."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Message, int | None]] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over the offsets."""
        return iter(self._kept)

    def put(self, offset: int, message: Message, begin: int | None = None) -> None:
        """Keep what should be there.

        Args:
            offset: of the source.
            message: the output.
            begin: where its memory began; ``None``: before the range.
        """
        self._kept[offset] = message, begin
        self._bytes += _size_of(message)

    def pop(self, offset: int) -> tuple[Message, int | None]:
        """Give up an output, and return it with its begin."""
        message, begin = self._kept.pop(offset)
        self._bytes -= _size_of(message)
        return message, begin

    def beyond(self) -> int | None:
        """Return the offset that has to go first, where there are too many or too many bytes."""
        if len(self._kept) > ABSENT_MAX or self._bytes > ABSENT_BYTES_MAX:
            return next(iter(self._kept))
        return None


def _size_of(message: Message) -> int:
    headers = sum(len(name) + len(text or b"") for name, text in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers
