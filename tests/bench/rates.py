"""Measures the rate and the costs of a contender that processes a backlog.

Progress is the number of records in the output topic, or a printed number if a contender publishes
nothing.  The first events do not count, because a JVM warms up and caches fill.
"""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_EVERY_S = 0.1
WARM_UP_SHARE, END_SHARE = 0.15, 0.97
STOP_WITHIN_S = 30.0
COUNTED = re.compile(rb"counted (\d+)")
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    """The result of one run, of all processes of the contender together.

    Attributes:
        events_s: Events per second.
        cpu_us: Microseconds of CPU per event.
        cores: CPU seconds per second.
        rss_mb: Largest resident set of one process in MB.
        first_s: Seconds from the start of the process to its first output.
        events: Number of measured events.
    """

    events_s: float
    cpu_us: float
    cores: float
    rss_mb: float
    first_s: float
    events: int


@dataclass(slots=True)
class Processes:
    """The processes of a contender, each the leader of a process group."""

    log: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
        """Start another process."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def require_alive(self) -> None:
        """Raise with the end of the log if a process has ended."""
        for process in self.started:
            if process.poll() is not None:
                tail = self.log.read_bytes()[-2000:].decode(errors="replace")
                raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{tail}")

    def cpu_s(self) -> float:
        """Return the CPU seconds of all processes so far."""
        seconds = 0.0
        for process in self.started:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
            seconds += (int(fields[11]) + int(fields[12])) / TICKS_S
        return seconds

    def rss_mb(self) -> float:
        """Return the largest resident set of a process in MB."""
        sizes = []
        for process in self.started:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024)
        return max(sizes)

    def stop(self) -> None:
        """Stop all processes by SIGTERM, and by SIGKILL after a deadline."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_WITHIN_S)


class Progress:
    """The number of processed events, from the output topic or from a process's output."""

    def __init__(self, bootstrap_servers: str, output: str, partitions: int, log: Path | None):
        self._servers, self._log = bootstrap_servers, log
        self._places = [TopicPartition(output, p) for p in range(partitions)]

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._servers)
        await self._consumer.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._consumer.stop()

    async def events(self) -> int:
        """Return the number of events so far; each transaction marker counts as an event."""
        if self._log is not None:
            counts = COUNTED.findall(self._log.read_bytes()[-4096:])
            return int(counts[-1]) if counts else 0
        return sum((await self._consumer.end_offsets(self._places)).values())


async def measure_rate(
    processes: Processes,
    progress: Progress,
    events: int,
    began_s: float,
    limit_s: float = 120.0,
    on_progress: Callable[[float, int], None] = lambda _s, _events: None,
) -> Rate:
    """Measure processes until they have processed a backlog or the time limit is reached.

    Args:
        processes: Running processes of the contender.
        progress: Open progress of the contender.
        events: Number of events in the backlog.
        began_s: Monotonic time of the start.
        limit_s: Maximum duration in seconds; the events up to then count.
        on_progress: Callback with the seconds since the start and the events so far.
    """
    points: list[tuple[float, int, float]] = []
    largest = 0.0
    while not points or (points[-1][1] < END_SHARE * events and points[-1][0] < limit_s):
        await asyncio.sleep(POLL_EVERY_S)
        processes.require_alive()
        done = await progress.events()
        points.append((time.monotonic() - began_s, done, processes.cpu_s()))
        largest = max(largest, processes.rss_mb())
        on_progress(points[-1][0], done)
    first_s = next((seconds for seconds, done, _ in points if done), float("nan"))
    last = points[-1]
    warm = WARM_UP_SHARE * min(events, last[1])
    first = next(point for point in points if point[1] > warm)
    seconds, done, cpu = (b - a for a, b in zip(first, last, strict=True))
    if not done or not seconds:
        raise RuntimeError(f"no progress within {limit_s:g} s; see {processes.log}")
    return Rate(done / seconds, 1e6 * cpu / done, cpu / seconds, largest, first_s, int(done))
