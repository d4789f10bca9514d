"""The demo on real servers: it proves what it shows, and leaves nothing on servers of others."""

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from stream_rnn.kafka.clients import new_admin
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis
from stream_rnn.store.connection import connect_redis
from tests.integration.streams import run
from tests.shared_servers import run_server

pytestmark = pytest.mark.timeout(300)
ZEROS = ("missing", "duplicated", "different")


@pytest.fixture(scope="module")
def servers():
    """A Kafka and a Redis of these tests alone, because a demo chooses its names."""
    with run_server(LocalKafka()) as kafka, run_server(LocalRedis()) as redis:
        yield kafka.bootstrap_servers, redis.redis_url


@pytest.fixture
async def place(servers):
    """Yield the options of servers that the demo did not start, on which it leaves nothing."""
    bootstrap_servers, redis_url = servers
    yield [f"--bootstrap-servers={bootstrap_servers}", f"--redis-url={redis_url}"]
    redis = connect_redis(redis_url, 10)
    keys = await redis.keys()
    await redis.aclose()
    assert [key for key in keys if b":worker:" not in key] == []  # reports, which expire
    admin = new_admin(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        async with asyncio.timeout(30):  # Kafka deletes a topic some time after its answer
            while [name for name in await admin.list_topics() if not name.startswith("__")]:
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def test_a_roll_out_is_shown_and_audited(place):
    """Each bundle publishes its part, each partition is cut over at one offset, one goes back."""
    words = ["demo", "--rollout", "--events=6000", "--rate=400", "--json", *place]
    figures = json.loads(await run(*words, within_s=240))
    assert figures["predictions"] == figures["events"] == 6000
    assert {name: figures[name] for name in (*ZEROS, "by_two_folds", "went_back")} == dict.fromkeys(
        (*ZEROS, "by_two_folds", "went_back"), 0
    )
    assert sum(figures["published"].values()) == 6000
    assert figures["published"]["old"] >= 3000  # no fold is promoted before
    assert figures["published"]["new"] > 0
    assert {p: len(offsets) for p, offsets in figures["cut_overs"].items()} == {
        "0": 3, "1": 1, "2": 1, "3": 1,
    }  # fmt: skip
    assert figures["states_dropped"] > 0
    assert figures["auc_after"] != figures["auc_after_with_old"]


async def test_a_worker_is_killed_and_redis_is_wiped(place):
    """The demo without options does so after half of the predictions."""
    words = ["demo", "--events=4000", "--rate=1000", *place]
    shown = await run(*words, within_s=240)
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines() if line.startswith(ZEROS))
    assert [lines[name].split()[0] for name in ZEROS] == ["0"] * 3
    assert "SIGKILL worker-" in shown
    assert "next:" in shown


def test_ctrl_c_leaves_nothing(place, tmp_path):
    """In the middle of a roll-out: its plan and its bundles are removed, too."""
    words = ["demo", "--rollout", "--events=6000", "--rate=400", *place]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "stream_rnn.cli", *words], stderr=file)
    deadline = time.monotonic() + 120
    while "start:" not in errors.read_text():
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, errors.read_text()
    assert "Traceback" not in errors.read_text()
