"""``stream-rnn rollout``: change the model under live load."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from stream_rnn.cli.shared.confirmation import confirm
from stream_rnn.cli.shared.printing import output_console, print_json, print_table, print_text
from stream_rnn.cli.verbs import load_work
from stream_rnn.operate import rollout_requests as requests
from stream_rnn.operate import rollout_start
from stream_rnn.operate.rollout_start import Proposal
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status, open_rollout
from stream_rnn.operate.rollout_waits import Requests, until_warm, wait_for
from stream_rnn.rollout.plan import Plan, Request
from stream_rnn.rollout.worker_report import WorkerReport
from stream_rnn.settings import FoldSettings
from stream_rnn.text import format_time

T = TypeVar("T")


def _with_rollout(settings: FoldSettings, action: Callable[[OpenRollout], Awaitable[T]]) -> T:
    """Open a roll-out, call an action with it, close it, and return the action's result."""

    async def run() -> T:
        async with open_rollout(settings) as rollout:
            return await action(rollout)

    return asyncio.run(run())


def start(
    settings: FoldSettings,
    from_log_start: bool,
    waits: bool,
    within_s: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Let the running workers fold a new bundle beside the one in charge."""
    proposal = _with_rollout(
        settings, lambda rollout: rollout_start.propose(rollout, from_log_start=from_log_start)
    )
    if not as_json:
        _print_proposal(settings, proposal)
    if not (yes or as_json):
        confirm("start the roll-out?")

    async def begin(rollout: OpenRollout) -> str | None:
        plan = await rollout_start.start(rollout, proposal)
        return await until_warm(rollout, plan, within_s) if waits else None

    why = _with_rollout(settings, begin)
    if as_json:
        old, new = (fold.fold_id for fold in proposal.folds)
        about: dict[str, Any] = {"old": old, "new": new}
        about["first_offsets"] = _by_text(proposal.first)
        about |= {"warm": None if why is None else not why, "why": why or None}
        print_json({**about, **proposal.cost.as_json(), "repairs": proposal.repairs})
    elif why is None:
        print("started; stream-rnn rollout status shows when the candidate is warm")
    else:
        print(why or "warm in all partitions")
    return 1 if why else 0


def status(settings: FoldSettings, compares: bool, as_json: bool, **options: Any) -> int:
    """Show the folds of a roll-out, what the workers report, and how the predictions differ."""
    if compares:
        settings = settings.of_fold(("app", "source", "predictions"))
    found = _with_rollout(settings, lambda rollout: rollout.status())
    is_complete, content = found.plan is not None, found.as_json()
    if not as_json:
        _print_status(settings, found)
    if compares and found.plan is not None:
        is_complete = _load_comparison().show(settings, content, as_json, options)
    if as_json:
        print_json(content)
    return 0 if is_complete else 1


def report(settings: FoldSettings, out: Path, as_json: bool, **options: Any) -> None:
    """Compare the predictions of both folds of a roll-out, and write a page."""
    _load_comparison().write(settings, out, as_json, options)


def _load_comparison() -> Any:
    """Load what a comparison needs, which the other commands work without."""
    return load_work("rollout_comparison")


def promote(
    settings: FoldSettings,
    fold: str,
    partitions: frozenset[int] | None,
    waits: bool,
    within_s: float,
    as_json: bool,
) -> int:
    """Put a fold in charge of publishing, at one exact offset of each partition."""

    async def run(rollout: OpenRollout) -> int:
        made = await requests.promote(rollout, fold, partitions)
        return await _follow(rollout, made, waits, within_s, as_json)

    return _with_rollout(settings, run)


def finish(settings: FoldSettings, within_s: float, yes: bool, as_json: bool) -> None:
    """End a roll-out: drop the states of the fold that is not in charge."""
    if not (yes or as_json):
        confirm("drop the states of the fold that is not in charge? There is no way back then")
    dropped = _with_rollout(settings, lambda rollout: requests.finish(rollout, within_s))
    if as_json:
        print_json({"dropped": dropped})
        return
    for fold_id, count in dropped.items():
        print(f"dropped {count} hidden states of fold {fold_id}; the roll-out is over")


def abandon(
    settings: FoldSettings,
    partitions: frozenset[int] | None,
    waits: bool,
    within_s: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Let the workers' own bundle take over from a fold whose bundle is lost."""

    async def run(rollout: OpenRollout) -> int:
        made = await requests.abandon(rollout, partitions)
        return await _follow(rollout, made, waits, within_s, as_json)

    if not (yes or as_json):
        confirm("let the fold of this bundle take over, with memories from the log start?")
    return _with_rollout(settings, run)


async def _follow(
    rollout: OpenRollout, made: Requests, waits: bool, within_s: float, as_json: bool
) -> int:
    """Wait for requests if wanted, and print what becomes of them; return the exit status."""
    if not waits:
        for partition, request in made.items():
            _print_request(rollout.settings, partition, request, None, as_json)
        return 0
    failed = await wait_for(rollout, made, within_s)
    for partition, request in made.items():
        why = failed.get(partition, "")
        _print_request(rollout.settings, partition, request, why, as_json)
    return 1 if failed else 0


def _print_request(
    settings: FoldSettings, partition: int, request: Request, why: str | None, as_json: bool
) -> None:
    """Print a request; ``why`` is why it was not carried out, empty if it was, ``None`` if unknown."""
    if as_json:
        done = {"done": None if why is None else not why, "why": why or None}
        print_json({"partition": partition, **request.model_dump(), **done})
        return
    what = f"{request.kind} of fold {request.fold_id}, number {request.number}"
    result = "requested" if why is None else why or "done"
    print(f"{settings.source}[{partition}]: {what}: {result}")


def _by_text(numbers: dict[int, int]) -> dict[str, int]:
    return {str(partition): number for partition, number in numbers.items()}


def _print_proposal(settings: FoldSettings, proposal: Proposal) -> None:
    cost, (old, new) = proposal.cost, proposal.folds
    if proposal.repairs:
        print(
            f"the roll-out is open, and Redis gets the bundle {settings.bundle} again, which it lost"
        )
        return
    print(f"fold {new.fold_id} of {settings.bundle}, beside fold {old.fold_id}")
    print(f"{cost.records:,} records to fold again")
    print(
        f"about {cost.redis_bytes / 1e6:,.1f} MB more in Redis, for the {cost.keys:,} keys that the "
        f"fold in charge has{_free(cost.redis_free_bytes)}"
    )
    if cost.cpu_s is None or cost.warm_s is None:
        print("the source has no records to measure, so the CPU until it is warm is unknown")
    else:
        print(
            f"about {cost.cpu_s:,.0f} s of CPU, measured here with {cost.sample_records:,} records: "
            f"{cost.warm_s:,.0f} s until it is warm, if each worker has a core for it; under full "
            f"load, {cost.warm_s / settings.rollout_share:,.0f} s"
        )
    for partition, offset in proposal.first.items():
        print(f"{settings.source}[{partition}]: the new memories begin later, at offset {offset}")


def _free(free_bytes: float | None) -> str:
    return "" if free_bytes is None else f"; {free_bytes / 1e6:,.1f} MB are free"


def _print_status(settings: FoldSettings, found: Status) -> None:
    console, plan = output_console(), found.plan
    if plan is None:
        print_text(console, f"app {settings.app}  source {settings.source}  no roll-out")
    else:
        old, new = plan.fold_ids
        since = format_time(plan.since_ms) if plan.since_ms else "-"
        who = f" by {plan.started_by}" if plan.started_by else ""
        print_text(console, f"app {settings.app}  source {settings.source}  {plan.stage}")
        print_text(console, f"old {old}  new {new}  started {since}{who}")
    titles = ["partition", "in charge", "number", "group offset", "candidate", "lag", "pending"]
    print_table(console, titles, [_cells(plan, partition) for partition in found.partitions])
    for name, report in found.workers.reports.items():
        _print_worker(console, plan, name, report)


def _cells(plan: Plan | None, partition: PartitionStatus) -> list[str]:
    known, pending, fold_id = partition.known, partition.pending, partition.fold_id
    names = dict(zip(plan.fold_ids, ("old", "new"), strict=True)) if plan is not None else {}
    is_open = plan is not None and plan.stage == "open"  # afterwards, nothing is a candidate
    others = [other for other in names if other != fold_id and is_open]
    lag = partition.lag(others[0]) if len(others) == 1 else None
    return [
        str(partition.partition),
        names.get(fold_id or "", fold_id or "-"),
        str(known.number) if known is not None else "-",
        str(known.offset) if known is not None else "-",
        names[others[0]] if len(others) == 1 else "-",
        "-" if lag is None else str(lag),
        "-" if pending is None else f"{pending.kind} {names.get(pending.fold_id, pending.fold_id)}",
    ]


def _print_worker(
    console: Console, plan: Plan | None, name: str, report: WorkerReport | None
) -> None:
    if report is None:
        print_text(console, f"worker {name}: no report: it knows no roll-outs, or has just started")
        return
    names = dict(zip(plan.fold_ids, ("old", "new"), strict=True)) if plan is not None else {}
    loaded = [names.get(fold_id, fold_id) for fold_id in report.loaded]
    own = names.get(report.own.fold_id, report.own.fold_id)
    print_text(
        console, f"worker {name}: version {report.version}, own {own}, loaded {', '.join(loaded)}"
    )
    for fold_id, why in report.refused.items():
        print_text(console, f"cannot run fold {fold_id}: {why}", "  ")
    if report.shadow is not None:
        print_text(console, f"publishes no shadow predictions: {report.shadow}", "  ")
