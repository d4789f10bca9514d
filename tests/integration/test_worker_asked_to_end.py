"""SIGTERM to a worker that has only begun: it ends with 0, soon, and nothing is left behind."""

import asyncio
import os
import signal
import socket
import time

import pytest

from tests.forked import ForkedWorker
from tests.integration.streams import Stream

pytestmark = pytest.mark.timeout(120)

WITHIN_S = 26  # START_WITHIN_S, revoke_timeout_s three times, CLOSE_WITHIN_S, and a second
MOMENTS = [
    ("topic created", 0.0),
    ("topic created", 0.05),
    ("fold ready", 0.0),
    ("fold ready", 0.1),
]


async def asked(worker: ForkedWorker, marker: str, after_s: float) -> tuple[int | None, float, str]:
    """Ask a worker to end some seconds after a line of its log; return status, seconds and log."""
    async with asyncio.timeout(20):
        while marker not in worker.log.read_text():
            worker.require_alive()
            await asyncio.sleep(0.001)
    await asyncio.sleep(after_s)
    os.kill(worker.pid, signal.SIGTERM)
    began_s = time.monotonic()
    while worker.exit_status is None and time.monotonic() - began_s < WITHIN_S:
        await asyncio.sleep(0.01)
    return worker.exit_status, time.monotonic() - began_s, worker.log.read_text()


@pytest.mark.parametrize(("marker", "after_s"), MOMENTS)
async def test_a_worker_that_joins_its_group_is_asked_to_end(
    marker, after_s, app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """In the middle of its checks and of the group's first join: it leaves in order."""
    made = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(made.settings.source, 2)
    worker = ForkedWorker("worker", made.options(), tmp_path)
    try:
        status, seconds, said = await asked(worker, marker, after_s)
    finally:
        worker.kill()
    assert (status, "Traceback" in said, " ERROR " in said) == (0, False, False), said
    assert seconds < 10, said


@pytest.mark.parametrize("silent", ["Kafka", "Redis"])
async def test_a_worker_whose_server_never_answers_is_asked_to_end(
    silent, app_id, bootstrap_servers, redis_url, tmp_path
):
    """It does not wait for what a client waits for, and nothing has failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        kafka = address if silent == "Kafka" else bootstrap_servers
        redis = f"redis://{address}/0" if silent == "Redis" else redis_url
        made = Stream(app_id, kafka, redis, tmp_path)
        options = made.options(kafka_timeout_s="60", redis_timeout_s="3")
        worker = ForkedWorker("worker", options, tmp_path)
        try:
            server.settimeout(20)
            connection, _ = await asyncio.to_thread(server.accept)
            with connection:
                status, _, said = await asked(worker, "", 0.2)
        finally:
            worker.kill()
    assert status == 0, said
