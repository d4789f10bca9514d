"""A progress line for notebooks, which a function deletes when it returns."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from stream_rnn.training.progress import Progress

EVERY_S = 0.5
KERNEL = "ipykernel.kernelapp"

OnProgress = Callable[..., None]


class ProgressLine:
    """A line that shows progress, and is rewritten at most twice per second.

    Args:
        stream: Text stream to write to; ``None`` is the standard output.
        clock: Clock that returns seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._clock = stream or sys.stdout, clock
        self._records: dict[str, int] = {}
        self._written_at = -EVERY_S
        self._width = 0

    def __call__(self, name: str, now: Progress | int, total: int | None = None) -> None:
        """Show the progress of training or reading.

        Args:
            name: Name of the network, model or partition.
            now: Progress of training, or the number of records read since the last call.
            total: Number of all records; ``None`` if it is not known.
        """
        if isinstance(now, Progress):
            epoch = f"epoch {now.epoch}/{now.epochs} {now.phase}"
            text = f"{name}: {epoch}, {now.done:.0%}, loss {now.training_loss:.4f}"
        else:
            self._records[name] = self._records.get(name, 0) + now
            text = f"{name}: {self._records[name]:,} records"
            text += "" if total is None else f" of {total:,}"
        now_s = self._clock()
        if now_s - self._written_at >= EVERY_S:
            self._written_at = now_s
            self._write(text)

    def close(self) -> None:
        """Delete the line."""
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


@contextmanager
def progress_to(on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """Yield the callback to which a function reports its progress.

    Args:
        on_progress: Callback of the caller; ``None`` shows a line in a notebook and nothing
            elsewhere.
    """
    if on_progress is not None or KERNEL not in sys.modules:
        yield on_progress or _ignore
        return
    line = ProgressLine()
    try:
        yield line
    finally:
        line.close()


def _ignore(*_progress: Any) -> None:
    """Ignore the progress."""
