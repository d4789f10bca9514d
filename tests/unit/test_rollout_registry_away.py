"""A worker that cannot load the fold in charge, because a schema registry does not answer."""

import pytest

from stream_rnn.errors import UnreachableError
from stream_rnn.fold.facts import Facts
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.recovery import RecoveryOptions, Start, where_to_start
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import save_bundle
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.rollout.bundles import read_bundle_bytes
from stream_rnn.rollout.in_charge import InCharge, OtherFold
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.settings import Settings
from stream_rnn.worker.rollout_folds import REFUSED_FOR_S, WorkerFolds
from tests import models
from tests.registry_server import RegistryServer

FEWER_HEADS = models.of({**models.SPEC, "heads": models.SPEC["heads"][1:]}, seed=2)


@pytest.fixture
def registry():
    """Run a registry that is away."""
    with RegistryServer() as server:
        server.status = 503
        yield server


@pytest.fixture
def now():
    """Return a clock that stands still: a list of seconds."""
    return [0.0]


@pytest.fixture
def folds(tmp_path, registry, now):
    """Return the folds of a worker with predictions in Avro; the other fold has other heads."""
    settings = Settings.build(
        app="app",
        source="events",
        predictions="out",
        predictions_format="avro",
        schema_registry_url=registry.url,
        schema_auto_register=True,
    ).of_fold(needs=())
    store, loaded, names = MemoryPlanStore(), [], []
    for model in (models.small("gru", seed=1), FEWER_HEADS):
        save_bundle(model, tmp_path / str(len(loaded)))
        one, content = read_bundle_bytes(tmp_path / str(len(loaded)))
        loaded.append(one)
        names.append(FoldName(fold_id=fold_id_of(one, settings), fingerprint=one.fingerprint))
        store.bundles[one.fingerprint] = content
    store.plan = Plan(folds=tuple(names)).encode()
    return WorkerFolds(
        settings=settings,
        model=loaded[0],
        builder=None,
        plans=store,
        cluster=None,
        wire=Wire("avro", 5),
        clock=lambda: now[0],
    )


@pytest.mark.parametrize("number", [0, 1])
async def test_the_worker_ends_so_that_it_is_restarted(folds, registry, now, number):
    """A status that calls a person would be wrong, and so would be the advice to abandon the fold."""
    plan = Plan.decode(folds.plans.plan, "")
    other = plan.folds[1].fold_id
    known = GroupOffset(7, other, 0, number)
    facts = Facts("events[0]", folds.own, 0, 10, group_offset=known)
    with pytest.raises(
        UnreachableError, match=rf"events\[0\]: the fold {other} .* HTTP status 503"
    ):
        await InCharge(folds, 0).consult(facts)
    assert folds.refused[other].endswith("the worker tries again within a minute")
    folds.plans.plan = plan.with_request("abandon", 0, folds.own, known).encode()
    abandoned = await InCharge(folds, 0).consult(facts)
    assert isinstance(where_to_start(abandoned, RecoveryOptions()), Start)
    now[0], registry.status = REFUSED_FOR_S, 200
    with pytest.raises(OtherFold, match=other):
        await InCharge(folds, 0).consult(facts)
    assert folds.unreachable(other) is None
    assert [one.wire for one in folds.models.values()] == [Wire("avro", 5), Wire("avro", 7)]


async def test_it_stops_no_bundle_after_a_roll_out(folds):
    """A roll-out that is over keeps a fold in charge only by a cut-over."""
    plan = Plan.decode(folds.plans.plan, "").model_copy(update={"stage": "over"})
    folds.plans.plan = plan.encode()
    known = GroupOffset(7, plan.folds[1].fold_id, 0)
    facts = Facts("events[0]", folds.own, 0, 10, group_offset=known)
    assert await InCharge(folds, 0).consult(facts) == facts


async def test_its_error_is_forgotten_with_the_plan(folds):
    """Nobody asks for it any more."""
    other = Plan.decode(folds.plans.plan, "").folds[1].fold_id
    await folds.read_plan()
    assert folds.unreachable(other) is not None
    folds.plans.plan = None
    await folds.read_plan()
    assert folds.unreachable(other) is None
