"""Real workers on a real Kafka and a real Redis: what they publish equals the oracle."""

import asyncio
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from stream_rnn.audit.result import FAULT_KINDS
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.model.bundle import save_bundle
from stream_rnn.store.connection import connect_redis
from tests import models
from tests.integration.started_workers import until
from tests.integration.streams import change_records, mixed_records

pytestmark = pytest.mark.timeout(120)


# For tests that wait until the group gives up a worker.
SHORT_SESSION = {"BROKER_SESSION_TIMEOUT": "3", "BROKER_HEARTBEAT_INTERVAL": "0.5"}
# For tests that must not: who does not leave is a member for longer than any of them waits.
LONG_SESSION = {"BROKER_SESSION_TIMEOUT": "80", "BROKER_HEARTBEAT_INTERVAL": "1"}


async def is_in_the_middle(made) -> bool:
    """Tell whether some of a partition's records are published, and not all."""
    async with KafkaCluster(kafka_options(made.settings.bootstrap_servers), made.settings) as facts:
        for partition in range(2):
            log = KafkaLog(facts, made.settings, partition)
            c, end = await log.group_offset(), await log.log_end()
            if c is not None and 0 < c.offset < end:
                return True
    return False


async def until_in_the_middle(made, timeout_s=40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await is_in_the_middle(made):
        assert time.monotonic() < deadline, "nothing was published in time"


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
async def test_everything_that_is_published_equals_the_oracle(stream, cell):
    """Good, bad and forgotten records: predictions, dead letters, states, P and C are the oracle's.

    An audit finds nothing, and a replay of the topic has the bytes that were published.
    """
    made = await stream(cell)
    await made.produce(mixed_records(600, seed=1))
    worker = made.start()
    await made.until_published()
    await made.produce(mixed_records(200, seed=2))
    await made.until_published()
    await asyncio.sleep(3.2)  # Faust's own commit timer runs every 2.8 s and must leave C alone
    assert await asyncio.to_thread(worker.stop) == 0
    count = await made.compare()
    assert count > 500
    audited = await made.audit()
    wrong = ("missing", "duplicated", "different", "unexpected", "not_comparable")
    assert {name: audited[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert (audited["compared"], audited["dead_letters"] > 10) == (count, True)
    topic = made.settings.predictions
    assert await made.replay() == [r.value for p in (0, 1) for r in await made.outputs(topic, p)]


async def test_an_enveloped_topic_equals_the_oracle(stream, tmp_path):
    """Unwrapped, filtered, forgotten and bad records; also after Redis has lost everything.

    The second worker builds the states from the log, an audit finds nothing, and a replay has the
    bytes that were published.
    """
    save_bundle(models.enveloped(), tmp_path / "bundle")
    made = await stream()
    await made.produce(change_records(400, seed=1))
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert await made.compare() > 100
    redis = connect_redis(made.settings.redis_url.get_secret_value(), 5)
    for partition in range(2):
        store = made.store(redis, partition)
        assert await redis.delete(store.hidden_key, store.position_key)
    await redis.aclose()
    await made.produce(change_records(200, seed=2))
    worker = made.start("again")
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    count = await made.compare()
    audited = await made.audit()
    wrong = (*FAULT_KINDS, "not_comparable")
    assert {name: audited[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert (audited["compared"], audited["filtered"] > 100) == (count, True)
    topic = made.settings.predictions
    assert await made.replay() == [r.value for p in (0, 1) for r in await made.outputs(topic, p)]


async def test_at_least_once_publishes_the_same(stream):
    """Without transactions the bytes are the same, and nothing is repeated without a fault."""
    made = await stream(delivery="at_least_once")
    await made.produce(mixed_records(300, seed=3))
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert "delivery=at_least_once" in worker.log.read_text()
    assert await made.compare() > 200


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read_and_written(stream, codec):
    """Source records and predictions may be compressed."""
    made = await stream(compression=codec)
    await made.produce(mixed_records(100, seed=4), compression=codec)
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert await made.compare() > 50


async def test_aborted_events_are_not_folded_and_markers_are_no_records(stream):
    """Over the output of a transactional producer only committed events count."""
    made = await stream(idle_check_s=1)
    await made.produce(mixed_records(200, seed=5), transactional=True, abort_every=3)
    worker = made.start()
    await made.until_published()
    redis = connect_redis(made.settings.redis_url.get_secret_value(), 5)
    records = await made.source(0)

    async def past_the_markers() -> None:
        while (await made.store(redis, 0).read()).position <= records[-1].offset + 1:
            await asyncio.sleep(0.2)

    await asyncio.wait_for(past_the_markers(), 20)  # an idle worker moves over the last marker
    assert await asyncio.to_thread(worker.stop) == 0
    await redis.aclose()
    assert await made.compare() > 150


async def test_a_killed_worker_and_a_wiped_redis_lose_and_double_nothing(stream):
    """SIGKILL in the middle, states gone, another worker: each event once, bit for bit."""
    made = await stream()
    await made.produce(mixed_records(3000, seed=6))
    first = made.start("first", SHORT_SESSION, batch_events_max=5)
    await until_in_the_middle(made)
    first.kill()
    assert await is_in_the_middle(made)
    redis = connect_redis(made.settings.redis_url.get_secret_value(), 5)
    for partition in range(2):
        await made.store(redis, partition).drop()
    await redis.aclose()
    second = made.start("second", SHORT_SESSION)
    await made.until_published(60)
    assert await asyncio.to_thread(second.stop) == 0
    assert await made.compare() > 2000


async def test_an_idle_check_during_recovery_takes_nothing_for_a_hole(stream):
    """Faust seeks to the group offset before a fold seeks its position: in between nothing moves."""
    made = await stream(idle_check_s=0.02)
    await made.produce(mixed_records(400, seed=13))
    first = made.start("first")
    await made.until_published()
    assert await asyncio.to_thread(first.stop) == 0
    redis = connect_redis(made.settings.redis_url.get_secret_value(), 5)
    for partition in range(2):
        await made.store(redis, partition).drop()
    await redis.aclose()
    second = made.start("second")
    await until(lambda: second.partitions() == {0, 1})
    await made.produce(mixed_records(100, seed=14))
    await made.until_published()
    assert await asyncio.to_thread(second.stop) == 0
    assert "row=6" in second.log.read_text()
    assert await made.compare() > 400


async def test_two_workers_share_and_take_over(stream):
    """A worker that leaves by SIGTERM hands its partitions over, and nothing is repeated.

    Nobody waits until its session is over.
    """
    made = await stream()
    first, second = made.start("first", LONG_SESSION), made.start("second", LONG_SESSION)
    await until(
        lambda: (
            first.partitions()
            and second.partitions()
            and len(first.partitions() | second.partitions()) == 2
        )
    )
    await made.produce(mixed_records(1500, seed=7))
    assert await asyncio.to_thread(first.stop) == 0
    await made.until_published()
    await until(lambda: second.partitions() == {0, 1})
    assert await asyncio.to_thread(second.stop) == 0
    assert await made.compare() > 1000


async def test_a_paused_worker_comes_back_as_a_zombie_and_changes_nothing(stream):
    """SIGSTOP beyond the session timeout: the other takes over, and the zombie is refused."""
    made = await stream()
    await made.produce(mixed_records(3000, seed=8))
    zombie = made.start("zombie", SHORT_SESSION, batch_events_max=5)
    await until_in_the_middle(made)
    zombie.signal(signal.SIGSTOP)
    assert await is_in_the_middle(made)
    other = made.start("other", SHORT_SESSION)
    await until(lambda: len(other.partitions()) == 2)
    zombie.signal(signal.SIGCONT)
    await until(lambda: not zombie.is_alive)  # what it had in hand it tried to publish
    assert zombie.exit_status == 4
    assert re.search(r"ProducerFenced|generation \d+ of group \S+ is over", zombie.log.read_text())
    await made.until_published(60)
    assert await asyncio.to_thread(other.stop) == 0
    assert await made.compare() > 2000


async def test_it_runs_in_any_faust_app_beside_other_agents(stream):
    """Started by ``faust -A module worker``; another agent of the app works on its own topic."""
    made = await stream()
    settings = made.settings
    (made.directory / "departures.py").write_text(
        textwrap.dedent(f"""
        import faust
        from stream_rnn import StreamRNN

        app = faust.App({settings.app!r}, broker="kafka://{settings.bootstrap_servers}")
        rnn = StreamRNN(app, source={settings.source!r}, predictions={settings.predictions!r},
                        bundle={settings.bundle!r}, redis_url={settings.redis_url.get_secret_value()!r})

        @app.agent(app.topic({settings.predictions!r}, value_type=bytes, value_serializer="raw"))
        async def beside(values):
            async for value in values:
                print("BESIDE", value[:20], flush=True)
        """)
    )
    await made.produce(mixed_records(100, seed=10))
    log = made.directory / "faust.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "departures", "worker", "-l", "info"],
            cwd=made.directory, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            await made.until_published()
            await until(lambda: "BESIDE" in log.read_text(errors="replace"), 20)
        finally:
            process.send_signal(signal.SIGTERM)
            status = await asyncio.to_thread(process.wait, 20)
    assert status == 0, log.read_text(errors="replace")[-2000:]
    assert await made.compare() > 50
