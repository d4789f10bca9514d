"""What an output topic must be: it takes every record of its source, whenever that is folded."""

import itertools

import orjson
import pytest

from stream_rnn.kafka.topic_rules import (
    OUTPUT_BYTES_PER_KEY_BYTE,
    find_topic_problem,
    output_config,
)
from stream_rnn.kafka.topics import JAVA_LONG_MAX, TopicFacts
from stream_rnn.operate.check_kafka import check_topics
from stream_rnn.operate.check_result import Level
from stream_rnn.settings import Settings

DAY_MS = 86_400_000
SETTINGS = Settings(app="a", source="in", predictions="out")
DEFAULTS = {  # of Kafka 4.3
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "retention.ms": str(7 * DAY_MS),
    "retention.bytes": "-1",
    "segment.ms": str(7 * DAY_MS),
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
    "message.timestamp.before.max.ms": str(JAVA_LONG_MAX),
    "message.timestamp.after.max.ms": "3600000",
    "compression.type": "producer",
}


def topic(name="in", replication=3, partitions=2, **config):
    """Return a topic with Kafka's defaults; names of settings with _ for a dot."""
    named = {key.replace("_", "."): value for key, value in config.items()}
    return TopicFacts(name, partitions, replication, {**DEFAULTS, **named})


def created(source, settings=SETTINGS):
    """Return the output topic that a worker creates, on a broker with Kafka's defaults."""
    config = {**DEFAULTS, **output_config(source, settings)}
    return TopicFacts("out", source.partitions, source.replication, config)


SOURCES = {
    "cleanup_policy": ("delete", "compact", "compact,delete"),
    "message_timestamp_type": ("CreateTime", "LogAppendTime"),
    "retention_ms": ("-1", "3600000", str(7 * DAY_MS)),
    "message_timestamp_before_max_ms": (str(JAVA_LONG_MAX), "3600000"),
    "message_timestamp_after_max_ms": (str(JAVA_LONG_MAX), "1000"),
    "max_message_bytes": ("1000", "5000000"),
    "min_insync_replicas": ("1", "3"),
}


@pytest.mark.parametrize("replication", [1, 3])
def test_what_a_worker_creates_fits_whatever_its_source_is(replication):
    """It would refuse its own topic otherwise, at once or, worse, when there is a backlog."""
    for values in itertools.product(*SOURCES.values()):
        source = topic(replication=replication, **dict(zip(SOURCES, values, strict=True)))
        made = created(source)
        assert find_topic_problem(made, source, SETTINGS) is None, values
        assert made.limit("message.timestamp.before.max.ms") == float("inf")
        assert made.limit("message.timestamp.after.max.ms") == float("inf")
        assert made.config["cleanup.policy"] == "delete"
        assert made.config["message.timestamp.type"] == "CreateTime"
        assert int(made.config["min.insync.replicas"]) <= replication


def test_a_setting_that_the_broker_does_not_know_is_not_sent():
    """Before 3.6 there is one limit of timestamps, after 4.0 there are the two others."""
    old = topic(message_timestamp_difference_max_ms="3600000")
    for name in ("before", "after"):
        del old.config[f"message.timestamp.{name}.max.ms"]
    made = output_config(old, SETTINGS)
    assert made["message.timestamp.difference.max.ms"] == str(JAVA_LONG_MAX)
    assert set(made) <= set(old.config)
    assert "message.timestamp.difference.max.ms" not in output_config(topic(), SETTINGS)


def test_records_of_a_compacted_source_are_old_and_their_predictions_stay():
    """Its ``retention.ms`` removes nothing, and would remove their predictions at once."""
    source = topic(cleanup_policy="compact")
    assert output_config(source, SETTINGS)["retention.ms"] == "-1"
    assert "has retention.ms" in find_topic_problem(topic("out"), source, SETTINGS).description


@pytest.mark.parametrize(
    ("config", "said", "remedy"),
    [
        ({"partitions": 3}, "has 3 partitions", "create a topic with 2 partitions"),
        ({"cleanup_policy": "compact"}, "is compacted", "set cleanup.policy=delete"),
        ({"retention_ms": "1000"}, "has retention.ms 1000, less than in's", "--allow-short"),
        ({"retention_bytes": "1000"}, "has retention.bytes 1000", "--allow-short"),
        (
            {"max_message_bytes": "1000"},
            "has max.message.bytes 1000",
            "lower output_batch_bytes_max",
        ),
        ({"min_insync_replicas": "4"}, "min.insync.replicas 4 and 3 replicas", "lower"),
        (
            {"message_timestamp_before_max_ms": str(7 * DAY_MS)},
            "it would refuse the predictions of old records",
            "before.max.ms=9223372036854775807",
        ),
        (
            {"message_timestamp_difference_max_ms": "1000"},
            "it would refuse the predictions of old records",
            "before.max.ms=9223372036854775807",
        ),
        (
            {"message_timestamp_after_max_ms": "1000"},
            "it would refuse the predictions of records with a timestamp in the future",
            "after.max.ms=9223372036854775807",
        ),
    ],
)
async def test_what_does_not_fit_is_said_by_worker_and_doctor_alike(config, said, remedy):
    """One rule: what the doctor calls bad the worker refuses, and what it calls good it takes."""
    source, output = topic(), topic("out", **config)
    found = find_topic_problem(output, source, SETTINGS)
    assert said in found.description
    assert remedy in found.remedy
    (bad,) = await called_bad(source, output)
    assert found.description in bad.said
    assert bad.remedy == found.remedy


async def called_bad(source, output):
    """Return what the doctor calls bad."""
    dead_letters = TopicFacts(SETTINGS.dead_letters_topic, 0)

    class Cluster:
        async def topics(self, *_names):
            return {one.name: one for one in (source, output, dead_letters)}

    return [one for one in await check_topics(Cluster(), SETTINGS) if one.level is Level.BAD]


@pytest.mark.parametrize(
    "changed",
    [
        ({}, {}),
        ({}, {"min_insync_replicas": "3"}),
        ({}, {"message_timestamp_type": "LogAppendTime", "message_timestamp_before_max_ms": "1"}),
        (
            {"message_timestamp_type": "LogAppendTime"},
            {"message_timestamp_after_max_ms": "0"},
        ),
        ({}, {"message_timestamp_before_max_ms": str(14 * DAY_MS)}),
        ({"retention_ms": "-1"}, {"retention_ms": "-1"}),
    ],
)
async def test_what_takes_every_record_fits(changed):
    """Limits of timestamps that are replaced, or that no record of the source reaches."""
    source, output = (
        topic(name, **more) for name, more in zip(("in", "out"), changed, strict=True)
    )
    assert find_topic_problem(output, source, SETTINGS) is None
    assert await called_bad(source, output) == []


def test_less_retention_can_be_accepted():
    """Predictions then go before their records do."""
    accepting = SETTINGS.replace(allow_short_retention=True)
    assert find_topic_problem(topic("out", retention_ms="1000"), topic(), accepting) is None


def test_a_prediction_fits_into_a_batch_whatever_its_key():
    """A key of control characters has six bytes for each of them in JSON."""
    assert len(orjson.dumps({"key": "\0" * 4096})) < (OUTPUT_BYTES_PER_KEY_BYTE - 1) * 4096 + 20
    keys = SETTINGS.replace(key_bytes_max=200_000)
    found = find_topic_problem(topic("out"), topic(), keys)
    assert "key_bytes_max 200000, and output_batch_bytes_max is 900000" in found.description
    assert "max.message.bytes to 1400000" in found.remedy
    large = topic("out", max_message_bytes="1400000")
    assert (
        find_topic_problem(large, topic(), keys.replace(output_batch_bytes_max=1_400_000)) is None
    )
