"""Checks of Kafka: topics, limits, retention against positions, and rights."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import InvalidTransactionTimeout, KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import reason
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.kafka.acls import producer_authorization_error
from stream_rnn.kafka.clients import new_producer, stop_producer
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.coordinator import TRANSACTIONS, find_unmet_setting
from stream_rnn.kafka.topic_rules import find_topic_problem
from stream_rnn.kafka.topics import TopicFacts
from stream_rnn.operate.check_result import Finding, Level, bad, fine, warning
from stream_rnn.settings import FoldSettings
from stream_rnn.text import format_duration

HEADROOM_SHARE = 0.2
SHORT_MS = 6 * 3_600_000


async def check_brokers(cluster: KafkaCluster) -> Finding:
    """Count who answers."""
    assert cluster.admin is not None, "used inside of its context"
    said = await cluster.await_answer(cluster.admin.describe_cluster(), "the cluster")
    count, controller = len(said["brokers"]), said["controller_id"]
    return fine("kafka", f"{count} broker{'s'[: count != 1]}, the controller is {controller}")


async def check_topics(cluster: KafkaCluster, settings: FoldSettings) -> list[Finding]:
    """Look at the three topics and their settings."""
    names = (settings.source, settings.predictions, settings.dead_letters_topic)
    topics = await cluster.topics(*names)
    source = topics[names[0]]
    if not source.partitions:
        return [bad("source", f"{source.name} does not exist", "create it, or correct --source")]
    found = [_source(source, settings), *_durability(source)]
    for name in names[1:]:
        topic = topics[name]
        if not topic.partitions:
            found.append(fine("outputs", f"{name} does not exist: the first worker creates it"))
            continue
        output = _output(topic, source, settings)
        found += [output, *(_durability(topic) if output.level is not Level.BAD else ())]
    return found


def _source(source: TopicFacts, settings: FoldSettings) -> Finding:
    said = f"{source.name}: {source.partitions} partitions, {_retention(source)}"
    if source.is_compacted and not settings.allow_compacted:
        return bad(
            "source",
            f"{said}, compacted: a rebuild folds fewer records than were folded",
            "cleanup.policy=delete, or accept it with --allow-compacted",
        )
    if source.limit("retention.ms") < SHORT_MS:
        return warning(
            "source",
            f"{said}: a worker that is away for longer loses history",
            "raise retention.ms beyond the longest time without workers",
        )
    if source.config.get("message.timestamp.type") == "LogAppendTime":
        return fine("source", f"{said}; timestamps are the broker's")
    return fine("source", said)


def _output(topic: TopicFacts, source: TopicFacts, settings: FoldSettings) -> Finding:
    said = f"{topic.name}: {topic.partitions} partitions, {_retention(topic)}"
    if (found := find_topic_problem(topic, source, settings)) is not None:
        return bad("outputs", f"{said}; it {found.description}", found.remedy)
    if topic.config.get("message.timestamp.type") == "LogAppendTime":
        return warning(
            "outputs",
            f"{said}; the broker stamps its records, so a replaced source is not recognized by them",
            "set message.timestamp.type=CreateTime",
        )
    return fine("outputs", said)


def _durability(topic: TopicFacts) -> list[Finding]:
    least = int(topic.limit("min.insync.replicas"))
    name, said = "durability", f"{topic.name}: replication {topic.replication}, min.insync.replicas {least}"  # fmt: skip
    if least > topic.replication:
        return [bad(name, said, "it takes no record with acks=all: lower min.insync.replicas")]
    if topic.replication == 1:
        return [warning(name, said, "one broker's disk is all there is: 3 replicas, 2 in sync")]
    if least >= topic.replication:
        remedy = "no broker may be away: min.insync.replicas below replication"
        return [warning(name, said, remedy)]
    if least < 2:
        return [warning(name, said, "an acknowledged record can be lost: min.insync.replicas=2")]
    return [fine(name, said)]


def _retention(topic: TopicFacts) -> str:
    limit, size = topic.limit("retention.ms"), topic.limit("retention.bytes")
    span = "no end by time" if limit == float("inf") else format_duration(limit / 1000)
    return span if size == float("inf") else f"{span}, {size / 1e9:.1f} GB a partition"


def check_positions(rows: list[Mapping[str, Any]], source: str) -> list[Finding]:
    """Look where a worker would start, and how far retention is from it."""
    found = []
    for row in rows:
        name = f"{source}[{row['partition']}]"
        if row["stop"]:
            found.append(bad("position", f"a worker would stop: {row['stop']}", "until then it ends with status 3"))  # fmt: skip
            continue
        if row["position"] is None:
            found.append(fine("position", f"{name}: none yet; it would begin at {row['start']}, row {row['row']}"))  # fmt: skip
            continue
        said = f"{name}: position {row['position']} of {row['log_end']}, {row['lag']} behind"
        span = row["log_end"] - row["log_start"]
        headroom = row["position"] - row["log_start"]
        if row["lag"] and headroom < HEADROOM_SHARE * span:
            found.append(
                warning(
                    "position",
                    f"{said}; retention is {headroom} offsets from it",
                    "raise retention.ms and retention.bytes of the source now, then start workers",
                )
            )
        elif row["origin"] is not None and row["log_start"] > row["origin"]:
            found.append(
                warning(
                    "history",
                    f"{said}; the log no longer reaches back to the origin {row['origin']}",
                    "Redis cannot be rebuilt exactly: keep backups younger than the retention",
                )
            )
        else:
            found.append(fine("position", said))
    return found


async def check_source_read(cluster: KafkaCluster, settings: FoldSettings) -> Finding:
    """Read a record of the source, if it has one."""
    source = settings.source
    for partition in range((await cluster.topics(source))[source].partitions):
        tp = TopicPartition(source, partition)
        start, end = await cluster.log_start(tp), await cluster.log_end(tp)
        if end > start:
            async for records in cluster.batches(tp, start, end):
                return fine("source rights", f"{source}[{partition}] {records[0].offset} was read")
    return fine("source rights", f"{source} holds no record that could be read")


async def check_rights(settings: FoldSettings, outputs: Mapping[str, int]) -> Finding:
    """Open a transaction over all outputs and the group, and abort it: no record is written.

    Group offsets of an aborted transaction are never seen.

    Args:
        settings: of the worker.
        outputs: those that exist, and their partitions; the first worker creates the others.
    """
    name = "kafka rights"
    connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    producer = new_producer(
        transactional_id=transactional_id(settings.app, settings.source, "doctor"),
        transaction_timeout_ms=settings.transaction_timeout_ms,
        request_timeout_ms=int(settings.kafka_timeout_s * 1000),
        **connection,
    )
    try:
        async with asyncio.timeout(settings.kafka_timeout_s):
            await producer.start()
            await producer.begin_transaction()
            for topic, partitions in outputs.items():
                for partition in range(partitions):
                    # There is no public way to take part without sending a record.
                    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))  # noqa: SLF001  # fmt: skip
            if settings.delivery == "exactly_once":
                place = TopicPartition(settings.source, 0)
                nothing = {place: OffsetAndMetadata(0, "")}
                await producer.send_offsets_to_transaction(nothing, settings.app)
            await producer.abort_transaction()
    except (KafkaError, OSError) as error:
        refused = producer_authorization_error(error, settings)
        said = str(refused) if refused else reason(error)
        remedy = "give the user the rights of a worker in deploy/README.md"
        if isinstance(error, InvalidTransactionTimeout):
            remedy = "lower --transaction-timeout-ms"
        if isinstance(error, TimeoutError):
            never = await find_unmet_setting(connection, TRANSACTIONS)
            said = str(never) if never else f"no transaction within {settings.kafka_timeout_s:g} s"
            remedy = "a worker with exactly_once needs a transaction coordinator"
        return bad(name, said, remedy)
    finally:
        await stop_producer(producer, settings.revoke_timeout_s)
    over = " and ".join([*outputs, f"group {settings.app}"])
    return fine(name, f"transactions over {over} may be opened")
