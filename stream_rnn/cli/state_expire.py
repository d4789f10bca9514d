"""``stream-rnn state expire``: let the states of silent partitions expire."""

import time

from stream_rnn.cli.shared.confirmation import confirm
from stream_rnn.cli.shared.folds import with_fold
from stream_rnn.errors import UnavailableError
from stream_rnn.operate.absent_fold import find_absence
from stream_rnn.operate.expiry import ExpiryPlan, expire, needed_s, plan_expiry
from stream_rnn.operate.open_fold import Fold
from stream_rnn.settings import FoldSettings
from stream_rnn.text import format_time


def expire_silent(
    settings: FoldSettings,
    partition: int | None,
    silent_s: float | None,
    within_s: float | None,
    force: bool,
    yes: bool,
) -> int:
    """Publish a tick to each silent partition that has states; return the exit status.

    Raises:
        UnavailableError: Workers are changing to this fold, and have not begun all partitions.
    """
    now_ms = 1000 * time.time()  # noqa: TID251  # the tick gets the time of this machine

    async def print_plans(fold: Fold) -> list[ExpiryPlan]:
        plans = await plan_expiry(fold, partition, silent_s, now_ms)
        if absence := await find_absence(fold):
            if absence.is_passing:
                raise UnavailableError(f"no tick: {absence.text}")
            print(f"no tick: {absence.text}")
            return []
        for plan in plans:
            print(f"{settings.source}[{plan.partition}]: {_describe(plan, int(now_ms), force)}")
        return plans

    plans = with_fold(settings, print_plans)
    if not plans:
        return 1
    silent = [plan for plan in plans if not plan.reason and (force or not plan.refusal)]
    status = 1 if any(plan.refusal for plan in plans) and not force else 0
    if not silent:
        return status
    if not yes:
        confirm(
            "publish the ticks? Events that come later with an earlier time then find no memory"
        )

    return (
        _publish(settings, silent, needed_s(settings, silent) if within_s is None else within_s)
        or status
    )


def _publish(settings: FoldSettings, silent: list[ExpiryPlan], limit_s: float) -> int:
    """Publish the ticks, and wait until workers have deleted what they expire."""

    async def publish(fold: Fold) -> tuple[bool, int]:
        return await expire(fold, silent, limit_s)

    is_folded, left = with_fold(settings, publish)
    if not is_folded:
        print(
            f"not folded within {limit_s:g} s: workers expire the states when they fold the ticks"
        )
        return 1
    count, stays = sum(plan.keys for plan in silent), sum(plan.stays for plan in silent)
    more = f"; {stays:,} states stay, because their last events are too late" * (stays > 0)
    if left:
        print(
            f"folded, and not finished: of {count - stays:,} expired states {left:,} are left after "
            f"{limit_s:g} s{more}; workers go on deleting, idle_check_s after a tick"
        )
        return 1
    print(f"folded; {left:,} expired states are left{more}")
    return 0


def _describe(plan: ExpiryPlan, now_ms: int, force: bool) -> str:
    if plan.reason:
        return f"no tick, because {plan.reason}"
    if plan.refusal and not force:
        return f"refused, because {plan.refusal}"
    before = "none" if plan.stream_time_ms is None else format_time(plan.stream_time_ms)
    stays = f", of which {plan.stays:,} have later events and stay" * (plan.stays > 0)
    last = "" if plan.last_record_ms is None else format_time(plan.last_record_ms)
    return (
        f"{plan.keys:,} states{stays}; a tick moves stream time from {before} to "
        f"{format_time(now_ms)}; its last record is of {last or 'an unknown time'}"
    )
