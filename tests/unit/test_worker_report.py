"""What workers report to a roll-out, and what it refuses because of that."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.operate.rollout_status import Status
from stream_rnn.operate.rollout_waits import _why_cold
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.rollout.worker_report import WorkerReport, Workers
from stream_rnn.settings import Settings
from stream_rnn.worker.rollout_folds import WorkerFolds
from stream_rnn.worker.rollout_report import Reporter
from tests import models

A, B = "a" * 12, "b" * 12
OWN = FoldName(fold_id=A, fingerprint="a" * 64)


def report(*loaded, **more) -> WorkerReport:
    return WorkerReport(version="1", own=OWN, loaded=loaded, **more)


def test_workers_that_have_loaded_all_are_refused_nothing():
    """Two of them, with the same bundle of their own."""
    workers = Workers({"one": report(A, B), "two": report(B, A)})
    workers.require_loaded((A, B))
    assert workers.own_folds == {A: OWN}


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ({}, "no worker of the app runs"),
        ({"one": report(A, B), "two": None}, "1 of 2 members .* nothing to roll-outs: two; .* replace"),
        (dict.fromkeys("vwxyz"), "5 of 5 members .*: v; w; x; and 2 more;"),
        ({"one": report(A)}, f"one has not loaded the bundle of fold {B} yet; .*try again"),
        ({"one": report(A, refused={B: "too large"})}, f"one cannot run fold {B}: too large"),
    ],
)  # fmt: skip
def test_a_promote_needs_every_worker(reports, message):
    """Each refusal names the worker, and what to do."""
    with pytest.raises(ConfigError, match=message):
        Workers(reports).require_loaded((A, B))


def test_a_report_goes_to_bytes_and_back():
    """With all that it says."""
    full = report(A, refused={B: "x"}, stage="open", candidates=(1,), events_per_s=2)
    assert WorkerReport.decode(full.encode()) == full
    assert WorkerReport.decode(None) is None


class CountedPlans(MemoryPlanStore):
    """A store that counts the reports."""

    written = 0

    async def put_report(self, *given):
        """Store a report."""
        self.written += 1
        await super().put_report(*given)


async def test_a_worker_reports_at_once_what_changes_and_seldom_otherwise():
    """A thousand workers would write once a second for ever, because the plan stays in Redis."""
    plans, settings = CountedPlans(), Settings.build(app="app", source="log").of_fold(needs=())
    given = {"model": with_fingerprint(models.small()), "builder": None, "cluster": None}
    folds = WorkerFolds(settings=settings, plans=plans, **given)
    report = Reporter(folds, [], lambda: "one")
    plan = Plan(folds=(OWN, FoldName(fold_id=B, fingerprint="b" * 64)))
    counts = []
    for stage in (None, "open", "dropping", "over"):
        folds.plan = stage and plan.model_copy(update={"stage": stage})
        before = plans.written
        for _ in range(3):
            await report()
        counts.append(plans.written - before)
    assert counts == [1, 3, 3, 1]


def test_a_worker_with_other_settings_is_named_with_what_differs():
    """Its fold of the bundle would have another id, so the roll-out could never become warm."""
    own = {"state_ttl": "3600.0", "top_k": "5", "event_year_max": "2100"}
    workers = Workers({"one": report(A), "two": report(A, settings=own)})
    workers.require_settings(own)
    with pytest.raises(ConfigError) as refused:
        workers.require_settings({"state_ttl": "None", "top_k": "5", "framed": "1"})
    said = "two has event_year_max 2100 instead of None, framed None instead of 1, state_ttl 3600.0 instead of None, so it cannot run"
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("reports", "lag", "why"),
    [
        ({"one": report(A, B), "two": report(A, refused={B: "no module acme"})}, 7, f"two cannot run fold {B}: no module acme"),
        ({}, 7, "no worker runs"),
        ({"one": report(A, B)}, None, "has not begun partition 3; the log of its owner says why"),
        ({"one": report(A, B), "two": None}, 7, "7 offsets behind in partition 3, and goes on"),
    ],
)  # fmt: skip
def test_a_wait_that_ends_says_why_the_candidate_is_not_warm(reports, lag, why):
    """A worker that cannot run it will not get it warm, however long a person waits."""
    assert why in _why_cold(Status(None, Workers(reports), []), B, {3: lag})
