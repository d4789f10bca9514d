"""What workers report to a roll-out, and what it refuses because of that."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import FoldName
from stream_rnn.rollout.worker_report import WorkerReport, Workers

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
        ({"one": report(A, B, is_json=False)}, "needs predictions in JSON, and one publishes anot"),
    ],
)  # fmt: skip
def test_a_promote_needs_every_worker(reports, message):
    """Each refusal names the worker, and what to do."""
    with pytest.raises(ConfigError, match=message):
        Workers(reports).require_loaded((A, B))


def test_a_report_goes_to_bytes_and_back():
    """With all that it says."""
    full = report(A, refused={B: "x"}, is_json=False, stage="open", candidates=(1,), events_per_s=2)
    assert WorkerReport.decode(full.encode()) == full
    assert WorkerReport.decode(None) is None
