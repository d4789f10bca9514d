"""One reader of a group, in a process of its own, that writes down what happens to it.

SIGTERM: it leaves.  SIGUSR1: its work on the next prediction takes longer than the group waits for a
poll.  SIGUSR2: the group rebalances, and its next look-ups fail.
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
LOOK_UPS_THAT_FAIL = 2


@dataclass(frozen=True)
class Reading:
    """What a reader is told.

    Attributes:
        log: file that it writes.
        is_patient: it waits for the next prediction as long as it takes; else it cancels the
            wait again and again, and commits when there is nothing.
        seed: of how often it commits.
    """

    log: str
    bootstrap_servers: str
    topic: str
    group: str
    start: str
    is_patient: bool
    seed: int


def main(told: Reading) -> None:
    """Read until SIGTERM."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    asyncio.run(_Process(told).run())


class _Process:
    def __init__(self, told: Reading) -> None:
        self._told = told
        self._draw = random.Random(told.seed)
        self._log = os.open(told.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._is_leaving = False
        self._is_slow = False
        self._failing = 0
        self._reader: PredictionReader | None = None
        self._task: asyncio.Task | None = None

    def say(self, kind: str, *words: object) -> None:
        """Write a line; SIGKILL loses none that was written."""
        line = " ".join(map(str, (f"{time.monotonic():.6f}", kind, *words)))
        os.write(self._log, line.encode() + b"\n")

    async def run(self) -> None:
        """Open a reader, and open it again when that fails."""
        self._prepare()
        told = self._told
        while not self._is_leaving:
            self._reader = PredictionReader(
                told.topic, bootstrap_servers=told.bootstrap_servers, group_id=told.group,
                start=told.start, timeout_s=TIMEOUT_S,
            )  # fmt: skip
            try:
                async with self._reader:
                    self.say("O")
                    await self._read(self._reader)
            except StreamRNNError as error:
                self.say("E", type(error).__name__)
                await asyncio.sleep(0.2)
            except BaseException as error:
                self.say("X", type(error).__name__, repr(str(error)))
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

        async def told(assignment, partitions):
            process.say("A")
            await assigned(assignment, partitions)

        async def may_fail(*names, **options):
            if process._failing:
                process._failing -= 1
                raise KafkaConnectionError("cut by the chaos")
            return await ask(*names, **options)

        Assignment.on_partitions_assigned = told
        AIOKafkaAdminClient.list_consumer_group_offsets = may_fail
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        loop.add_signal_handler(signal.SIGUSR1, partial(setattr, self, "_is_slow", True))
        loop.add_signal_handler(signal.SIGUSR2, self._fail)
        self.say("B")

    def _leave(self) -> None:
        self._is_leaving = True
        if self._task is not None:
            self._task.cancel()

    def _fail(self) -> None:
        self._failing = LOOK_UPS_THAT_FAIL
        if self._reader is not None and self._reader._consumer is not None:
            coordinator = self._reader._consumer._coordinator
            if coordinator is not None:
                coordinator.request_rejoin()

    async def _read(self, opened: PredictionReader) -> None:
        since = 0
        while not self._is_leaving:
            prediction = await self._next(opened)
            if prediction is None:
                if not self._told.is_patient:
                    await self._commit(opened)
                continue
            self.say("Y", prediction.source.partition, prediction.source.offset)
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
        # In this task: a task of its own could be cancelled when it has the prediction already.
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(None if self._told.is_patient else 0.5):
                return await anext(opened)
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if not self._is_leaving:
                raise
            self._task.uncancel()
            return None
        except UnavailableError:
            self.say("E", "UnavailableError")
            return None
        finally:
            self._task = None

    async def _commit(self, opened: PredictionReader) -> None:
        self.say("c")
        try:
            await opened.commit()
        except FencedError:
            self.say("F")
        except UnavailableError:
            self.say("u")
        else:
            self.say("C")
