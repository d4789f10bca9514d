"""Outputs that the replay produced and that were not read yet, in bounded memory."""

from collections.abc import Callable, Iterator

from stream_rnn.fold.output_batches import Message

MISSING_MAX = 100_000  # some 1 kB each, in addition to their bytes
MISSING_BYTES_MAX = 100_000_000


class MissingOutputs:
    """Expected outputs by source offset, in order of addition; iterating yields the offsets."""

    def __init__(self) -> None:
        self._outputs: dict[int, tuple[Message, int | None]] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over the source offsets."""
        return iter(self._outputs)

    def add(self, offset: int, message: Message, begin: int | None = None) -> None:
        """Add an expected output.

        Args:
            offset: Source offset of its record.
            message: The output of the replay.
            begin: Source offset at which the key's memory began; ``None`` if that is before the
                range.
        """
        self._outputs[offset] = message, begin
        self._bytes += _size_of(message)

    def pop(self, offset: int) -> tuple[Message, int | None]:
        """Remove the output of an offset, and return it with the start of its memory."""
        message, begin = self._outputs.pop(offset)
        self._bytes -= _size_of(message)
        return message, begin

    def drop(self, is_settled: Callable[[int], bool]) -> None:
        """Remove the outputs of offsets for which another fold is in charge."""
        for offset in [offset for offset in self if is_settled(offset)]:
            self.pop(offset)

    def first_excess(self) -> int | None:
        """Return the oldest offset if there are too many outputs or bytes, ``None`` otherwise."""
        if len(self._outputs) > MISSING_MAX or self._bytes > MISSING_BYTES_MAX:
            return next(iter(self._outputs))
        return None


def _size_of(message: Message) -> int:
    headers = sum(len(name) + len(text or b"") for name, text in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers
