"""Real workers on a real Kafka and a real Redis: what they publish equals the oracle."""

import asyncio
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_rnn.audit.result import FAULT_KINDS
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.model.bundle import save_bundle
from stream_rnn.store.connection import connect_redis
from tests import models
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, change_records, mixed_records

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def stream(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a factory of a fold whose source exists, with two partitions."""
    workers = []

    async def make(cell="gru", source_config=None, **settings) -> Stream:
        made = Stream(app_id, bootstrap_servers, redis_url, tmp_path, cell, **settings)
        await create_topic(made.settings.source, 2, **(source_config or {}))

        def start(name="worker", environment=None, **more) -> ForkedWorker:
            workers.append(ForkedWorker(name, made.options(**more), tmp_path, environment))
            return workers[-1]

        made.start = start
        return made

    yield make
    for worker in workers:
        await asyncio.to_thread(worker.stop)


# For tests that wait until the group gives up a worker.
SHORT_SESSION = {"BROKER_SESSION_TIMEOUT": "3", "BROKER_HEARTBEAT_INTERVAL": "0.5"}
# For tests that must not: who does not leave is a member for longer than any of them waits.
LONG_SESSION = {"BROKER_SESSION_TIMEOUT": "80", "BROKER_HEARTBEAT_INTERVAL": "1"}


async def until(predicate, timeout_s=40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.1)


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


async def test_a_predictions_topic_with_the_brokers_timestamps_is_taken_up_again(
    stream, create_topic
):
    """Recovery compares timestamps only where they are the source record's."""
    made = await stream()
    config = {"message.timestamp.type": "LogAppendTime"}
    await create_topic(made.settings.predictions, 2, **config)
    await made.produce(mixed_records(60, seed=11))
    for name in ("first", "second"):
        worker = made.start(name)
        await made.until_published()
        assert await asyncio.to_thread(worker.stop) == 0
        await made.produce(mixed_records(30, seed=12))
    third = made.start("third")
    await made.until_published()
    assert await asyncio.to_thread(third.stop) == 0
    assert await made.compare() > 80


async def test_a_backlog_older_than_the_source_takes_now_is_published(stream, bootstrap_servers):
    """What the source's limits refuse today it took when it was new; the outputs take it, too."""
    made = await stream()
    old_ms = time.time_ns() // 1_000_000 - 3 * 86_400_000
    records = mixed_records(60, seed=21)
    await made.produce([(key, value, old_ms + n) for n, (key, value, *_) in enumerate(records)])
    limits = {
        "message.timestamp.before.max.ms": "3600000",
        "max.message.bytes": "100000",  # less than output_batch_bytes_max
        "retention.ms": str(7 * 86_400_000),
    }
    admin = CheckedAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    resource = ConfigResource(ConfigResourceType.TOPIC, made.settings.source, limits)
    await admin.alter_configs([resource])
    await admin.close()
    worker = made.start()
    await until(lambda: "fold ready" in worker.log.read_text() or not worker.is_alive)
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert await made.compare() > 40


REFUSED = [
    ({"source": "no-such-topic"}, 3, "source topic no-such-topic does not exist"),
    ({"bundle": "/nowhere"}, 3, "no bundle at /nowhere"),
    ({"bootstrap_servers": "127.0.0.1:1", "kafka_timeout_s": "5"}, 4, "no Kafka broker answers at"),
    (
        {"redis_url": "redis://:secret@127.0.0.1:1/0"},
        4,
        "Redis at redis://:***@127.0.0.1:1/0 does not answer",
    ),
]


@pytest.mark.parametrize(
    ("options", "status", "sentence"), REFUSED, ids=["source", "bundle", "kafka", "redis"]
)
async def test_what_cannot_work_is_refused_with_one_clear_line(stream, options, status, sentence):
    """It says what, where and the remedy; a server may be back at the next start, the rest not."""
    made = await stream()
    worker = made.start(**options)
    await until(lambda: not worker.is_alive, 30)
    log = worker.log.read_text()
    assert worker.exit_status == status, log
    assert sentence in log
    assert "secret" not in log


async def test_a_worker_that_its_group_refuses_ends(stream):
    """Faust would log it and wait for partitions for ever."""
    made = await stream()
    # Shorter than any broker accepts.
    shortest = {"BROKER_SESSION_TIMEOUT": "0.5", "BROKER_HEARTBEAT_INTERVAL": "0.1"}
    worker = made.start(environment=shortest)
    await until(lambda: not worker.is_alive, 30)
    log = worker.log.read_text()
    assert worker.exit_status == 3, log
    assert f"group {made.settings.app}: InvalidSessionTimeoutError" in log
    assert "set BROKER_SESSION_TIMEOUT, in seconds, within" in log


async def test_topics_that_do_not_fit_are_refused(stream, create_topic):
    """Other partitions, a compacted output, less retention, and one that refuses a backlog."""
    made = await stream()
    app = made.settings.app
    await create_topic(f"{app}-three", 3)
    await create_topic(f"{app}-compact", 2, **{"cleanup.policy": "compact"})
    await create_topic(f"{app}-short", 2, **{"retention.ms": "1000"})
    await create_topic(f"{app}-late", 2, **{"message.timestamp.before.max.ms": "3600000"})
    for name, sentence in (
        ("three", "has 3 partitions"),
        ("compact", "is compacted"),
        ("short", "retention.ms 1000"),
        (
            "late",
            "it would refuse the predictions of old records; set message.timestamp.before.max.ms=",
        ),
    ):
        worker = made.start(name, predictions=f"{app}-{name}", dead_letters=f"{app}-dead")
        await until(lambda worker=worker: not worker.is_alive, 30)
        assert worker.exit_status == 3
        assert sentence in worker.log.read_text()


async def test_a_compacted_source_is_refused(stream):
    """A rebuild of a compacted log would fold fewer records."""
    made = await stream(source_config={"cleanup.policy": "compact"})
    worker = made.start()
    await until(lambda: not worker.is_alive, 30)
    assert worker.exit_status == 3
    assert "the source is compacted" in worker.log.read_text()


async def test_a_group_offset_that_somebody_set_is_not_followed(stream, bootstrap_servers):
    """Up to the last output, the output topic knows better; beyond it, a person must decide."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    made = await stream()
    partition = sum(b"a") % 2
    tp = TopicPartition(made.settings.source, partition)

    async def somebody_sets(offset) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=made.settings.app,
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign([tp])
        await asyncio.wait_for(consumer.commit({tp: offset}), 20)
        await consumer.stop()

    await made.produce([(b"a", {"x": 1.0})] * 20)
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    await somebody_sets(3)
    again = made.start("again")
    await made.produce([(b"a", {"x": 1.0})] * 5)
    await made.until_published()
    assert await asyncio.to_thread(again.stop) == 0
    assert await made.compare() == 25
    await somebody_sets(25)
    third = made.start("third")
    await made.produce([(b"a", {"x": 1.0})] * 5)
    await made.until_published()
    assert await asyncio.to_thread(third.stop) == 0
    assert await made.compare() == 30
    await made.produce([(b"a", {"x": 1.0})])
    await somebody_sets(31)
    refused = made.start("refused", transaction_timeout_ms=1000)
    await until(lambda: not refused.is_alive, 30)
    assert refused.exit_status == 3
    assert "was not written by stream_rnn" in refused.log.read_text()
