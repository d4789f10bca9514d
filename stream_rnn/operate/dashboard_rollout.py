"""What the dashboard shows of a roll-out: both folds of each partition, requests and workers."""

from contextlib import aclosing
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.operate.open_fold import Fold
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER
from stream_rnn.rollout.plan import Plan
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.rollout.worker_report import WorkerReport
from stream_rnn.settings import FoldSettings

READ_RECORDS = 100  # in one step of the search
Json = dict[str, Any]


class RolloutData:
    """Reads the roll-out of an open fold.

    Args:
        fold: An open fold.
    """

    def __init__(self, fold: Fold) -> None:
        settings, redis = fold.settings, fold.redis
        plans = RedisPlanStore(redis, settings)
        self._settings = settings
        self._rollout = OpenRollout(settings, redis, fold.cluster, plans)
        self._cut_overs: dict[int, tuple[int, int]] = {}  # partition -> number, source offset

    async def now(self) -> Json | None:
        """Return the roll-out; ``None`` without a plan, or if it is over.

        If another program has written the plan, the value has nothing but an ``error``.

        Raises:
            UnavailableError: Redis does not answer.
        """
        try:
            plan = await self._rollout.plans.read()
            if plan is None or plan.stage == "over":
                return None
            status = await self._rollout.status()
        except ConfigError as error:
            return {"error": str(error), "partitions": [], "workers": []}
        if status.plan is None:
            return None
        names = dict(zip(status.plan.fold_ids, ("old", "new"), strict=True))
        partitions = [
            await self._partition(status.plan, partition, names) for partition in status.partitions
        ]
        return {
            "stage": status.plan.stage,
            "old": status.plan.fold_ids[0],
            "new": status.plan.fold_ids[1],
            "since_ms": status.plan.since_ms or None,
            "started_by": status.plan.started_by,
            "partitions": partitions,
            "workers": _workers(status, names),
        }

    async def _partition(self, plan: Plan, one: PartitionStatus, names: dict[str, str]) -> Json:
        known, pending, in_charge = one.known, one.pending, one.fold_id
        candidates = [fold for fold in plan.fold_ids if fold != in_charge]
        candidate = candidates[0] if len(candidates) == 1 else None
        stored = one.stored.get(candidate or "")
        number = known.number if known else 0
        return {
            "partition": one.partition,
            "in_charge": names.get(in_charge or "", in_charge),
            "number": number,
            "cut_over": await self._cut_over(one.partition, number),
            "group_offset": known.offset if known else None,
            "log_start": one.log_start,
            "candidate": names.get(candidate or ""),
            "position": stored.position if stored else None,
            "origin": stored.origin if stored else None,
            "keys": stored.fields if stored else None,
            "lag": one.lag(candidate) if candidate else None,
            "pending": None
            if pending is None
            else {
                "kind": pending.kind,
                "fold": names.get(pending.fold_id, pending.fold_id),
                "number": pending.number,
                "holds": pending.origin in (None, stored.origin if stored else None),
            },
        }

    async def _cut_over(self, partition: int, number: int) -> int | None:
        """Return the source offset of the first prediction after the last cut-over, if any."""
        if not number:
            return None
        found = self._cut_overs.get(partition)
        if found is not None and found[0] == number:
            return found[1]
        offset = await find_cut_over(self._rollout.cluster, self._settings, partition, number)
        if offset is not None:  # it does not change any more
            self._cut_overs[partition] = number, offset
        return offset


async def find_cut_over(
    cluster: KafkaCluster, settings: FoldSettings, partition: int, number: int
) -> int | None:
    """Return the source offset of the first prediction with a number; ``None`` if there is none.

    Numbers grow along the predictions topic, so this is a binary search.  With ``at_least_once``, a
    repetition of an earlier prediction can make it miss the first one by as much as was repeated.
    """
    tp = TopicPartition(settings.predictions, partition)
    if partition >= (await cluster.topics(tp.topic))[tp.topic].partitions:
        return None
    low, high = await cluster.log_start(tp), await cluster.log_end(tp)
    found = None
    async with cluster.reader(tp) as read:
        while low < high:
            middle = (low + high) // 2
            record = await _first_own(read, settings, partition, middle, high)
            if record is None:
                high = middle
                continue
            headers = dict(record.headers)
            if int(headers.get(CUT_OVER_HEADER) or b"0") < number:
                low = record.offset + 1
            else:
                high, found = middle, int(headers["sr-offset"] or b"")
    return found


async def _first_own(
    read: Any, settings: FoldSettings, partition: int, first: int, end: int
) -> ConsumerRecord | None:
    """Return the first prediction of this app and source partition in a range of offsets."""
    place = settings.app, settings.source, str(partition)
    wanted = [text.encode() for text in place]
    async with aclosing(read(first, end, READ_RECORDS)) as batches:
        async for records in batches:
            for record in records:
                headers = dict(record.headers)
                names = ("sr-app", "sr-topic", "sr-partition")
                numbers = headers.get(CUT_OVER_HEADER, b"0"), headers.get("sr-offset")
                if [headers.get(name) for name in names] == wanted and all(
                    text is not None and text.isdigit() for text in numbers
                ):
                    return record
    return None


def _workers(status: Status, names: dict[str, str]) -> list[Json]:
    return [
        {"worker": worker, "report": None if report is None else _report(report, names)}
        for worker, report in status.workers.reports.items()
    ]


def _report(report: WorkerReport, names: dict[str, str]) -> Json:
    return {
        "version": report.version,
        "own": names.get(report.own.fold_id, report.own.fold_id),
        "loaded": [names.get(fold, fold) for fold in report.loaded],
        "refused": {names.get(fold, fold): why for fold, why in report.refused.items()},
        "stage": report.stage,
        "candidates": list(report.candidates),
        "events_per_s": report.events_per_s,
    }
