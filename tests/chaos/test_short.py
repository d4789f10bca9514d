"""Workers that die, leave and freeze, and a Redis that forgets, while records keep coming.

A seed decides which fault comes when.  ``STREAM_RNN_TEST_CHAOS_SEED`` sets it; it is printed, and
with the faults so far it is in the report of a failure.
"""

import asyncio
import os
import random
import secrets
import signal
import time
from contextlib import suppress

import pytest

from stream_rnn.clients import connect_redis
from stream_rnn.local.workers import WorkerProcess
from tests.integration.streams import Stream, mixed_records

PAUSE_S = 12.5  # the session timeout is 10 s: the group gives the partitions away
WORKERS = 2
OWNED_WITHIN_S = 40
RESTART_ME = 4

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


class Chaos:
    """Two workers of one fold, the faults that hit them, and an orchestrator that restarts them."""

    def __init__(self, stream, seed) -> None:
        self.stream = stream
        self.draw = random.Random(seed)
        self.began = time.monotonic()
        self.story = [f"STREAM_RNN_TEST_CHAOS_SEED={seed}"]
        self.all: list[WorkerProcess] = []
        self.working: list[WorkerProcess] = []
        self.paused: list[WorkerProcess] = []

    def tell(self, text) -> None:
        """Remember what happened."""
        self.story.append(f"{time.monotonic() - self.began:6.1f} s {text}")
        print(self.story[-1])  # noqa: T201  # pytest shows it with a failure

    def tend(self) -> None:
        """Replace workers that ended by asking for a restart; nothing else may end one."""
        for worker in [w for w in self.working if not w.is_alive]:
            log = worker.log.read_text(errors="replace")[-2000:]
            assert worker.exit_status == RESTART_ME, (worker.name, worker.exit_status, log)
            self.tell(f"{worker.name} asked for a restart")
            self.working.remove(worker)
        while len(self.working) < WORKERS:
            name = f"worker-{len(self.all)}"
            self.all.append(WorkerProcess(name, self.stream.options(), self.stream.directory))
            self.working.append(self.all[-1])

    async def owned(self, partitions) -> None:
        """Wait until the workers own so many partitions."""
        async with asyncio.timeout(OWNED_WITHIN_S):
            while len({p for worker in self.working for p in worker.partitions()}) < partitions:
                self.tend()
                await asyncio.sleep(0.1)

    def victim(self) -> WorkerProcess:
        """Take a worker out of those that work, one with partitions where there is one."""
        self.tend()
        owners = [worker for worker in self.working if worker.partitions()]
        chosen = self.draw.choice(owners or self.working)
        self.working.remove(chosen)
        return chosen

    async def kill(self) -> None:
        """End a worker without a word and start another."""
        worker = self.victim()
        self.tell(f"SIGKILL {worker.name} partitions={worker.partitions()}")
        await asyncio.to_thread(worker.kill)

    async def terminate(self) -> None:
        """Ask a worker to leave and start another."""
        worker = self.victim()
        owned = worker.partitions()
        status = await asyncio.to_thread(worker.stop)
        self.tell(f"SIGTERM {worker.name} partitions={owned} status={status}")
        assert status in ({0, RESTART_ME} if owned else {0, RESTART_ME, -signal.SIGTERM})

    async def pause(self) -> None:
        """Freeze a worker until the group has given up on it, then let it go on as a zombie."""
        await self.owned(1)
        worker = self.victim()
        self.tell(f"SIGSTOP {worker.name} partitions={worker.partitions()}")
        self.paused.append(worker)
        worker.signal(signal.SIGSTOP)
        self.tend()
        await asyncio.sleep(PAUSE_S)
        self.paused.remove(worker)
        worker.signal(signal.SIGCONT)
        self.tell(f"SIGCONT {worker.name}")
        self.working.append(worker)

    async def wipe(self) -> None:
        """Take the states of this fold away, and nothing else, under the workers' feet."""
        redis = connect_redis(self.stream.settings.redis_url.get_secret_value(), 5)
        stores = [self.stream.store(redis, partition) for partition in range(2)]
        async with asyncio.timeout(OWNED_WITHIN_S):
            while await redis.exists(*(store.hidden_key for store in stores)) < len(stores):
                self.tend()
                await asyncio.sleep(0.1)
        gone = [await redis.unlink(store.position_key, store.hidden_key) for store in stores]
        await redis.aclose()
        self.tell(f"Redis wiped: {gone} keys")
        assert all(gone)

    async def run(self, faults) -> None:
        """Let the faults come in their drawn order, at drawn times, some while others heal."""
        await self.owned(2)
        for fault in faults:
            self.tend()
            await asyncio.sleep(self.draw.uniform(0.5, 4))
            await getattr(self, fault)()
        self.tend()

    async def settle(self, timeout_s) -> None:
        """Wait, restarting who asks for it, until all is published; then stop the workers."""
        waiting = asyncio.create_task(self.stream.until_published(timeout_s))
        while not waiting.done():
            self.tend()
            await asyncio.wait([waiting], timeout=0.5)
        await waiting
        self.tell("all is published")
        for worker in self.working:  # one that still starts has no handler for SIGTERM yet
            async with asyncio.timeout(OWNED_WITHIN_S):
                while worker.is_alive and "fold ready" not in worker.log.read_text():
                    await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        for worker in self.working:
            status = await asyncio.to_thread(worker.stop)
            assert status in {0, RESTART_ME}, (status, worker.log.read_text()[-2000:])
        self.working.clear()

    async def end(self) -> None:
        """Leave no process behind."""
        for worker in self.paused:
            worker.signal(signal.SIGCONT)
        for worker in self.all:
            if worker.is_alive:
                await asyncio.to_thread(worker.kill)


async def send(stream, records, seconds) -> None:
    """Send the records evenly over a time."""
    began, size = time.monotonic(), max(1, len(records) // int(seconds * 2))
    for start in range(0, len(records), size):
        await stream.produce(records[start : start + size])
        due = began + seconds * (start + size) / len(records)
        await asyncio.sleep(max(0, due - time.monotonic()))


@pytest.fixture
def survive(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a coroutine that runs faults over a stream and compares it with the oracle."""

    async def run(kinds, count, seconds, *, exactly_once) -> None:
        seed = int(os.environ.get("STREAM_RNN_TEST_CHAOS_SEED") or secrets.randbelow(1_000_000))
        delivery = "exactly_once" if exactly_once else "at_least_once"
        settings = {"delivery": delivery, "batch_events_max": 50, "idle_check_s": 1}
        made = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **settings)
        await create_topic(made.settings.source, 2)
        chaos = Chaos(made, seed)
        print(chaos.story[0])  # noqa: T201  # the seed, so that a failure can be had again
        faults = chaos.draw.sample(kinds, len(kinds))
        records = mixed_records(count, seed)
        sending = asyncio.create_task(send(made, records, seconds))
        try:
            await chaos.run(faults)
            await sending
            await chaos.settle(90)
            assert await made.compare(exactly_once=exactly_once) > count * 0.7
        except BaseException as error:
            error.add_note("\n".join(chaos.story))
            raise
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            await chaos.end()

    return run


async def test_short_faults_change_nothing_that_is_published_exactly_once(survive):
    """After kills, a zombie, leavers and wipes each prediction is there once, as the oracle's."""
    kinds = ["kill", "terminate", "pause", "wipe", "kill", "wipe"]
    await survive(kinds, 16_000, 30, exactly_once=True)


async def test_short_faults_only_repeat_what_is_published_at_least_once(survive):
    """Without transactions nothing is missing, and what is repeated has the same bytes."""
    await survive(["kill", "wipe", "terminate"], 4_000, 12, exactly_once=False)
