"""The waits of a person during a roll-out: until a candidate is warm, and until requests are carried out."""

import asyncio
import time
from collections.abc import Callable, Mapping

from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.operate.rollout_status import OpenRollout, Status
from stream_rnn.rollout.plan import Plan, Request

POLL_S = 0.2

Requests = dict[int, Request]


async def until_warm(rollout: OpenRollout, plan: Plan, within_s: float) -> str:
    """Wait until the candidate is within one micro-batch of each group offset.

    Args:
        rollout: Open clients.
        plan: Plan of the roll-out.
        within_s: Seconds to wait.

    Returns:
        Why it is not, empty if it is.
    """
    deadline, near = time.monotonic() + within_s, rollout.settings.batch_events_max
    while True:
        status = await rollout.status()
        if not (cold := cold_partitions(status, plan, near)):
            return ""
        if time.monotonic() > deadline:
            (first, *_) = status.select(frozenset(cold))
            why = _why_cold(status, first.candidate(plan.fold_ids), cold)
            return f"not warm within {within_s:g} s: {why}"
        await asyncio.sleep(5 * POLL_S)


def cold_partitions(status: Status, plan: Plan, near: int) -> dict[int, int | None]:
    """Return the lag of the candidate where it is more than some offsets behind the group offset.

    Args:
        status: Status of the roll-out.
        plan: Plan of the roll-out.
        near: Largest lag of a warm candidate.

    Returns:
        Lag by partition, ``None`` where the candidate has not begun; a partition in which no fold
        has published is left out.
    """
    begun = [p for p in status.partitions if p.known is not None]
    lags = {p.partition: p.lag(p.candidate(plan.fold_ids)) for p in begun}
    return {number: lag for number, lag in lags.items() if lag is None or lag > near}


def _why_cold(status: Status, fold_id: str, cold: Mapping[int, int | None]) -> str:
    """Return why a candidate is not warm: a worker that cannot run it, or how far it has come."""
    for name, report in status.workers.reports.items():
        if report is not None and (why := report.refused.get(fold_id)):
            return f"{name} cannot run fold {fold_id}: {why}"
    if not status.workers.reports:
        return "no worker runs"
    partition, lag = next(iter(cold.items()))
    if lag is None:
        return f"the candidate has not begun partition {partition}; the log of its owner says why"
    return f"the candidate is {lag} offsets behind in partition {partition}, and goes on"


async def wait_for(
    rollout: OpenRollout,
    requests: Requests,
    within_s: float,
    on_done: Callable[[int, GroupOffset], None] = lambda _partition, _offset: None,
) -> dict[int, str]:
    """Wait until the group offsets say that requests were carried out.

    Args:
        rollout: Open clients.
        requests: Request of each partition.
        within_s: Seconds to wait.
        on_done: Function that receives each partition that is done, with its group offset.

    Returns:
        Why a request was not carried out, for each partition in which it was not.
    """
    deadline, waiting = time.monotonic() + within_s, dict(requests)
    failed: dict[int, str] = {}
    while waiting:
        offsets = await gather_or_cancel(rollout.known(partition) for partition in waiting)
        for (partition, request), known in zip(list(waiting.items()), offsets, strict=True):
            if known is None or known.number < request.number:
                continue
            del waiting[partition]
            if (known.number, known.fold_id) == (request.number, request.fold_id):
                on_done(partition, known)
            else:
                failed[partition] = f"request {known.number} was carried out instead"
        if waiting and time.monotonic() > deadline:
            return {**failed, **await _explain(rollout, waiting, within_s)}
        if waiting:
            await asyncio.sleep(POLL_S)
    return failed


async def _explain(rollout: OpenRollout, waiting: Requests, within_s: float) -> dict[int, str]:
    status = await rollout.status()
    reasons: dict[int, str] = {}
    for partition in status.select(frozenset(waiting)):
        request = waiting[partition.partition]
        stored, lag = partition.stored.get(request.fold_id), partition.lag(request.fold_id)
        why = f"not carried out within {within_s:g} s; the request stands"
        if not status.workers.reports:
            why += ", and no worker runs"
        elif request.origin is not None and stored is not None and stored.origin != request.origin:
            why += (
                f", but the candidate has begun again since, at offset {stored.origin}: promote "
                "again when it is warm"
            )
        elif request.fold_id != partition.fold_id and lag is not None:
            why += f", and the candidate is {lag} offsets behind"
        reasons[partition.partition] = why
    return reasons
