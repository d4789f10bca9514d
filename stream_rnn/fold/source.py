"""Where a partition's records come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_rnn.fold.decoder import Record


@dataclass(frozen=True, slots=True)
class Fetch:
    """Records of one partition in offset order, and the source's own position after them."""

    records: Sequence[Record]
    next_position: int


class Source(Protocol):
    """Where a partition's records come from."""

    async def seek(self, position: int) -> None:
        """Deliver from this offset on; nothing fetched before is delivered any more."""

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return what has arrived, waiting for it at most so long; ``None`` is the end.

        A fetch without records says that there are none below its ``next_position``.
        """
