"""The workers of one fold, and the orchestrator that starts them again."""

import asyncio
import random
import re
import signal
import time
from collections.abc import Callable

from stream_rnn.local.workers import WorkerProcess
from stream_rnn.worker.fault_injection import EXIT_STATUS, VARIABLE

RELEASE = 4
SESSION_TIMEOUT_S = 10.0  # as the package sets it
OUR_SESSION_TIMEOUT_S = 5.0  # below what brokers accept by default; ours accept it
MAY_END_WITH = {RELEASE, EXIT_STATUS, -signal.SIGKILL}
READY_WITHIN_S = 90
OWNED_WITHIN_S = 120


class Worker(WorkerProcess):
    """One worker; it may be born with a flaw.

    Attributes:
        is_mute: its log went nowhere.
        is_leaving: it was asked to end.
    """

    is_mute = False
    is_leaving = False

    def tail(self) -> str:
        """Return the end of its log."""
        return "" if self.is_mute else self.log.read_text(errors="replace")[-3000:]

    def partitions(self) -> set[int]:
        """Return the partitions that it says it owns."""
        return set() if self.is_mute else super().partitions()

    def says(self, pattern: str) -> bool:
        """Tell whether its log holds a text."""
        return not self.is_mute and bool(re.search(pattern, self.log.read_text(errors="replace")))


class Crew:
    """Keeps so many workers running.

    Args:
        options: the worker's command line.
        directory: of the logs.
        size: how many work.
        draw: chooses victims.
        tell: told what happened.
        session_timeout_s: of the group.
    """

    def __init__(
        self,
        options,
        directory,
        size: int,
        draw: random.Random,
        tell: Callable[[str], None],
        session_timeout_s: float = SESSION_TIMEOUT_S,
    ) -> None:
        self.options = dict(options)
        self.directory = directory
        self.size = size
        self.draw = draw
        self.tell = tell
        self.all: list[Worker] = []
        self.working: list[Worker] = []
        self.frozen: list[Worker] = []
        self.stopped_for: list[tuple[Worker, str]] = []
        self.restarts = 0
        self.session_timeout_s = session_timeout_s
        self.expects_stop = ""

    def start(self, fault: str = "", *, program=None, is_mute=False, **options) -> Worker:
        """Start one more worker.

        Args:
            fault: what it brings upon itself; see ``stream_rnn/worker/fault_injection.py``.
            program: what Python runs in place of the command line.
            is_mute: its log goes to a full disk.
            options: settings of this worker alone.
        """
        name = f"worker-{len(self.all)}"
        if is_mute:
            (self.directory / f"{name}.log").symlink_to("/dev/full")
        environment = {
            "BROKER_SESSION_TIMEOUT": str(self.session_timeout_s),
            "BROKER_HEARTBEAT_INTERVAL": str(min(3.0, self.session_timeout_s / 5)),
            "OMP_NUM_THREADS": "1",
            **({VARIABLE: fault} if fault else {}),
        }
        given = {**self.options, **{key: str(value) for key, value in options.items()}}
        more = {"program": program} if program else {}
        worker = Worker(name, given, self.directory, environment, **more)
        worker.is_mute = is_mute
        self.all.append(worker)
        self.working.append(worker)
        return worker

    def tend(self) -> None:
        """Start workers anew that ended as they may; anything else is a finding."""
        for worker in [w for w in self.working if not w.is_alive]:
            self.working.remove(worker)
            status = worker.exit_status
            if status == 3 and self.expects_stop and worker.says(self.expects_stop):
                self.stopped_for.append((worker, self.expects_stop))
                continue
            if status not in MAY_END_WITH:
                raise AssertionError(f"{worker.name} ended with {status}:\n{worker.tail()}")
            self.restarts += 1
            self.tell(f"{worker.name} ended with {status}")
        while len(self.working) < self.size:
            self.start()

    async def tending(self) -> None:
        """Tend until cancelled."""
        while True:
            self.tend()
            await asyncio.sleep(0.25)

    def owners(self) -> list[Worker]:
        """Return the workers that own partitions."""
        return [w for w in self.working if w.is_alive and w.partitions()]

    def owned(self) -> set[int]:
        """Return the partitions that are owned."""
        return {p for worker in self.working if worker.is_alive for p in worker.partitions()}

    async def until_owned(self, count: int = 1) -> None:
        """Wait until so many partitions are owned; mute workers do not say what they own."""
        async with asyncio.timeout(OWNED_WITHIN_S):
            while len(self.owned()) < count and not any(w.is_mute for w in self.working):
                await asyncio.sleep(0.1)

    async def until_says(self, worker: Worker, pattern: str, timeout_s: float) -> bool:
        """Wait until a worker's log holds a text; tell whether it came, or the worker ended."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if worker.says(pattern):
                return True
            if not worker.is_alive:
                return worker.says(pattern)
            await asyncio.sleep(0.05)
        return False

    async def victim(self) -> Worker:
        """Choose a worker that owns something, if there is one."""
        await self.until_owned()
        return self.draw.choice(sorted(self.owners() or self.working, key=lambda w: w.name))

    def take(self, worker: Worker) -> bool:
        """Take a worker out of those that are tended; tell whether it was one of them."""
        is_here = worker in self.working
        if is_here:
            self.working.remove(worker)
        return is_here

    async def kill(self, worker: Worker) -> None:
        """End a worker without a word."""
        worker.is_leaving = True
        self.take(worker)
        await asyncio.to_thread(worker.kill)

    async def terminate(self, worker: Worker) -> None:
        """Ask a worker to leave."""
        worker.is_leaving = True
        self.take(worker)
        may = {0, *MAY_END_WITH}  # another fault may have met it at the same time
        expected = self.expects_stop
        if not worker.says("fold ready"):
            may |= {-signal.SIGTERM}  # it was still importing: nothing handles the signal yet
        if worker.is_mute:
            may |= {-signal.SIGTERM, -signal.SIGKILL}
        status = await asyncio.to_thread(worker.stop)
        if expected and worker.says(expected):
            may |= {3}
        if status not in may:
            raise AssertionError(f"{worker.name} left with {status}:\n{worker.tail()}")

    async def until_ready(self) -> None:
        """Wait until every worker has started."""
        async with asyncio.timeout(READY_WITHIN_S):
            for worker in self.working:
                while not (worker.is_mute or worker.says("fold ready")) and worker.is_alive:
                    await asyncio.sleep(0.1)
                if worker.says("fold ready"):
                    assert worker.says(f"delivery={self.options['delivery']}"), worker.tail()

    async def leave(self) -> None:
        """Ask all to leave."""
        await self.until_ready()
        await asyncio.sleep(2)  # the group's first join is not interrupted
        await asyncio.gather(*(self.terminate(worker) for worker in list(self.working)))

    async def end(self) -> None:
        """Leave no process behind."""
        for worker in self.all:
            if worker.is_alive:
                worker.signal(signal.SIGCONT)
                await asyncio.to_thread(worker.kill)
