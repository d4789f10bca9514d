"""Checks of Kafka: brokers, topics, retention, positions and access rights."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import InvalidTransactionTimeout, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import ConfigError, StreamRNNError, UnreachableError, reason
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.fold.stream_time import describe_ahead
from stream_rnn.kafka.acls import producer_authorization_error
from stream_rnn.kafka.clients import (
    PRODUCER_FAILURES,
    new_producer,
    stop_producer,
    transaction_error,
)
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import connection_options
from stream_rnn.kafka.coordinator import (
    TRANSACTIONS,
    find_unmet_setting,
    read_timeout_limit,
    require_transactions,
)
from stream_rnn.kafka.group_members import read_group_members
from stream_rnn.kafka.topic_rules import find_topic_problem
from stream_rnn.kafka.topics import TopicFacts
from stream_rnn.operate.check_result import Finding, Level, bad, fine, warning
from stream_rnn.operate.in_charge import describe_fold_in_charge
from stream_rnn.settings import FoldSettings
from stream_rnn.text import format_duration

HEADROOM_SHARE = 0.2
SHORT_MS = 6 * 3_600_000


async def check_brokers(cluster: KafkaCluster) -> Finding:
    """Count the brokers."""
    assert cluster.admin is not None, "the cluster is open"
    answer = await cluster.await_answer(cluster.admin.describe_cluster(), "the cluster")
    count, controller = len(answer["brokers"]), answer["controller_id"]
    return fine("kafka", f"{count} broker{'s'[: count != 1]}; the controller is {controller}")


async def check_topics(cluster: KafkaCluster, settings: FoldSettings) -> list[Finding]:
    """Check the source topic and the two output topics."""
    names = (settings.source, settings.predictions, settings.dead_letters_topic)
    topics = await cluster.topics(*names)
    source = topics[names[0]]
    if not source.partitions:
        return [bad("source", f"{source.name} does not exist", "create it, or correct --source")]
    findings = [_source(source, settings), *_durability(source)]
    for name in names[1:]:
        topic = topics[name]
        if not topic.partitions:
            findings.append(fine("outputs", f"{name} does not exist; the first worker creates it"))
            continue
        output = _output(topic, source, settings)
        findings += [output, *(_durability(topic) if output.level is not Level.BAD else ())]
    return findings


def _source(source: TopicFacts, settings: FoldSettings) -> Finding:
    topic = f"{source.name}: {source.partitions} partitions, retention {_retention(source)}"
    if source.is_compacted and not settings.allow_compacted:
        return bad(
            "source",
            f"{topic}; it is compacted, so a rebuild would not fold the records that are removed",
            "set cleanup.policy=delete, or accept the loss with --allow-compacted",
        )
    if source.limit("retention.ms") < SHORT_MS:
        return warning(
            "source",
            f"{topic}; records are lost if no worker runs for longer than the retention",
            "raise retention.ms beyond the longest time without workers",
        )
    if source.config.get("message.timestamp.type") == "LogAppendTime":
        return fine("source", f"{topic}; the broker sets the timestamps")
    return fine("source", topic)


def _output(topic: TopicFacts, source: TopicFacts, settings: FoldSettings) -> Finding:
    detail = f"{topic.name}: {topic.partitions} partitions, retention {_retention(topic)}"
    if (problem := find_topic_problem(topic, source, settings)) is not None:
        return bad("outputs", f"{detail}; it {problem.description}", problem.remedy)
    if topic.config.get("message.timestamp.type") == "LogAppendTime":
        return warning(
            "outputs",
            f"{detail}; the broker sets the timestamps, so they cannot show a worker that the "
            "source topic was deleted and created again",
            "set message.timestamp.type=CreateTime",
        )
    return fine("outputs", detail)


def _durability(topic: TopicFacts) -> list[Finding]:
    in_sync = int(topic.limit("min.insync.replicas"))
    name = "durability"
    detail = f"{topic.name}: replication {topic.replication}, min.insync.replicas {in_sync}"
    if in_sync > topic.replication:
        remedy = "lower min.insync.replicas: the topic accepts no record with acks=all"
        return [bad(name, detail, remedy)]
    if topic.replication == 1:
        remedy = "replicate it (3 replicas, min.insync.replicas=2): one disk has the only copy"
        return [warning(name, detail, remedy)]
    if in_sync >= topic.replication:
        remedy = "set min.insync.replicas below the replication: no broker may be down"
        return [warning(name, detail, remedy)]
    if in_sync < 2:
        remedy = "set min.insync.replicas=2: an acknowledged record can be lost with one broker"
        return [warning(name, detail, remedy)]
    return [fine(name, detail)]


def _retention(topic: TopicFacts) -> str:
    limit, size = topic.limit("retention.ms"), topic.limit("retention.bytes")
    span = "unlimited" if limit == float("inf") else format_duration(limit / 1000)
    return span if size == float("inf") else f"{span} and {size / 1e9:.1f} GB per partition"


def _other_fold(detail: str, row: Mapping[str, Any]) -> Finding:
    """Return a finding about a fold that is in charge, and is not that of the settings."""
    if row["is_candidate"]:
        return fine("position", detail)
    remedy = (
        f"give the workers, and this command, the bundle of fold {row['runs']} as --bundle: without "
        "it, they stop once Redis has lost the bundle"
    )
    return warning("position", detail, remedy)


def check_positions(rows: list[Mapping[str, Any]], source: str) -> list[Finding]:
    """Check where a worker would start, and whether retention is about to pass it."""
    findings = []
    for row in rows:
        name = f"{source}[{row['partition']}]"
        if row["stop"]:
            remedy = "do what the message says; until then, workers exit with status 3"
            findings.append(bad("position", f"a worker would stop: {row['stop']}", remedy))
            continue
        if detail := describe_fold_in_charge(row):
            findings.append(_other_fold(f"{name}: {detail}", row))
            continue
        if row["position"] is None:
            detail = (
                f"{name}: no position yet; a worker would start at {row['start']} (row {row['row']} "
                "of the recovery table)"
            )
            findings.append(fine("position", detail))
            continue
        detail = f"{name}: position {row['position']}, log end {row['log_end']}, lag {row['lag']} records"
        span = row["log_end"] - row["log_start"]
        headroom = row["position"] - row["log_start"]
        if row["position"] == row["origin"]:
            findings.append(fine("position", f"{detail}; nothing is folded yet"))
        elif row["lag"] and headroom < HEADROOM_SHARE * span:
            findings.append(
                warning(
                    "position",
                    f"{detail}; the log start is only {headroom} offsets below the position",
                    "raise retention.ms and retention.bytes of the source now, then start workers",
                )
            )
        elif row["origin"] is not None and row["log_start"] > row["origin"]:
            findings.append(
                warning(
                    "history",
                    f"{detail}; the log no longer reaches back to the origin {row['origin']}",
                    "keep backups of Redis younger than the retention: the log alone cannot "
                    "rebuild its states exactly",
                )
            )
        else:
            findings.append(fine("position", detail))
    return findings


def check_stream_times(
    rows: list[Mapping[str, Any]], settings: FoldSettings, now_s: float
) -> list[Finding]:
    """Check that no record has moved stream time far ahead of now."""
    findings = []
    for row in rows:
        ahead = describe_ahead(row["stream_time_ms"], now_s, settings)
        if ahead is not None:
            text = f"{settings.source}[{row['partition']}]: {ahead.text}"
            if ahead.remedy:
                findings.append(warning("stream time", text, ahead.remedy))
            else:
                findings.append(fine("stream time", text))
    return findings


async def check_transactions(cluster: KafkaCluster, settings: FoldSettings) -> tuple[Finding, bool]:
    """Check what the brokers provide for a producer of outputs.

    Returns:
        The finding, and whether the brokers provide transactions.
    """
    name, admin = "transactions", cluster.admin
    assert admin is not None, "the cluster is open"
    connection = connection_options(settings)
    identity = transactional_id(settings.app, settings.source, "doctor")
    remedy = "do what the message says; until then, workers exit with status 3"
    try:
        await require_transactions(admin, connection, identity, settings.kafka_timeout_s)
    except UnreachableError as error:
        return bad(name, str(error), "start the missing brokers"), False
    except ConfigError as error:
        if settings.delivery == "exactly_once":
            return bad(name, str(error), remedy), False
    else:
        return await _check_timeout(cluster, settings)
    try:
        await require_transactions(admin, connection, None, settings.kafka_timeout_s)
    except ConfigError as error:
        return bad(name, str(error), remedy), False
    detail = "the brokers provide none, and at_least_once needs none; rights to write: not checked"
    return fine(name, detail), False


async def _check_timeout(cluster: KafkaCluster, settings: FoldSettings) -> tuple[Finding, bool]:
    """Compare the timeout of transactions with the brokers' limit, and return as its caller."""
    name, admin = "transactions", cluster.admin
    assert admin is not None, "the cluster is open"
    detail = "the brokers have a coordinator of transactions"
    try:
        read = partial(read_timeout_limit, admin)
        limit_ms = await cluster.await_admin_answer(read, "the settings of a broker")
    except StreamRNNError:  # some services refuse to describe a broker
        limit_ms = None
    if limit_ms is None:
        detail += "; they do not show this user transaction.max.timeout.ms, which --write checks"
        return fine(name, detail), True
    if limit_ms < settings.transaction_timeout_ms and settings.delivery == "exactly_once":
        detail = (
            f"the brokers' transaction.max.timeout.ms is {limit_ms}, and transaction_timeout_ms "
            f"{settings.transaction_timeout_ms}"
        )
        remedy = "lower --transaction-timeout-ms, or raise transaction.max.timeout.ms"
        return bad(name, detail, remedy), False
    return fine(name, f"{detail}; transaction.max.timeout.ms is {limit_ms}"), True


async def check_group(cluster: KafkaCluster, settings: FoldSettings) -> Finding:
    """Check that all members of the group are workers."""
    admin, group = cluster.admin, settings.app
    assert admin is not None, "the cluster is open"
    members = await cluster.await_admin_answer(
        lambda: read_group_members(admin, group), f"group {group}"
    )
    client_id = connection_options(settings).get("client_id", "")
    if strangers := members.strangers(settings.source, client_id):
        detail = f"{group} has a member that is no worker: {members.describe(strangers)}"
        return bad("group", detail, "stop it, or give the fold an app id of its own")
    count = len(members.members)
    return fine("group", f"{group} has {count} member{'s'[: count != 1]}")


async def check_source_read(cluster: KafkaCluster, settings: FoldSettings) -> Finding:
    """Check the right to read the source, by reading one record if there is one."""
    source = settings.source
    for partition in range((await cluster.topics(source))[source].partitions):
        tp = TopicPartition(source, partition)
        start, end = await cluster.log_start(tp), await cluster.log_end(tp)
        if end > start:
            async with aclosing(cluster.batches(tp, start, end)) as batches:
                async for records in batches:
                    return fine(
                        "source rights", f"read offset {records[0].offset} of {source}[{partition}]"
                    )
    return fine("source rights", f"not checked: {source} is empty")


async def check_rights(settings: FoldSettings, outputs: Mapping[str, int]) -> Finding:
    """Open a transaction over all outputs and the group, and abort it.

    Writes no record, and commits no group offset.

    Args:
        settings: Settings of the worker.
        outputs: Number of partitions of each output topic that exists.
    """
    name = "kafka rights"
    connection = connection_options(settings)
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
                    # No public method adds a partition without sending a record.
                    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))  # noqa: SLF001  # fmt: skip
            if settings.delivery == "exactly_once":
                offsets = {TopicPartition(settings.source, 0): OffsetAndMetadata(0, "")}
                await producer.send_offsets_to_transaction(offsets, settings.app)
            await producer.abort_transaction()
    except PRODUCER_FAILURES as raised:
        error = transaction_error(raised, producer)
        refused = producer_authorization_error(error, settings)
        detail = str(refused) if refused else reason(error)
        remedy = "grant the user the rights that deploy/README.md lists for a worker"
        if isinstance(error, ProducerFenced):
            detail, remedy = "another doctor of this app and source runs", "run it again alone"
        if isinstance(error, InvalidTransactionTimeout):
            remedy = "lower --transaction-timeout-ms"
        if isinstance(error, TimeoutError):
            no_answer = await find_unmet_setting(connection, TRANSACTIONS)
            detail = (
                str(no_answer)
                if no_answer
                else f"the transaction timed out after {settings.kafka_timeout_s:g} s"
            )
            remedy = "check the brokers: exactly_once needs a transaction coordinator"
        return bad(name, detail, remedy)
    finally:
        await stop_producer(producer, settings.revoke_timeout_s)
    names = " and ".join([*outputs, f"group {settings.app}"])
    return fine(name, f"transactions over {names} are allowed")
