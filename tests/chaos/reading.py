"""The process of one reader of a group, which logs each event of the reader.

On SIGTERM the reader leaves the group.  On SIGUSR1 it processes the next prediction for longer than
the poll interval.  On SIGUSR2 it makes the group rebalance, and its next look-ups fail.
"""

import asyncio
import logging
import os
import random
import signal
import time
from dataclasses import dataclass
from functools import partial

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from stream_rnn.errors import FencedError, StreamRNNError, UnavailableError
from stream_rnn.kafka.clients import new_consumer
from stream_rnn.predictions import PredictionReader, reader
from stream_rnn.predictions.assignment import Assignment

SESSION_TIMEOUT_S = 3.0
SLOW_S = 4.0
TIMEOUT_S = 20.0
FAILING_LOOK_UPS = 2


@dataclass(frozen=True)
class ReaderOptions:
    """Options of a reader process.

    Attributes:
        log: Path of the file that the process writes.
        is_patient: Whether the reader waits for the next prediction without a limit. Otherwise it
            cancels the wait again and again, and commits when there is no prediction.
        seed: Random seed of the intervals between commits.
    """

    log: str
    bootstrap_servers: str
    topic: str
    group: str
    start: str
    is_patient: bool
    seed: int


def main(options: ReaderOptions) -> None:
    """Read until SIGTERM."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    asyncio.run(_Process(options).run())


class _Process:
    def __init__(self, options: ReaderOptions) -> None:
        self._options = options
        self._draw = random.Random(options.seed)
        self._log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._is_leaving = False
        self._is_slow = False
        self._failing = 0
        self._reader: PredictionReader | None = None
        self._task: asyncio.Task | None = None

    def write_line(self, kind: str, *words: object) -> None:
        """Write a line without buffering, so that SIGKILL loses no line."""
        line = " ".join(map(str, (f"{time.monotonic():.6f}", kind, *words)))
        os.write(self._log, line.encode() + b"\n")

    async def run(self) -> None:
        """Open a reader, and open it again after an error of the package."""
        self._prepare()
        options = self._options
        while not self._is_leaving:
            self._reader = PredictionReader(
                options.topic, bootstrap_servers=options.bootstrap_servers, group_id=options.group,
                start=options.start, timeout_s=TIMEOUT_S,
            )  # fmt: skip
            try:
                async with self._reader:
                    self.write_line("O")
                    await self._read(self._reader)
            except StreamRNNError as error:
                self.write_line("E", type(error).__name__)
                await asyncio.sleep(0.2)
            except BaseException as error:
                self.write_line("X", type(error).__name__, repr(str(error)))
                raise

    def _prepare(self) -> None:
        reader.new_consumer = partial(
            new_consumer,
            session_timeout_ms=int(SESSION_TIMEOUT_S * 1000),
            heartbeat_interval_ms=500,
            max_poll_interval_ms=2500,
        )
        assigned, ask, process = (
            Assignment.on_partitions_assigned, AIOKafkaAdminClient.list_consumer_group_offsets, self,
        )  # fmt: skip

        async def record_assignment(assignment, partitions):
            process.write_line("A")
            await assigned(assignment, partitions)

        async def may_fail(*names, **options):
            if process._failing:
                process._failing -= 1
                raise KafkaConnectionError("the chaos test makes this look-up fail")
            return await ask(*names, **options)

        Assignment.on_partitions_assigned = record_assignment
        AIOKafkaAdminClient.list_consumer_group_offsets = may_fail
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        loop.add_signal_handler(signal.SIGUSR1, partial(setattr, self, "_is_slow", True))
        loop.add_signal_handler(signal.SIGUSR2, self._fail)
        self.write_line("B")

    def _leave(self) -> None:
        self._is_leaving = True
        if self._task is not None:
            self._task.cancel()

    def _fail(self) -> None:
        self._failing = FAILING_LOOK_UPS
        if self._reader is not None and self._reader._consumer is not None:
            coordinator = self._reader._consumer._coordinator
            if coordinator is not None:
                coordinator.request_rejoin()

    async def _read(self, opened: PredictionReader) -> None:
        since = 0
        while not self._is_leaving:
            prediction = await self._next(opened)
            if prediction is None:
                if not self._options.is_patient:
                    await self._commit(opened)
                continue
            self.write_line("Y", prediction.source.partition, prediction.source.offset)
            since += 1
            if self._is_slow:
                self._is_slow = False
                await asyncio.sleep(SLOW_S)
            if since >= self._draw.randint(1, 12):
                await self._commit(opened)
                since = 0
            await asyncio.sleep(0)
        if self._draw.random() < 0.5:
            await self._commit(opened)

    async def _next(self, opened: PredictionReader):
        # Await in this task: another task could be cancelled after it has received the prediction.
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(None if self._options.is_patient else 0.5):
                return await anext(opened)
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if not self._is_leaving:
                raise
            self._task.uncancel()
            return None
        except UnavailableError:
            self.write_line("E", "UnavailableError")
            return None
        finally:
            self._task = None

    async def _commit(self, opened: PredictionReader) -> None:
        self.write_line("c")
        try:
            await opened.commit()
        except FencedError:
            self.write_line("F")
        except UnavailableError:
            self.write_line("u")
        else:
            self.write_line("C")
