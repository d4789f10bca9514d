"""Who is told what a processor does: metrics in a worker, nobody in a replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stream_rnn.errors import StateError
from stream_rnn.fold.micro_batch import Batch, Stepped
from stream_rnn.fold.recovery import Start


@dataclass(frozen=True, slots=True)
class Folded:
    """One micro-batch that was published and committed.

    Attributes:
        batch: what was decoded.
        stepped: what the network said.
        seconds: by step of the processor.
        published: how many predictions; the other events were folded silently.
        hits: keys whose hidden state was in the cache.
        misses: keys that were looked for in Redis.
    """

    batch: Batch
    stepped: Stepped
    seconds: Mapping[str, float]
    published: int
    hits: int
    misses: int


class Observer(Protocol):
    """Told once an assignment and once a micro-batch; it must neither wait nor raise."""

    def started(self, start: Start) -> None:
        """A partition was positioned."""

    def repositioned(self, error: StateError) -> None:
        """A partition has to be positioned anew."""

    def folded(self, folded: Folded) -> None:
        """A micro-batch is done."""


class Nobody:
    """Listens to nothing."""

    def started(self, start: Start) -> None:
        """Do nothing."""

    def repositioned(self, error: StateError) -> None:
        """Do nothing."""

    def folded(self, folded: Folded) -> None:
        """Do nothing."""
