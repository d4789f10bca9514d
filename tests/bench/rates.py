"""How many events a second a contender takes from a backlog, and what that costs.

Progress is what stands in the output topic; of a contender that publishes nothing, what it prints.
The first events are not counted: a JVM warms up, caches fill.
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

POLL_S = 0.1
WARM_UP_SHARE, END_SHARE = 0.15, 0.97
STOP_WITHIN_S = 30.0
COUNTED = re.compile(rb"counted (\d+)")
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run gave.

    Attributes:
        events_s: events a second, of all processes together.
        cpu_us: microseconds of CPU an event, of all processes together.
        cores: CPU seconds a second.
        rss_mb: the largest resident set of one process.
        first_s: from the start of the process to its first output.
        events: over how many.
    """

    events_s: float
    cpu_us: float
    cores: float
    rss_mb: float
    first_s: float
    events: int


@dataclass(slots=True)
class Processes:
    """Processes of a contender; each ends with its whole group."""

    log: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
        """Start one more."""
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
        """Raise what they said, if one ended."""
        for process in self.started:
            if process.poll() is not None:
                said = self.log.read_bytes()[-2000:].decode(errors="replace")
                raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{said}")

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        found = 0.0
        for process in self.started:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
            found += (int(fields[11]) + int(fields[12])) / TICKS_S
        return found

    def rss_mb(self) -> float:
        """Return the resident set of the largest one."""
        sizes = []
        for process in self.started:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024)
        return max(sizes)

    def stop(self) -> None:
        """End all, first by asking."""
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
    """How many events were taken: the records in an output topic, or what a process printed."""

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
        """Return the number so far; markers of transactions count as an event each."""
        if self._log is not None:
            said = COUNTED.findall(self._log.read_bytes()[-4096:])
            return int(said[-1]) if said else 0
        return sum((await self._consumer.end_offsets(self._places)).values())


async def rate_of(
    processes: Processes,
    progress: Progress,
    events: int,
    began_s: float,
    limit_s: float = 120.0,
    told: Callable[[float, int], None] = lambda _s, _events: None,
) -> Rate:
    """Watch processes until a backlog is done, or time is up.

    Args:
        processes: started.
        progress: open.
        events: in the backlog.
        began_s: monotonic time of the start.
        limit_s: what was done by then is measured.
        told: seconds since the start, and events so far.
    """
    points: list[tuple[float, int, float]] = []
    largest = 0.0
    while not points or (points[-1][1] < END_SHARE * events and points[-1][0] < limit_s):
        await asyncio.sleep(POLL_S)
        processes.require_alive()
        done = await progress.events()
        points.append((time.monotonic() - began_s, done, processes.cpu_s()))
        largest = max(largest, processes.rss_mb())
        told(points[-1][0], done)
    first_s = next((seconds for seconds, done, _ in points if done), float("nan"))
    last = points[-1]
    warm = WARM_UP_SHARE * min(events, last[1])
    first = next(point for point in points if point[1] > warm)
    seconds, done, cpu = (b - a for a, b in zip(first, last, strict=True))
    if not done or not seconds:
        raise RuntimeError(f"nothing was done within {limit_s:g} s; see {processes.log}")
    return Rate(done / seconds, 1e6 * cpu / done, cpu / seconds, largest, first_s, int(done))
