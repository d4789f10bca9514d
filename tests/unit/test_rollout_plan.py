"""The plan of a roll-out: its numbers, its refusals, and its bytes."""

import json
from dataclasses import replace

import pytest

from stream_rnn.errors import BundleError, ConfigError
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import save_bundle
from stream_rnn.rollout.bundles import load_bundle_bytes, read_bundle_bytes
from stream_rnn.rollout.plan import FoldName, Plan
from tests import models

A, B, C = "0123456789ab", "ba9876543210", "c" * 12
PLAN = Plan(folds=(FoldName(fold_id=A, fingerprint="a" * 64), FoldName(fold_id=B, fingerprint="b" * 64)))  # fmt: skip


def test_a_request_takes_the_next_number():
    """It is above that of the group offset, and above that of the last request."""
    first = PLAN.with_request("promote", 3, B, GroupOffset(7, A, 0), 0)
    assert first.requests[3].number == 1
    assert first.pending(3, 0) == first.requests[3]
    assert first.pending(3, 1) is None
    assert first.pending(2, 0) is None
    second = first.with_request("promote", 3, A, GroupOffset(7, A, 0))
    assert (second.requests[3].number, second.requests[3].fold_id) == (2, A)
    assert second.with_request("promote", 3, B, GroupOffset(7, A, 0, 8)).requests[3].number == 9


def test_the_last_promote_stays():
    """It tells the fold in charge when Kafka has lost the group offset."""
    promoted = PLAN.with_request("promote", 0, B, GroupOffset(7, A, 0), 0)
    over = promoted.with_request("finish", 0, B, GroupOffset(9, B, 0, 1))
    assert (over.requests[0].kind, over.requests[0].number) == ("finish", 2)
    assert over.promotes == promoted.promotes


def test_what_a_plan_refuses():
    """Each refusal says what to do."""
    known = GroupOffset(7, A, 0)
    with pytest.raises(ConfigError, match=f"not one of the roll-out's, {A} and {B}"):
        PLAN.with_request("promote", 0, C, known)
    with pytest.raises(ConfigError, match=f"fold {A} is in charge and not {B}"):
        PLAN.with_request("finish", 0, B, known)
    pending = PLAN.with_request("promote", 0, B, known)
    with pytest.raises(ConfigError, match=f"request to promote fold {B} is pending; wait for it"):
        pending.with_request("finish", 0, A, known)
    for stage in ("dropping", "over"):
        ended = PLAN.model_copy(update={"stage": stage})
        with pytest.raises(ConfigError, match=f"the roll-out is {stage}"):
            ended.with_request("promote", 0, B, known)
        assert ended.with_request("abandon", 0, C, GroupOffset(7, A, 0, 1)).requests[0].number == 2


def test_states_are_dropped_after_every_partition_is_finished():
    """A request that is pending, or of another kind, could still put the other fold in charge."""
    known = {0: GroupOffset(7, A, 0), 1: GroupOffset(8, A, 0)}
    plan = PLAN.with_request("finish", 0, A, known[0])
    for unfinished in (PLAN, plan, plan.with_request("finish", 1, A, known[1])):
        with pytest.raises(ConfigError, match=r"partition [01]: its last request is not a finish"):
            unfinished.with_dropping(known)
    done = {number: replace(offset, number=1) for number, offset in known.items()}
    finished = plan.with_request("finish", 1, A, known[1])
    with pytest.raises(ConfigError, match="partition 1: its last request is not a finish"):
        finished.with_request("promote", 1, B, done[1], 0).with_dropping(done)
    dropping = finished.with_dropping(done)
    assert (dropping.stage, dropping.with_end().stage) == ("dropping", "over")


def test_the_next_roll_out_goes_on_with_the_numbers():
    """Its first request is above every earlier one, and a lost group offset still has its fold."""
    promoted = PLAN.with_request("promote", 0, B, GroupOffset(7, A, 0), 0)
    folds = (PLAN.folds[1], FoldName(fold_id=C, fingerprint="c" * 64))
    with pytest.raises(ConfigError, match=f"folds {A} and {B} is open; finish it"):
        promoted.followed_by(folds, 5, "somebody")
    finished = promoted.with_request("finish", 0, B, GroupOffset(9, B, 0, 1))
    over = finished.with_dropping({0: GroupOffset(9, B, 0, 2)}).with_end()
    plan = over.followed_by(folds, 5, "somebody")
    assert (plan.stage, plan.folds, plan.since_ms) == ("open", folds, 5)
    assert (plan.requests, plan.promotes) == (over.requests, over.promotes)
    assert plan.with_request("promote", 0, C, GroupOffset(9, B, 0), 0).requests[0].number == 3


def test_a_plan_goes_to_bytes_and_back():
    """With its requests."""
    plan = PLAN.with_request("promote", 3, B, GroupOffset(7, A, 0), 0)
    assert Plan.decode(plan.encode(), "here") == plan


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"more": 1},
        {"folds": [{"fold_id": A, "fingerprint": "a" * 64}] * 2},
        {"folds": [{"fold_id": A, "fingerprint": "a" * 64}]},
        {"stage": "closed"},
        {"requests": {"0": {"kind": "promote", "fold_id": "../../x", "number": 1}}},
        {"requests": {"0": {"kind": "promote", "fold_id": B, "number": 10**18}}},
        {"requests": {"0": {"kind": "promote", "fold_id": B, "number": 0}}},
        {"started_by": "x" * 201},
    ],
)
def test_another_content_is_no_plan(change):
    """The message names the place, and what to do."""
    content = json.dumps({**json.loads(PLAN.encode()), **change}).encode()
    with pytest.raises(ConfigError, match=r"here contains no plan .*; if a newer version"):
        Plan.decode(content, "here")
    with pytest.raises(ConfigError, match="here contains no plan"):
        Plan.decode(content[:-1], "here")


def test_a_bundle_goes_through_bytes(tmp_path):
    """The fingerprint covers what is loaded; other bytes are refused."""
    saved = save_bundle(models.small(), tmp_path / "one")
    model, bundle = read_bundle_bytes(tmp_path / "one")
    assert model.fingerprint == saved.fingerprint
    assert load_bundle_bytes(bundle, saved.fingerprint).fingerprint == saved.fingerprint
    save_bundle(models.small(seed=8), tmp_path / "two")
    _, other = read_bundle_bytes(tmp_path / "two")
    with pytest.raises(BundleError, match="another program has changed it"):
        load_bundle_bytes(other, saved.fingerprint)
    for torn in (
        bundle._replace(tensors=other.tensors),
        bundle._replace(tensors=bundle.tensors[:-1]),
        bundle._replace(content=b"{}"),
    ):
        with pytest.raises(BundleError):
            load_bundle_bytes(torn, saved.fingerprint)
