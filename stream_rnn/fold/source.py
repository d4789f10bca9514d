"""The source of a partition's records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_rnn.fold.decoder import Record


@dataclass(frozen=True, slots=True)
class Fetch:
    """Records of one partition in offset order, and the position of the source after them."""

    records: Sequence[Record]
    next_position: int


class Source(Protocol):
    """Source of a partition's records."""

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on, and discard records that were fetched before."""

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return the records that have arrived, or ``None`` at the end of the source.

        Waits at most ``timeout_s`` seconds for records.  If a fetch has no records, the log has
        none below its ``next_position``.
        """
