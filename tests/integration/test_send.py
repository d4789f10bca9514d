"""Sending a file to a real topic: keyed, whole, in order."""

import asyncio
import json

import polars as pl
import pytest
from aiokafka import TopicPartition
from click.testing import CliRunner

from stream_rnn.cli.verbs.send import command
from stream_rnn.errors import ConfigError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.replay.files import partition_of
from stream_rnn.settings import Settings

pytestmark = pytest.mark.timeout(90)

SPEC = """
name = "t"
[event]
key = ["who"]
[[features]]
name = "n"
kind = "numeric"
path = "n"
[[heads]]
name = "next"
kind = "regression"
path = "n"
"""


@pytest.fixture
def log(tmp_path):
    """Write 300 rows of 7 keys, and the spec."""
    rows = [{"who": f"k{i % 7}", "n": i, "label": i % 2} for i in range(300)]
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path / "log.csv", rows


async def send(log, topic, bootstrap_servers, *more):
    """Send by the command line."""
    options = [
        str(log),
        topic,
        f"--spec={log.parent / 'spec.toml'}",
        f"--bootstrap-servers={bootstrap_servers}",
    ]
    return await asyncio.to_thread(
        CliRunner().invoke, command, [*options, *more], standalone_mode=False
    )


async def test_a_file_is_sent_as_its_rows(log, app_id, bootstrap_servers):
    """Each to the partition of its key, in order, without what was left out."""
    path, rows = log
    topic = f"{app_id}-in"
    result = await send(path, topic, bootstrap_servers, "--create-partitions=3", "--without=label")
    assert result.exception is None, result.output
    assert "300 records sent" in result.stderr
    settings, found = Settings.build(source=topic, app=app_id), []
    async with KafkaCluster({"bootstrap_servers": bootstrap_servers}, settings) as facts:
        for partition in range(3):
            tp = TopicPartition(topic, partition)
            end = await facts.log_end(tp)
            records = [r async for some in facts.batches(tp, 0, end) for r in some]
            assert all(partition_of(r.key, 3) == partition for r in records)
            numbers = [json.loads(r.value)["n"] for r in records]
            assert numbers == sorted(numbers)
            found += [(r.key.decode(), json.loads(r.value)) for r in records]
    expected = [(row["who"], {"who": row["who"], "n": row["n"]}) for row in rows]
    assert sorted(found, key=lambda pair: pair[1]["n"]) == expected


async def test_a_topic_that_is_not_there_is_not_made_by_chance(log, app_id, bootstrap_servers):
    """Unless it is asked for."""
    result = await send(log[0], f"{app_id}-no", bootstrap_servers)
    assert isinstance(result.exception, ConfigError)
    assert "does not exist; create it, or use --create-partitions" in str(result.exception)
