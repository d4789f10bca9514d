"""What a worker does with a plan, a bundle or a request that is damaged, or meant for another worker."""

from dataclasses import replace

import pytest

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.fold.facts import Facts, LastOutput
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.recovery import RecoveryOptions, Start, Stop, where_to_start
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import save_bundle
from stream_rnn.rollout.bundles import read_bundle_bytes
from stream_rnn.rollout.in_charge import InCharge, OtherFold
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.settings import Settings
from stream_rnn.worker.rollout_folds import WorkerFolds
from tests import models

SETTINGS = Settings.build(app="app", source="events", predictions="out").of_fold(needs=())
OTHER = "c" * 12


class RefusingStore(MemoryPlanStore):
    """A store of plans that refuses one bundle."""

    refused: tuple[str, Exception] = ("", ConfigError(""))

    async def get_bundle(self, fingerprint):
        if fingerprint == self.refused[0]:
            raise self.refused[1]
        return await super().get_bundle(fingerprint)


@pytest.fixture
def folds(tmp_path):
    """Return the folds of a worker, whose plan names its own bundle and another one."""
    names, store = [], RefusingStore()
    for seed in (1, 2):
        save_bundle(models.small("gru", seed=seed), tmp_path / str(seed))
        model, content = read_bundle_bytes(tmp_path / str(seed))
        names.append(FoldName(fold_id=fold_id(model.fingerprint, SETTINGS), fingerprint=model.fingerprint))  # fmt: skip
        store.bundles[model.fingerprint] = content
    store.plan = Plan(folds=tuple(names)).encode()
    own, _ = read_bundle_bytes(tmp_path / "1")
    return WorkerFolds(settings=SETTINGS, model=own, builder=None, plans=store, cluster=None)


def facts_of(folds, group_offset=None, last_output=None) -> Facts:
    """Return the facts of the worker's own fold."""
    return Facts("events[0]", folds.own, 0, 10, group_offset=group_offset, last_output=last_output)


@pytest.mark.parametrize("kind", ["no offset", "own", "own after a cut-over", "foreign"])
async def test_a_damaged_plan_stops_no_worker_that_needs_none(folds, kind):
    """The first start of an app, and each one whose group offset names its own fold."""
    folds.plans.plan = b"damaged"
    known = {
        "no offset": None,
        "own": GroupOffset(7, folds.own, 0),
        "own after a cut-over": GroupOffset(7, folds.own, 0, 2),
        "foreign": GroupOffset(7, None, None),
    }[kind]
    facts = facts_of(folds, known)
    assert await InCharge(folds, 0).consult(facts) == facts


@pytest.mark.parametrize("kind", ["another fold", "a promoted fold", "lost offset"])
async def test_a_damaged_plan_stops_a_worker_that_needs_it(folds, kind):
    """The message names the place and what to do: nobody else can tell which fold is in charge."""
    folds.plans.plan = b"damaged"
    facts = {
        "another fold": facts_of(folds, GroupOffset(7, OTHER, 0)),
        "a promoted fold": facts_of(folds, GroupOffset(7, OTHER, 0, 1)),
        "lost offset": facts_of(folds, None, LastOutput(6, folds.own, 0, None)),
    }[kind]
    with pytest.raises(ConfigError, match=r"no plan .* delete the key, and start the roll-out"):
        await InCharge(folds, 0).consult(facts)


async def test_a_damaged_plan_stops_no_fold_that_is_loaded(folds):
    """A worker that runs goes on with both folds, also if it is positioned again."""
    plan = await folds.read_plan()
    other, folds.plans.plan = plan.folds[1].fold_id, b"damaged"
    facts = facts_of(folds, GroupOffset(7, other, 0, 1))
    with pytest.raises(OtherFold, match=other):
        await InCharge(folds, 0).consult(facts)
    facts = replace(facts, fold_id=other)
    assert await InCharge(folds, 0).consult(facts) == facts


async def test_a_damaged_bundle_is_refused_alone(folds):
    """The plan and the other bundle count; the reason is in the report of the worker."""
    plan = Plan.decode(folds.plans.plan, "the plan")
    third = FoldName(fold_id=OTHER, fingerprint="c" * 64)
    folds.plans.plan = plan.model_copy(update={"folds": (third, plan.folds[1])}).encode()
    folds.plans.refused = third.fingerprint, ConfigError("the key is not a hash")
    found = await folds.read_plan()
    assert found is not None
    assert folds.refused[OTHER] == "the key is not a hash"
    assert folds.has(plan.folds[1].fold_id)
    folds.plans.refused = third.fingerprint, UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await folds.read_plan()


async def test_only_the_fold_that_was_named_takes_over(folds):
    """A worker with a third bundle stops, and names the fold of the request and both remedies."""
    lost = FoldName(fold_id=OTHER, fingerprint="0" * 64)
    own, other = Plan.decode(folds.plans.plan, "the plan").folds
    known, options = GroupOffset(7, OTHER, 0, 1), RecoveryOptions()
    plan = Plan(folds=(lost, other), stage="over")
    for fold in (other.fold_id, own.fold_id):
        folds.plans.plan = plan.with_request("abandon", 0, fold, known).encode()
        facts = await InCharge(folds, 0).consult(facts_of(folds, known))
        decision = where_to_start(facts, options)
        if fold == folds.own:
            assert isinstance(decision, Start)
            assert (decision.row, decision.number, decision.publish_from) == (8, 2, 7)
        else:
            assert isinstance(decision, Stop)
            assert f"the request to abandon it is for the fold {fold})" in decision.message
            assert f"start this worker with the bundle and settings of the fold {fold}" in decision.message  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "refused"])
async def test_a_bundle_that_cannot_be_loaded_lets_nobody_take_over_silently(folds, kind):
    """A worker that begins with another bundle waits for that of the fold in charge, then stops."""
    own, other = Plan.decode(folds.plans.plan, "").folds
    content = folds.plans.bundles.pop(other.fingerprint)
    if kind == "refused":
        folds.plans.bundles[other.fingerprint] = content._replace(tensors=b"torn")
    known = GroupOffset(7, other.fold_id, 0)
    facts = await InCharge(folds, 0).consult(facts_of(folds, known))
    stop = where_to_start(facts, RecoveryOptions())
    assert isinstance(stop, Stop)
    assert "stream-rnn rollout abandon" in stop.message
    plan = Plan.decode(folds.plans.plan, "")
    folds.plans.plan = plan.with_request("abandon", 0, own.fold_id, known).encode()
    facts = await InCharge(folds, 0).consult(facts_of(folds, known))
    start = where_to_start(facts, RecoveryOptions())
    assert isinstance(start, Start)
    assert (start.row, start.write_group_offset, start.number) == (8, 7, 1)
    folds.plans.plan = plan.model_copy(update={"stage": "over"}).encode()
    facts = await InCharge(folds, 0).consult(facts_of(folds, known))
    assert where_to_start(facts, RecoveryOptions()).row == 8  # a new bundle, without a roll-out
    folds.plans.plan, folds.plans.bundles[other.fingerprint] = plan.encode(), content
    folds._again_s.clear()
    with pytest.raises(OtherFold):
        await InCharge(folds, 0).consult(facts_of(folds, known))
