"""Folds of a test, and the workers that it starts for them."""

import asyncio
import time
from contextlib import asynccontextmanager

from tests.forked import ForkedWorker
from tests.integration.streams import Stream


@asynccontextmanager
async def started_workers(app_id, bootstrap_servers, redis_url, create_topic, directory):
    """Yield a function that makes a fold whose source exists, with two partitions.

    A fold has a function ``start``, which starts a worker; all workers are stopped at the end.
    """
    workers = []

    async def make(cell="gru", source_config=None, **settings) -> Stream:
        made = Stream(app_id, bootstrap_servers, redis_url, directory, cell, **settings)
        await create_topic(made.settings.source, 2, **(source_config or {}))

        def start(name="worker", environment=None, **more) -> ForkedWorker:
            workers.append(ForkedWorker(name, made.options(**more), directory, environment))
            return workers[-1]

        made.start = start
        return made

    yield make
    for worker in workers:
        await asyncio.to_thread(worker.stop)


async def fold_all(stream, records, name="worker") -> int:
    """Let a worker fold some records, compare everything with the oracle, and count the events."""
    await stream.produce(records)
    worker = ForkedWorker(name, stream.options(), stream.directory)
    await stream.until_published(worker=worker)
    assert await asyncio.to_thread(worker.stop) == 0
    return await stream.compare()


async def until(predicate, timeout_s=40.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.1)


async def logs(worker, text) -> None:
    """Wait until a worker that runs has logged a text."""
    async with asyncio.timeout(60):
        while text not in worker.log.read_text():
            assert worker.is_alive, worker.log.read_text()
            await asyncio.sleep(0.1)


async def ends(worker) -> int:
    """Wait until a worker has ended, and return its status."""
    async with asyncio.timeout(60):
        while worker.is_alive:
            await asyncio.sleep(0.1)
    return worker.exit_status


def options(stream, *names) -> list[str]:
    """Return settings of a fold as options of a verb."""
    return [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]


PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
