"""Observers of a processor: the metrics of a worker, or nothing in a replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stream_rnn.errors import StateError
from stream_rnn.fold.micro_batch import DecodedBatch, SteppedBatch
from stream_rnn.fold.recovery import Start


@dataclass(frozen=True, slots=True)
class FoldedBatch:
    """A micro-batch that is published and committed.

    Attributes:
        batch: Decoded micro-batch.
        stepped: Results of the network.
        seconds: Seconds in each step of the processor.
        published: Number of published predictions; the other events are folded silently.
        hits: Number of keys whose hidden state came from the cache.
        misses: Number of keys that were read from Redis.
    """

    batch: DecodedBatch
    stepped: SteppedBatch
    seconds: Mapping[str, float]
    published: int
    hits: int
    misses: int


class Observer(Protocol):
    """Receives the events of a processor.  Its methods must neither wait nor raise."""

    def on_start(self, start: Start) -> None:
        """Called each time a partition begins to fold."""

    def on_reposition(self, error: StateError) -> None:
        """Called when an error makes the partition find its start again."""

    def on_batch(self, folded: FoldedBatch) -> None:
        """Called after the commit of each micro-batch."""


class NullObserver:
    """An observer that does nothing."""

    def on_start(self, start: Start) -> None:
        """Do nothing."""

    def on_reposition(self, error: StateError) -> None:
        """Do nothing."""

    def on_batch(self, folded: FoldedBatch) -> None:
        """Do nothing."""
