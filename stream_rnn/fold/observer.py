"""Observers of a processor: the metrics of a worker, or nothing in a replay."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
        is_sampled: Whether its outputs are those of the heads that an observer knows.
    """

    batch: DecodedBatch
    stepped: SteppedBatch
    seconds: Mapping[str, float]
    published: int
    hits: int
    misses: int
    is_sampled: bool = True


class Observer(Protocol):
    """Receives the events of a processor.  Its methods must neither wait nor raise."""

    def on_start(self, start: Start) -> None:
        """Called each time a partition begins to fold."""

    def on_reposition(self, error: StateError) -> None:
        """Called when an error makes the partition find its start again."""

    def on_batch(self, folded: FoldedBatch) -> None:
        """Called after the commit of each micro-batch."""


@dataclass(frozen=True, slots=True)
class UnsampledObserver:
    """An observer that counts micro-batches whose heads another one does not know."""

    observer: Observer

    def on_start(self, start: Start) -> None:
        """Pass the start on."""
        self.observer.on_start(start)

    def on_reposition(self, error: StateError) -> None:
        """Pass the error on."""
        self.observer.on_reposition(error)

    def on_batch(self, folded: FoldedBatch) -> None:
        """Pass the counts on; no output is sampled."""
        self.observer.on_batch(replace(folded, is_sampled=False))


class NullObserver:
    """An observer that does nothing."""

    def on_start(self, start: Start) -> None:
        """Do nothing."""

    def on_reposition(self, error: StateError) -> None:
        """Do nothing."""

    def on_batch(self, folded: FoldedBatch) -> None:
        """Do nothing."""
