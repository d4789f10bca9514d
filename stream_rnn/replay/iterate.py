"""Replay as an iterator: predictions as they come, for a loop of Python."""

import asyncio
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from stream_rnn.fold.output_batches import Message
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.predictions.schema import Prediction
from stream_rnn.replay.logs import FileLog, Log
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings

BATCHES_MAX = 16  # that wait for the loop
DEADLINE_S = 1.0


class _LeftError(Exception):
    """The loop was left."""


def replay(
    log: Log | str | Path, bundle: str | Path, settings: Settings | None = None
) -> Iterator[Prediction]:
    """Fold a log, and yield its predictions partition by partition in offset order.

    The fold runs in a thread, at most some micro-batches ahead; leaving the loop ends it.

    Args:
        log: a file's path, or a log of :mod:`stream_rnn.replay.logs`.
        bundle: directory of the model.
        settings: of the fold; ``None``: the defaults and the environment.

    Yields:
        One prediction for each valid event, equal to what a worker publishes.

    Raises:
        StreamRNNError: the bundle or the log cannot be read.

    Example::

        for prediction in replay("flights.jsonl", "bundles/delay"):
            print(prediction.key, prediction.outputs["late"].probability)
    """
    pin_numerics()
    model = load_bundle(bundle)
    opened = FileLog(Path(log), model.spec) if isinstance(log, str | Path) else log
    given = settings or Settings.build()
    given = given.replace(source=given.source or opened.name)
    for values in replay_values(opened, model, given):
        yield from map(Prediction.parse, values)


def replay_values(log: Log, model: Model, settings: Settings) -> Iterator[list[bytes]]:
    """Fold a log, and yield the bytes of its predictions, those of a micro-batch at a time.

    Args:
        log: not opened yet.
        model: what is stepped.
        settings: names of app and source, and all that is in the fold id.
    """
    folding = _Folding(log, model, settings)
    thread = threading.Thread(target=folding.run, name="replay", daemon=True)
    thread.start()
    try:
        while (found := folding.ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        folding.left.set()
        thread.join(DEADLINE_S)


class _Folding:
    """The fold in its thread.

    Attributes:
        ready: values of predictions; then ``None``, or what went wrong.
        left: set when nobody waits for more.
    """

    def __init__(self, log: Log, model: Model, settings: Settings) -> None:
        self.ready: queue.Queue[list[bytes] | BaseException | None] = queue.Queue(BATCHES_MAX)
        self.left = threading.Event()
        self._log, self._model, self._settings = log, model, settings

    def run(self) -> None:
        """Fold all; what goes wrong is raised where the loop is."""
        try:
            asyncio.run(self._fold())
            self._put(None)
        except _LeftError:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where the loop is
            self._put(error)

    async def _fold(self) -> None:
        async with self._log as log:
            for wanted in await log.ranges():
                place = wanted.partition, wanted.start
                batches = log.batches(wanted)
                await replay_partition(self._model, self._settings, *place, batches, self._emit)

    def _emit(self, predictions: Sequence[Message], _dead_letters: Sequence[Message]) -> None:
        self._put([message.value or b"" for message in predictions])

    def _put(self, item: list[bytes] | BaseException | None) -> None:
        while not self.left.is_set():
            try:
                self.ready.put(item, timeout=DEADLINE_S)
            except queue.Full:
                continue
            return
        raise _LeftError
