"""Replay as an iterator over predictions."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from stream_rnn.fold.crash_points import Counts
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.predictions.schema import Prediction
from stream_rnn.replay.event_loop import ctrl_c_raises_in_loop
from stream_rnn.replay.logs import FileLog, Log
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings

BATCHES_MAX = 16  # maximum number of micro-batches that the fold is ahead of the loop
DEADLINE_S = 1.0

OnCounts = Callable[[Counts], None]


class _LoopLeftError(Exception):
    """The caller has left the loop."""


def replay(
    log: Log | str | Path, bundle: str | Path, settings: Settings | None = None
) -> Iterator[Prediction]:
    """Fold a log, and yield its predictions partition by partition in offset order.

    The fold runs in a thread, a few micro-batches ahead of the loop.  It ends when the caller
    leaves the loop.

    Args:
        log: Path of a file, or a log of :mod:`stream_rnn.replay.logs`.
        bundle: Directory of the bundle.
        settings: Settings of the fold; ``None`` for the environment and the defaults.

    Yields:
        One prediction for each valid event, equal to the prediction that a worker publishes.

    Raises:
        StreamRNNError: The bundle or the log cannot be read.

    Example::

        for prediction in replay("flights.jsonl", "bundles/delay"):
            print(prediction.key, prediction.outputs["late"].probability)
    """
    model = load_bundle(bundle)
    source = FileLog(Path(log), model.spec) if isinstance(log, str | Path) else log
    settings = settings or Settings.build()
    settings = settings.replace(source=settings.source or source.name)
    for values in replay_values(source, model, settings):
        yield from map(Prediction.parse, values)


def replay_values(
    log: Log,
    model: Model,
    settings: Settings,
    on_counts: OnCounts = lambda _counts: None,
) -> Iterator[list[bytes]]:
    """Fold a log, and yield the bytes of the predictions of one micro-batch at a time.

    Args:
        log: A log that is not open yet.
        model: The model.
        settings: Settings with app, source, and everything that is part of the fold id.
        on_counts: Called with the counts of each partition at its end, in the thread of the fold.
    """
    fold = _FoldThread(log, model, settings, on_counts)
    thread = threading.Thread(target=fold.run, name="replay", daemon=True)
    torch_threads = torch.get_num_threads()
    thread.start()
    fold.is_pinned.wait()
    torch.set_num_threads(torch_threads)  # the default again, for threads that start later
    try:
        while (item := fold.take()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        fold.is_left.set()
        thread.join(DEADLINE_S)


class _FoldThread:
    """The fold, which runs in a thread of its own.

    Attributes:
        ready: Queue of the predictions of each micro-batch; ends with ``None`` or an exception.
        is_left: Set when the caller has left the loop.
        is_pinned: Set when the thread uses one torch thread.
    """

    def __init__(self, log: Log, model: Model, settings: Settings, on_counts: OnCounts) -> None:
        self.ready: queue.Queue[list[bytes] | BaseException | None] = queue.Queue(BATCHES_MAX)
        self.is_left, self.is_pinned = threading.Event(), threading.Event()
        self._log, self._model, self._settings = log, model, settings
        self._on_counts = on_counts

    def run(self) -> None:
        """Fold the log, and put its predictions or an exception into the queue."""
        pin_numerics()
        self.is_pinned.set()
        try:
            asyncio.run(self._fold())
            self._put(None)
        except _LoopLeftError:
            return
        except BaseException as error:  # noqa: BLE001  # raised again in the loop of the caller
            self._put(error)

    @ctrl_c_raises_in_loop()
    def take(self) -> list[bytes] | BaseException | None:
        """Wait for the next item of the queue."""
        return self.ready.get()

    async def _fold(self) -> None:
        async with self._log as log:
            for source_range in await log.ranges():
                counts = await replay_partition(
                    self._model,
                    self._settings,
                    source_range.partition,
                    source_range.start,
                    log.batches(source_range),
                    self._emit,
                )
                self._on_counts(counts)

    def _emit(self, predictions: Sequence[Message], _dead_letters: Sequence[Message]) -> None:
        self._put([message.value or b"" for message in predictions])

    def _put(self, item: list[bytes] | BaseException | None) -> None:
        while not self.is_left.is_set():
            try:
                self.ready.put(item, timeout=DEADLINE_S)
            except queue.Full:
                continue
            return
        raise _LoopLeftError
