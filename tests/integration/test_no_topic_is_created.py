"""On a broker that creates topics by itself, no verb and no client creates one by asking for it."""

import asyncio
import json
import secrets
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from click.testing import CliRunner

from stream_rnn.cli.program import group
from stream_rnn.demo.flights import BUNDLE
from stream_rnn.errors import ConfigError, StreamRNNError
from stream_rnn.kafka.clients import new_admin, new_consumer, new_producer
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.operate.dashboard_data import Sampler
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.predictions import PredictionReader
from stream_rnn.settings import Settings
from stream_rnn.worker.output_topics import prepare_topics
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(120), pytest.mark.integration]

SPEC = """
name = "t"
[event]
key = ["k"]
[[features]]
name = "n"
kind = "numeric"
path = "n"
[[heads]]
name = "next"
kind = "regression"
path = "n"
"""


@pytest.fixture(scope="module")
def creating_kafka():
    """Address of a broker with auto-creation that holds one topic."""
    with run_server(LocalKafka(properties={"auto.create.topics.enable": "true"})) as kafka:
        yield kafka.bootstrap_servers


async def topics(servers):
    """Return the topics that people see."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    found = await admin.list_topics()
    await admin.close()
    return {name for name in found if not name.startswith("__")}


async def make(servers, name):
    """Create a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1)])
    await admin.close()
    while name not in await topics(servers):
        await asyncio.sleep(0.05)


async def settled(servers):
    """Return the topics once the controller has done what it was asked before: it does so later."""
    marker = f"marker-{secrets.token_hex(4)}"
    await make(servers, marker)
    return {name for name in await topics(servers) if not name.startswith("marker-")}


def verbs(app, directory):
    """Return the command lines of every verb that touches a topic, none of which is to be there."""
    (directory / "log.jsonl").write_text(json.dumps({"n": 1}) + "\n")
    (directory / "spec.toml").write_text(SPEC)
    (directory / "states").write_text("no states")
    source, predictions = f"{app}-in", f"{app}-out"
    names = [f"--app={app}", f"--source={source}", f"--predictions={predictions}"]
    fold = [*names, f"--bundle={BUNDLE}"]
    topic, bundle = f"--topic={source}", f"--bundle={BUNDLE}"
    return [
        ["tail", predictions],
        ["tail", predictions, "--from-beginning"],
        ["audit", *fold],
        ["replay", topic, bundle, f"--out={directory / 'replayed.jsonl'}"],
        ["evaluate", topic, bundle],
        ["trace", topic, bundle, "key"],
        ["compare", topic, str(BUNDLE), str(BUNDLE)],
        ["train", topic, f"--spec={directory / 'spec.toml'}", f"--out={directory / 'trained'}"],
        ["send", str(directory / "log.jsonl"), source, f"--spec={directory / 'spec.toml'}"],
        ["deadletters", "list", *names[1:]],
        ["deadletters", "show", "0", "0", *names[1:]],
        ["deadletters", "retry", *names, "--yes"],
        ["dashboard", *fold],
        ["doctor", *fold],
        ["state", "show", *fold],
        ["state", "get", "key", *fold],
        ["state", "erase", "key", *fold, "--yes"],
        ["state", "size", *fold],
        ["state", "drop", *fold, "--yes"],
        ["state", "export", str(directory / "exported"), *fold],
        ["state", "import", str(directory / "states"), *fold],
    ]


def run(command):
    """Run a verb; return its error, or what it printed."""
    result = CliRunner().invoke(group, command, standalone_mode=False)
    assert result.exception is None or isinstance(result.exception, StreamRNNError | SystemExit), (
        command,
        result.exc_info,
    )
    return f"{result.exception or ''} {result.output}"


def test_no_verb_creates_the_topics_that_it_does_not_find(
    app_id, creating_kafka, redis_url, tmp_path, monkeypatch
):
    """Neither where nothing is there, nor where the worker has not made its outputs yet."""
    for name, value in {
        "bootstrap_servers": creating_kafka,
        "redis_url": redis_url,
        "kafka_timeout_s": "10",
    }.items():
        monkeypatch.setenv(f"STREAM_RNN_{name.upper()}", value)
    commands = verbs(app_id, tmp_path)
    before = asyncio.run(settled(creating_kafka))
    for command in commands:
        said = run(command)
        after = asyncio.run(settled(creating_kafka))
        assert after == before, (command, said)
        if command[0] != "doctor" and command[:2] != ["state", "import"]:
            assert "does not exist" in said, (command, said)

    asyncio.run(make(creating_kafka, f"{app_id}-in"))
    before |= {f"{app_id}-in"}
    for command in commands:
        if command[0] in {"tail", "audit", "deadletters", "doctor", "state"}:
            said = run(command)
            assert asyncio.run(settled(creating_kafka)) == before, (command, said)
    settings = Settings(
        app=app_id, source=f"{app_id}-in", predictions=f"{app_id}-out", bundle=str(BUNDLE)
    )
    asyncio.run(sample(settings))
    assert asyncio.run(settled(creating_kafka)) == before


async def sample(settings):
    """Sample predictions as the dashboard does, for a moment."""
    async with open_fold(settings) as fold:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await Sampler(fold, lambda: 0.0).run()


async def test_a_worker_without_its_source_creates_nothing(app_id, creating_kafka):
    """It says what is missing, and the next verb finds the cluster as it was."""
    before = await settled(creating_kafka)
    settings = Settings(app=app_id, source=f"{app_id}-in", predictions=f"{app_id}-out")
    admin = new_admin(bootstrap_servers=creating_kafka)
    await admin.start()
    with pytest.raises(ConfigError, match=f"{app_id}-in does not exist"):
        await prepare_topics(admin, settings)
    await admin.close()
    assert await settled(creating_kafka) == before


async def test_no_client_of_ours_creates_a_topic_whatever_it_is_asked(app_id, creating_kafka):
    """A consumer's assignment, subscription and look-ups, a producer's record, an admin's question."""
    before, name = await settled(creating_kafka), f"{app_id}-new"
    tp = TopicPartition(name, 0)
    options = {"bootstrap_servers": creating_kafka, "request_timeout_ms": 1000}
    consumer, member = new_consumer(**options), new_consumer(**options, group_id=app_id)
    producer, admin = new_producer(**options), new_admin(**options)
    try:
        for client in (consumer, member, producer, admin):
            await client.start()
        consumer.assign([tp])
        member.subscribe([name])
        questions = (
            lambda: consumer.end_offsets([tp]),
            lambda: consumer.beginning_offsets([tp]),
            lambda: consumer.offsets_for_times({tp: 0}),
            lambda: consumer.getmany(timeout_ms=300),
            lambda: member.getmany(timeout_ms=300),
            lambda: producer.send_and_wait(name, b"value"),
            lambda: admin.describe_topics([name]),
        )
        for question in questions:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(0.7):
                    await question()
    finally:
        await consumer.stop()
        await member.stop()
        await producer.stop()
        await admin.close()
    assert await settled(creating_kafka) == before


async def test_the_broker_of_these_tests_would_create_a_topic(app_id, creating_kafka):
    """A client that does not say otherwise creates what it asks for: the tests above can fail."""
    name = f"{app_id}-created"
    consumer = AIOKafkaConsumer(name, bootstrap_servers=creating_kafka)
    await consumer.start()
    await consumer.stop()
    assert name in await settled(creating_kafka)


@pytest.mark.parametrize("group_id", [None, "readers"])
async def test_a_reader_that_starts_before_the_worker_leaves_the_topic_to_it(
    app_id, creating_kafka, group_id
):
    """It says that the topic is not there, and does not make one with a partition too few."""
    before = await settled(creating_kafka)
    reader = PredictionReader(
        f"{app_id}-out", bootstrap_servers=creating_kafka, group_id=group_id, start="latest"
    )
    with pytest.raises(ConfigError, match="does not exist"):
        await reader.__aenter__()
    assert await settled(creating_kafka) == before
