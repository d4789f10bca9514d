"""The shadow topic on real servers: what a candidate would publish, and nothing that does harm."""

import asyncio
import json
import re
from types import SimpleNamespace

import aiohttp
import pytest
from aiokafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.topics import read_topics
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.worker.shadow import REST_S, ShadowTopic
from tests import oracle
from tests.integration.rollout_person import RollOut
from tests.integration.started_workers import until
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def rolling_out(stream, tmp_path, redis_url):
    """Return a function that starts a worker with some records, and a person with two bundles."""
    redis = connect_redis(redis_url, 5)
    opened = []

    async def make(environment=None, **settings) -> RollOut:
        made = await stream(**settings)
        await made.produce(mixed_records(300, seed=1))
        made.worker = made.start("one", environment)
        await made.until_published(worker=made.worker)
        opened.append(await KafkaCluster.of(made.settings).__aenter__())
        return RollOut(made, tmp_path, redis, opened[0])

    yield make
    for cluster in opened:
        await cluster.__aexit__()
    await redis.aclose()


async def positions(person) -> list[int]:
    """Wait until the candidate has folded all that is published; return the group offsets."""

    async def has_reached(partition) -> bool:
        known = await person.known(partition)
        fold = 1 - person.ids.index(known.fold_id)
        return (await person.stored(fold, partition)).position == known.offset

    await person.until(has_reached, "the candidate does not reach the group offset")
    return [(await person.known(partition)).offset for partition in (0, 1)]


async def produce(person, seed) -> list[int]:
    """Produce, wait until both folds have folded all, and return the group offsets."""
    await person.stream.produce(mixed_records(200, seed=seed))
    await person.stream.until_published(worker=person.stream.worker)
    return await positions(person)


async def shadowed(person, partition) -> dict[tuple[int, int], set[int]]:
    """Compare the shadow predictions with the oracle of their folds.

    Returns:
        Offsets with a prediction, by the fold and the number of the last cut-over.
    """
    settings, stream = person.settings, person.stream
    records = await stream.source(partition)
    truths = [oracle.fold(m, settings, records, settings.source, partition) for m in person.models]
    offsets: dict[tuple[int, int], set[int]] = {}
    for message in await stream.outputs(settings.shadow_topic, partition):
        headers, value = dict(message.headers), json.loads(message.value)
        fold, offset = person.ids.index(headers["sr-fold"].decode()), value["source"]["offset"]
        assert value == truths[fold].predictions[offset]
        assert value["source"]["partition"] == partition
        source = next(record for record in records if record.offset == offset)
        assert message.key == source.key
        stored = await person.stored(fold, partition)
        assert int(headers["sr-origin"]) == stored.origin
        of = fold, int(headers.get("sr-cut-over", 0))
        offsets.setdefault(of, set()).add(offset)
    predicted = set(truths[0].predictions)
    return {of: some for of, some in offsets.items() if some <= predicted}


async def measured(person) -> dict[str, float]:
    """Return the metrics of the worker, each summed over its labels."""
    address = re.search(r"health address=(\S+)", person.stream.worker.log.read_text())
    async with aiohttp.ClientSession() as session, session.get(f"{address[1]}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        sums: dict[str, float] = {}
        for sample in (sample for family in families for sample in family.samples):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_the_shadow_has_what_the_candidate_would_publish(delivery, rolling_out):
    """From the group offset on at which it was positioned; after a promote, of the old fold."""
    person = await rolling_out(delivery=delivery)
    await person.start()
    first = await positions(person)
    promoted = await produce(person, 2)
    await person.promote(1)
    last = await produce(person, 3)
    for partition in (0, 1):
        records = await person.stream.source(partition)
        place = person.settings.source, partition
        truth = oracle.fold(person.models[0], person.settings, records, *place)
        expected = {
            (fold, number): {o for o in truth.predictions if start <= o < end}
            for fold, number, start, end in (
                (1, 0, first[partition], promoted[partition]),
                (0, 1, promoted[partition], last[partition]),
            )
        }
        assert await shadowed(person, partition) == expected
        letters = await person.stream.outputs(person.settings.dead_letters_topic, partition)
        assert len(letters) == len(truth.dead_letters) > 0
    counts = await measured(person)
    assert counts["stream_rnn_cut_overs_total"] == 2
    assert counts["stream_rnn_candidate_lag_records"] == 0
    assert counts["stream_rnn_candidate_skips_total"] > 0 == counts["stream_rnn_shadow_lost_total"]
    assert "stream_rnn_request_pending_seconds" not in counts
    topic, source = person.settings.shadow_topic, person.settings.source
    facts = await read_topics(person.cluster.admin, (topic, source))
    assert facts[topic].partitions == facts[source].partitions
    assert facts[topic].config["message.timestamp.type"] == "LogAppendTime"
    assert 0 < facts[topic].limit("retention.ms") <= 7 * 86_400_000


async def test_a_topic_that_does_not_fit_disturbs_nothing(rolling_out, create_topic):
    """The candidate folds silently and can be promoted; the worker reports why once."""
    person = await rolling_out()
    await create_topic(person.settings.shadow_topic, 3)
    await person.start()
    await positions(person)
    await produce(person, 2)
    log = person.stream.worker.log
    await until(lambda: "and fold on" in log.read_text())
    await person.promote(1)
    await produce(person, 3)
    assert log.read_text().count("has 3 partitions, and the source") == 1
    assert await person.stream.outputs(person.settings.shadow_topic, 0) == []
    members = [key async for key in person.redis.scan_iter(f"*{person.settings.app}*:worker:*")]
    (report,) = [json.loads(await person.redis.get(key)) for key in members]
    assert "delete the topic, and the workers create it again" in report["shadow"]


async def test_a_silent_roll_out_makes_no_topic(rolling_out):
    """It may be too much to store."""
    person = await rolling_out({"STREAM_RNN_ROLLOUT_SILENT": "1"})
    await person.start()
    await positions(person)
    await produce(person, 2)
    assert person.settings.shadow_topic not in await person.cluster.admin.list_topics()


@pytest.fixture
async def shadow(app_id, bootstrap_servers, create_topic):
    """A shadow topic whose clock a test sets."""
    await create_topic(f"{app_id}-in", 1)
    given = {"app": app_id, "source": f"{app_id}-in", "predictions": f"{app_id}-out"}
    settings = Settings.build(**given, bootstrap_servers=bootstrap_servers, bundle="b").of_fold()
    connection, now = {"bootstrap_servers": bootstrap_servers}, [0.0]
    async with KafkaCluster(connection, settings) as cluster:
        topic = ShadowTopic(cluster, connection, settings, lambda: now[0])
        yield SimpleNamespace(topic=topic, now=now, cluster=cluster, settings=settings)
        await topic.close()


async def sent(shadow) -> list[bytes]:
    """Return the values in the shadow topic."""
    tp = TopicPartition(shadow.settings.shadow_topic, 0)
    batches = shadow.cluster.batches(tp, 0, await shadow.cluster.log_end(tp))
    return [record.value async for batch in batches for record in batch]


async def test_a_failure_is_neither_raised_nor_sent_again(shadow, caplog):
    """The candidate folds on; after a rest, later predictions are published again."""
    publisher = shadow.topic.publisher(0)
    message = Message(b"k", b"1", -1, [])
    await publisher.publish([message], [message], None)
    assert await sent(shadow) == [b"1"]
    assert not shadow.topic.problem
    large = message._replace(value=b"x" * 2 * shadow.settings.output_batch_bytes_max)
    for _ in range(3):
        await publisher.publish([large], [], None)
    assert shadow.topic.lost == 3
    assert "does not fit into output_batch_bytes_max" in shadow.topic.problem
    assert caplog.text.count("and fold on") == 1
    assert not shadow.topic.is_open
    shadow.now[0] = REST_S
    await publisher.publish([message._replace(value=b"2")], [], None)
    assert await sent(shadow) == [b"1", b"2"]
    assert not shadow.topic.problem


async def test_a_name_that_is_taken_is_no_shadow(shadow):
    """A fold that read its own shadow would have no end."""
    settings = shadow.settings.replace(dead_letters=shadow.settings.shadow_topic).of_fold()
    topic = ShadowTopic(shadow.cluster, {}, settings)
    await topic.publisher(0).publish([Message(b"k", b"1", -1, [])], [], None)
    assert "is the source or the dead-letter topic" in topic.problem
    assert topic.lost == 1
    await topic.close()


async def test_a_shadow_that_closes_ends_what_waits(shadow):
    """A candidate whose topic was being opened goes on without it."""
    publisher = shadow.topic.publisher(0)
    publishing = asyncio.create_task(publisher.publish([Message(b"k", b"1", -1, [])], [], None))
    await asyncio.sleep(0)
    await shadow.topic.close()
    await asyncio.wait_for(publishing, 10)
    assert not shadow.topic.is_open


async def test_a_shadow_that_has_closed_is_not_opened_by_a_candidate_that_ends(shadow):
    """It would create a topic that was just deleted, and leave a producer behind."""
    ending = shadow.topic.publisher(0)
    await shadow.topic.close()
    await ending.publish([Message(b"k", b"1", -1, [])], [], None)
    assert not shadow.topic.is_open
    assert shadow.topic.lost == 1
    await shadow.topic.publisher(0).publish([Message(b"k", b"2", -1, [])], [], None)
    assert await sent(shadow) == [b"2"]


async def test_the_reason_of_a_failure_is_the_first_one(shadow, caplog):
    """The publishes of other partitions fail as well when their common producer closes."""
    publisher, message = shadow.topic.publisher(0), Message(b"k", b"1", -1, [])
    await publisher.publish([message], [], None)
    producer = shadow.topic._opening.result()
    large = message._replace(value=b"x" * 2 * shadow.settings.output_batch_bytes_max)
    others = [asyncio.create_task(publisher.publish([message] * 500, [], None)) for _ in range(8)]
    await asyncio.sleep(0)
    await publisher.publish([large], [], None)
    await producer.stop()
    await asyncio.wait(others)
    assert "does not fit into output_batch_bytes_max" in shadow.topic.problem
    assert caplog.text.count("and fold on") == 1
