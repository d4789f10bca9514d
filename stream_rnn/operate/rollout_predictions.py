"""The predictions of both folds of a roll-out, read from the end of their topics backwards.

The fold in charge publishes to the predictions topic, and the candidate to the shadow topic; both
have the partitions of the source.  The shadow topic is read first, and the predictions topic as far
back as the shadow topic was.  Memory is bounded by the number of predictions to read.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.event_time import parse_iso8601_ms
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.heads import AnyHead
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status
from stream_rnn.predictions.decoder import PredictionDecoder
from stream_rnn.rollout.fold_predictions import JoinedPartition, PartitionPredictions
from stream_rnn.settings import FoldSettings

OFFSETS_FACTOR = 8
"""Offsets to look at for each prediction to read; markers of transactions take offsets, too."""
CHUNK_MIN = 1000

OnRecords = Callable[[str, int], None]


async def read_joined(
    rollout: OpenRollout,
    status: Status,
    heads: Sequence[AnyHead],
    decoders: Mapping[str, PredictionDecoder],
    predictions_max: int,
    since: str | None = None,
    on_records: OnRecords = lambda _topic, _records: None,
) -> list[JoinedPartition]:
    """Read the last predictions of both folds in each partition, and join them by source offset.

    Args:
        rollout: Open clients.
        status: Status of the roll-out, which names the folds and their origins.
        heads: Heads to compare, which both bundles have.
        decoders: Decoders of the predictions of the old and of the new fold, by fold id in this
            order.
        predictions_max: Maximum number of predictions to read of each topic, over all partitions.
        since: ISO 8601 time; the range of a partition begins at its first event that is not earlier.
            ``None`` reads back as far as the maximum allows.
        on_records: Called with a topic and the number of records read since the last call.

    Raises:
        ConfigError: There is no plan, no shadow topic, or no prediction that both folds made.
        FencedError: Kafka does not answer.
    """
    settings = rollout.settings
    status.require_plan()
    since_ms = _time_ms(since)
    shadow = settings.shadow_topic
    facts = await rollout.cluster.topics(shadow, settings.predictions)
    if not facts[shadow].partitions:
        raise ConfigError(
            f"the shadow topic {shadow} does not exist: workers create it, and publish the "
            "candidate's predictions there as soon as it is warm; wait for that, and check "
            f"--predictions, and that no worker has --rollout-silent{_refusal(status)}"
        )
    absent = [p.partition for p in status.partitions if p.partition >= facts[shadow].partitions]
    if absent:
        raise ConfigError(
            f"the shadow topic {shadow} has {facts[shadow].partitions} partitions, but the source "
            f"has {len(status.partitions)}: give it as many as the source"
        )
    each_max = max(1, predictions_max // len(status.partitions))
    joined = await gather_or_cancel(
        _read_partition(rollout, partition, heads, decoders, each_max, since_ms, on_records)
        for partition in status.partitions
    )
    if not any(one.joined for one in joined):
        raise ConfigError(_explain_nothing(settings, status, joined))
    return joined


async def _read_partition(
    rollout: OpenRollout,
    status: PartitionStatus,
    heads: Sequence[AnyHead],
    decoders: Mapping[str, PredictionDecoder],
    predictions_max: int,
    since_ms: int | None,
    on_records: OnRecords,
) -> JoinedPartition:
    settings, number = rollout.settings, status.partition
    origins = present_origins(status, tuple(decoders))
    found = PartitionPredictions(settings.app, settings.source, number, origins, heads, decoders)
    lowest: dict[str, int] = {}
    shadow = settings.shadow_topic

    async def read_back(topic: str, is_enough: Callable[[], bool]) -> None:
        tp = TopicPartition(topic, number)
        end = await rollout.cluster.log_end(tp)
        start = max(await rollout.cluster.log_start(tp), end - OFFSETS_FACTOR * predictions_max)
        left = predictions_max
        while left > 0 and start < end and not is_enough():
            first = max(start, end - max(left, CHUNK_MIN))
            records = _last_records(rollout.cluster, tp, first, end, left)
            async with aclosing(records) as batches:
                async for batch in batches:
                    for record in batch:
                        if (offset := found.add(record.value, record.headers)) is not None:
                            lowest[topic] = min(offset, lowest.get(topic, offset))
                    left -= len(batch)
                    on_records(topic, len(batch))
            end = first

    await read_back(shadow, lambda: False)
    if shadow in lowest:
        live = settings.predictions
        await read_back(live, lambda: lowest.get(live, lowest[shadow] + 1) <= lowest[shadow])
    return found.join(since_ms)


async def _last_records(
    cluster: KafkaCluster, tp: TopicPartition, first: int, end: int, records_max: int
) -> AsyncGenerator[Sequence[ConsumerRecord]]:
    """Yield the last records of a range in offset order, at most ``records_max``."""
    async with aclosing(cluster.batches(tp, first, end)) as batches:
        if end - first <= records_max:
            async for records in batches:
                yield records
            return
        last: deque[ConsumerRecord] = deque(maxlen=records_max)
        async for records in batches:
            last.extend(records)
    yield tuple(last)


def present_origins(status: PartitionStatus, fold_ids: Iterable[str]) -> Mapping[str, int | None]:
    """Return the origin of each fold: of the one in charge that of the group offset."""
    return {
        fold_id: status.known.origin
        if status.known is not None and fold_id == status.fold_id
        else status.stored[fold_id].origin
        for fold_id in fold_ids
    }


def _time_ms(since: str | None) -> int | None:
    """Return a time in milliseconds since 1970.

    Raises:
        ConfigError: The text is no time; an offset would mean another event in each partition.
    """
    try:
        return None if since is None else parse_iso8601_ms("" if since.isdecimal() else since)
    except ValueError as error:
        raise ConfigError(
            f"--from {since!r} is no ISO 8601 time, such as 2026-01-31T12:00:00Z"
        ) from error


def _explain_nothing(
    settings: FoldSettings, status: Status, joined: Sequence[JoinedPartition]
) -> str:
    """Return why no event has a prediction of both folds."""
    old, new = status.require_plan().fold_ids
    in_charge = {partition.fold_id for partition in status.partitions}
    candidate = old if in_charge == {new} else new
    lags = [partition.lag(candidate) for partition in status.partitions]
    known = [lag for lag in lags if lag is not None]
    behind = f"it is {sum(known)} offsets behind" if known else "it has not begun"
    other = sum(one.other_origins for one in joined)
    again = f"; {other} predictions are from another origin, before it began again" if other else ""
    return (
        f"no event has a prediction of both folds: {settings.shadow_topic} has none of the "
        f"candidate {candidate} that fits ({behind}){again}; it publishes when it has caught up, "
        "and only events that it does not skip: wait, and see the logs of the workers"
        f"{_refusal(status)}"
    )


def _refusal(status: Status) -> str:
    """Return why a worker does not publish a candidate's predictions; empty if none says so."""
    for name, report in status.workers.reports.items():
        if report is not None and report.shadow is not None:
            return f"; {name} says: {report.shadow}"
    return ""
