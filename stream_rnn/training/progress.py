"""The progress of training one network."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

REPORTS_PER_EPOCH = 100

Phase = Literal["training", "validation", "scoring"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of training one network.

    Attributes:
        what: Kind of the cell, or ``memoryless``.
        epoch: Number of the current epoch, from 1.
        epochs: Maximum number of epochs.
        done: Finished share of the epoch, its validation included, from 0 to 1.
        training_loss: Mean training loss of the epoch so far.
        validation_loss: Lowest validation loss so far.
        epoch_loss: Validation loss of this epoch; NaN until the epoch ends.
        phase: What the network does now.
        events: Number of events that the network has stepped through so far, in all epochs.
        events_max: Number of events of all epochs; while scoring, of the past ones and of scoring.
    """

    what: str
    epoch: int
    epochs: int
    done: float
    training_loss: float
    validation_loss: float
    epoch_loss: float = math.nan
    phase: Phase = "training"
    events: int = 0
    events_max: int = 0


OnProgress = Callable[[Progress], None]


class Meter:
    """Counts the events of one network in training, and reports progress.

    Args:
        what: Kind of the cell, or ``memoryless``.
        epochs: Maximum number of epochs.
        events: Number of events of an epoch.
        on_progress: Called with the progress.

    Attributes:
        phase: What the network does now.
        training_loss: Mean training loss of the epoch so far.
    """

    def __init__(self, what: str, epochs: int, events: int, on_progress: OnProgress) -> None:
        self._what, self._epochs, self._on_progress = what, epochs, on_progress
        self._epoch, self._best_loss = 0, math.inf
        self._events = self._total = max(events, 1)
        self._done = self._reported = 0
        self.phase: Phase = "training"
        self.training_loss = math.nan

    def begin(self, epoch: int, best_loss: float) -> None:
        """Begin an epoch; ``best_loss`` is the lowest validation loss so far."""
        self._epoch, self._best_loss, self.phase = epoch, best_loss, "training"
        self._done = self._reported = 0
        self.training_loss = math.nan

    def step(self, events: int) -> None:
        """Count events, and report unless too few events have passed since the last report."""
        self._done += events
        is_due = (self._done - self._reported) * REPORTS_PER_EPOCH >= self._total
        if is_due or self._done >= self._total:
            self._reported = self._done
            self._report(min(self._done / self._total, 1.0))

    def end(self, best_loss: float, epoch_loss: float) -> None:
        """Report the end of an epoch with its validation loss."""
        self._best_loss = best_loss
        self._report(1.0, epoch_loss)

    def begin_scoring(self, events: int) -> None:
        """Begin to score a number of events, after the last epoch."""
        self.phase, self._done, self._reported, self._total = "scoring", 0, 0, max(events, 1)

    def _report(self, done: float, epoch_loss: float = math.nan) -> None:
        epochs = self._epoch - 1 + done if self.phase != "scoring" else self._epoch
        scored = self._done if self.phase == "scoring" else 0
        self._on_progress(
            Progress(
                what=self._what,
                epoch=self._epoch,
                epochs=self._epochs,
                done=done,
                training_loss=self.training_loss,
                validation_loss=self._best_loss,
                epoch_loss=epoch_loss,
                phase=self.phase,
                events=round(epochs * self._events) + scored,
                events_max=(
                    self._epoch * self._events + self._total
                    if self.phase == "scoring"
                    else self._epochs * self._events
                ),
            )
        )
