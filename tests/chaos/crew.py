"""The workers of one fold, and an orchestrator that restarts them."""

import asyncio
import random
import re
import signal
import time
from collections.abc import Callable

from stream_rnn.local.workers import WorkerProcess
from stream_rnn.worker.fault_injection import EXIT_STATUS, VARIABLE

RELEASE = 4
SESSION_TIMEOUT_S = 10.0  # the default of the package
OUR_SESSION_TIMEOUT_S = 5.0  # brokers refuse this by default; the driver's brokers accept it
EXPECTED_STATUSES = {RELEASE, EXIT_STATUS, -signal.SIGKILL}
READY_WITHIN_S = 90
OWNED_WITHIN_S = 120


class Worker(WorkerProcess):
    """The process of one worker.

    Attributes:
        is_mute: Whether the worker cannot write its log.
        is_leaving: Whether the crew has killed or terminated the worker.
        has_program: Whether it runs a program of its own, which waits for its crash point.
    """

    is_mute = False
    is_leaving = False
    has_program = False

    def tail(self) -> str:
        """Return the end of the worker's log."""
        return "" if self.is_mute else self.log.read_text(errors="replace")[-3000:]

    def partitions(self) -> set[int]:
        """Return the partitions that the worker owns according to its log."""
        return set() if self.is_mute else super().partitions()

    def has_logged(self, pattern: str) -> bool:
        """Return whether the worker's log matches a pattern."""
        return not self.is_mute and bool(re.search(pattern, self.log.read_text(errors="replace")))


class Crew:
    """Keeps a number of workers running.

    Args:
        options: Options of the worker's command line.
        directory: Directory of the logs.
        size: Number of workers.
        draw: Random numbers that choose victims.
        note: Callback with a text for each exit of a worker.
        session_timeout_s: Session timeout of the group in seconds.
    """

    def __init__(
        self,
        options,
        directory,
        size: int,
        draw: random.Random,
        note: Callable[[str], None],
        session_timeout_s: float = SESSION_TIMEOUT_S,
    ) -> None:
        self.options = dict(options)
        self.directory = directory
        self.size = size
        self.draw = draw
        self.note = note
        self.all: list[Worker] = []
        self.working: list[Worker] = []
        self.frozen: list[Worker] = []
        self.stopped_for: list[tuple[Worker, str]] = []
        self.restarts = 0
        self.session_timeout_s = session_timeout_s
        self.expects_stop = ""
        self.may_stop = ""
        self.program: tuple[str, ...] = ()

    def start(self, fault: str = "", *, program=None, is_mute=False, **options) -> Worker:
        """Start another worker.

        Args:
            fault: Faults that the worker injects; see ``stream_rnn/worker/fault_injection.py``.
            program: Program that Python runs instead of the command line.
            is_mute: Whether the log is on a full disk.
            options: Settings of this worker only.
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
        all_options = {**self.options, **{key: str(value) for key, value in options.items()}}
        program_option = {"program": program or self.program} if program or self.program else {}
        worker = Worker(name, all_options, self.directory, environment, **program_option)
        worker.is_mute = is_mute
        worker.has_program = program is not None
        self.all.append(worker)
        self.working.append(worker)
        return worker

    def tend(self) -> None:
        """Replace workers that have ended with an expected status; raise for any other status."""
        for worker in [w for w in self.working if not w.is_alive]:
            self.working.remove(worker)
            status = worker.exit_status
            if status == 3 and self.expects_stop and worker.has_logged(self.expects_stop):
                self.stopped_for.append((worker, self.expects_stop))
                continue
            if status == 3 and self.may_stop and worker.has_logged(self.may_stop):
                self.note(f"{worker.name} has not the bundle in charge")
                continue
            if status not in EXPECTED_STATUSES:
                raise AssertionError(f"{worker.name} ended with {status}:\n{worker.tail()}")
            self.restarts += 1
            self.note(f"{worker.name} ended with {status}")
        while len(self.working) < self.size:
            self.start()

    async def tend_forever(self) -> None:
        """Replace ended workers until cancelled."""
        while True:
            self.tend()
            await asyncio.sleep(0.25)

    def owners(self) -> list[Worker]:
        """Return the workers that own partitions."""
        return [w for w in self.working if w.is_alive and w.partitions()]

    def owned(self) -> set[int]:
        """Return the partitions that workers own."""
        return {p for worker in self.working if worker.is_alive for p in worker.partitions()}

    async def wait_for_owners(self, count: int = 1) -> None:
        """Wait until workers own this many partitions; return early if a worker is mute."""
        async with asyncio.timeout(OWNED_WITHIN_S):
            while len(self.owned()) < count and not any(w.is_mute for w in self.working):
                await asyncio.sleep(0.1)

    async def until_logged(self, worker: Worker, pattern: str, timeout_s: float) -> bool:
        """Wait until a worker's log matches a pattern; return whether it does."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if worker.has_logged(pattern):
                return True
            if not worker.is_alive:
                return worker.has_logged(pattern)
            await asyncio.sleep(0.05)
        return False

    async def choose_victim(self) -> Worker:
        """Choose a worker, if possible one that owns partitions, and that waits for no crash point."""
        await self.wait_for_owners()
        workers = [w for w in self.owners() if not w.has_program] or self.owners() or self.working
        return self.draw.choice(sorted(workers, key=lambda w: w.name))

    def stop_tending(self, worker: Worker) -> bool:
        """Stop replacing a worker; return whether it was running until now."""
        was_working = worker in self.working
        if was_working:
            self.working.remove(worker)
        return was_working

    async def kill(self, worker: Worker) -> None:
        """Kill a worker."""
        worker.is_leaving = True
        self.stop_tending(worker)
        await asyncio.to_thread(worker.kill)

    async def terminate(self, worker: Worker) -> None:
        """Stop a worker by SIGTERM, and check its exit status."""
        worker.is_leaving = True
        self.stop_tending(worker)
        allowed = {0, *EXPECTED_STATUSES}  # another fault may have ended the worker first
        expected = self.expects_stop
        if not worker.has_logged("fold ready"):
            allowed |= {-signal.SIGTERM}  # while it imports, nothing handles the signal
        if worker.is_mute:
            allowed |= {-signal.SIGTERM, -signal.SIGKILL}
        status = await asyncio.to_thread(worker.stop)
        for text in (expected, self.may_stop):
            allowed |= {3} if text and worker.has_logged(text) else set()
        if status not in allowed:
            raise AssertionError(f"{worker.name} left with {status}:\n{worker.tail()}")

    async def wait_until_ready(self) -> None:
        """Wait until every worker is ready or has ended."""
        async with asyncio.timeout(READY_WITHIN_S):
            for worker in self.working:
                while not (worker.is_mute or worker.has_logged("fold ready")) and worker.is_alive:
                    await asyncio.sleep(0.1)
                if worker.has_logged("fold ready"):
                    assert worker.has_logged(f"delivery={self.options['delivery']}"), worker.tail()

    async def terminate_all(self) -> None:
        """Stop all workers by SIGTERM."""
        await self.wait_until_ready()
        await asyncio.sleep(2)  # do not interrupt the first join of the group
        await asyncio.gather(*(self.terminate(worker) for worker in list(self.working)))

    async def kill_all(self) -> None:
        """Kill all processes that still run."""
        for worker in self.all:
            if worker.is_alive:
                worker.signal(signal.SIGCONT)
                await asyncio.to_thread(worker.kill)
