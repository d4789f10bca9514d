"""A source that a cut-over can pause."""

from stream_rnn.fold.source import Fetch, Source

LOOK_EVERY_S = 0.25
UNWATCHED_LOOK_EVERY_S = 1.0  # a roll-out may start during a long wait


class PausableSource:
    """A source that a cut-over can pause; see :class:`stream_rnn.fold.source.Source`.

    Attributes:
        is_watched: Whether a roll-out is open, so that waits must be short.
        is_pausing: Whether ``take`` returns ``None``, as at the end of the source.
        has_ended: Whether the source itself has ended.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self.is_watched = self.is_pausing = self.has_ended = False

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on."""
        self._position = position
        await self._source.seek(position)

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return the records that have arrived; ``None`` at the end, and while pausing."""
        left_s = timeout_s
        while not self.is_pausing:
            wait_s = min(left_s, LOOK_EVERY_S if self.is_watched else UNWATCHED_LOOK_EVERY_S)
            fetch = await self._source.take(wait_s)
            if fetch is None:
                self.has_ended = True
                return None
            left_s -= wait_s
            if fetch.records or left_s <= 0 or fetch.next_position > self._position:
                self._position = fetch.next_position
                return fetch
        return None
