"""The folds that a worker can run: it loads the bundles of a plan, refuses some, and forgets old ones."""

import asyncio
import tempfile

import pytest

from stream_rnn.errors import BundleError, UnreachableError
from stream_rnn.fold.facts import Facts
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.recovery import RecoveryOptions, Stop, where_to_start
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.network import Model
from stream_rnn.rollout.bundles import load_bundle_bytes, read_bundle_bytes
from stream_rnn.rollout.in_charge import InCharge, OtherFold
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.settings import Settings
from stream_rnn.worker.rollout_folds import (
    MODELS_MAX,
    REFUSED_FOR_S,
)
from tests import models
from tests.registry_server import RegistryServer
from tests.unit.rollout_folds_in_memory import SETTINGS, folds_of


async def test_a_bundle_that_is_refused_is_not_read_again_at_once(bundles, caplog):
    """It may have 100 MB, and the plan is read once a second; a replaced one is found later."""
    torn = bundles[1][1]._replace(tensors=b"torn")
    folds, store, now = folds_of(bundles, torn)
    for _ in range(3):
        await folds.read_plan()
    assert store.reads == 1
    assert caplog.text.count("cannot run fold") == 1
    store.bundles[bundles[1][0].fingerprint] = bundles[1][1]
    now[0] = REFUSED_FOR_S
    await folds.read_plan()
    assert folds.has(folds.plan.folds[1].fold_id)


async def test_a_bundle_that_is_missing_is_looked_for_each_time(bundles):
    """It costs nothing, and a roll-out may put it there after the plan."""
    folds, store, _ = folds_of(bundles)
    kept, store.bundles = store.bundles, {}
    await folds.read_plan()
    assert not folds.has(folds.plan.folds[1].fold_id)
    store.bundles = kept
    await folds.read_plan()
    assert folds.has(folds.plan.folds[1].fold_id)


async def test_without_a_temporary_directory_only_the_bundle_is_refused(bundles, monkeypatch, caplog):  # fmt: skip
    """The worker goes on with the fold that it has, and says what to do."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(BundleError, match=r"temporary directory.*TMPDIR"):
        load_bundle_bytes(bundles[1][1], bundles[1][0].fingerprint)
    folds, _, _ = folds_of(bundles)
    assert await folds.read_plan() is not None
    assert "TMPDIR" in caplog.text


async def test_a_bundle_whose_records_need_a_registry_is_refused_where_there_is_none(tmp_path, bundles, caplog):  # fmt: skip
    """Its candidate could read no record."""
    model = models.small("gru", seed=2)
    event = model.spec.event.model_copy(update={"value_format": "avro"})
    spec = model.spec.model_copy(update={"event": event})
    save_bundle(Model(spec, model.cell, model.network), tmp_path / "avro")
    folds, _, _ = folds_of([bundles[0], read_bundle_bytes(tmp_path / "avro")])
    await folds.read_plan()
    assert not folds.has(folds.plan.folds[1].fold_id)
    assert "schema_registry_url" in caplog.text


async def test_a_load_delays_no_request(bundles):
    """The plan counts before its bundles are loaded, which may take as long as a registry."""
    folds, store, _ = folds_of(bundles)
    began, ends, get_bundle = asyncio.Event(), asyncio.Event(), store.get_bundle

    async def get_slowly(fingerprint):
        began.set()
        await ends.wait()
        return await get_bundle(fingerprint)

    store.get_bundle = get_slowly
    reading = asyncio.create_task(folds.read_plan())
    await began.wait()
    seen = folds.plan
    ends.set()
    assert seen == await reading


async def test_models_of_earlier_plans_are_forgotten(tmp_path, bundles):
    """A worker that runs for months sees many roll-outs; its own bundle and the plan's stay."""
    folds, store, _ = folds_of(bundles)
    await folds.read_plan()
    kept = folds.plan.folds[1]  # in each plan, and loaded before all others
    for seed in range(3, 3 + 2 * MODELS_MAX):
        save_bundle(models.small("gru", seed=seed), tmp_path / str(seed))
        model, content = read_bundle_bytes(tmp_path / str(seed))
        new = FoldName(fold_id=fold_id(model.fingerprint, SETTINGS), fingerprint=model.fingerprint)
        store.bundles[model.fingerprint] = content
        store.plan = Plan(folds=(kept, new)).encode()
        await folds.read_plan()
        assert all(folds.has(fold) for fold in (folds.own, kept.fold_id, new.fold_id))
        assert len(folds.models) <= MODELS_MAX


async def test_refusals_of_earlier_plans_are_forgotten(bundles):
    """Otherwise status and metrics would complain for ever, and the report would grow without a bound."""
    folds, store, _ = folds_of(bundles, bundles[1][1]._replace(tensors=b"torn"))
    plan = await folds.read_plan()
    refused = plan.folds[1]
    assert {*folds.refused} == {refused.fold_id}
    other = FoldName(fold_id="c" * 12, fingerprint="c" * 64)
    store.plan = Plan(folds=(plan.folds[0], other)).encode()
    await folds.read_plan()
    assert {*folds.refused} == {other.fold_id}
    store.plan = plan.encode()
    store.bundles[refused.fingerprint] = bundles[1][1]
    await folds.read_plan()  # at once: a roll-out that starts again brings the bundle again
    assert folds.has(refused.fold_id)
    store.plan = None
    await folds.read_plan()
    assert not folds.refused


async def test_a_worker_waits_for_the_registry_of_the_fold_in_charge(tmp_path, bundles):
    """It ends with a status after which it is started again; one that a person must mend says why."""
    new = models.of({**models.SPEC, "heads": models.SPEC["heads"][1:]}, seed=3)
    save_bundle(new, tmp_path / "new")
    with RegistryServer() as registry:
        given = {"predictions_format": "avro", "schema_registry_url": registry.url}
        place = {"app": "app", "source": "events", "predictions": "out", "bundle": "old"}
        settings = Settings.build(**place, **given).of_fold()
        both = [bundles[0], read_bundle_bytes(tmp_path / "new")]
        folds, store, now = folds_of(both, settings=settings)
        plan = Plan.decode(store.plan, "here")
        promoted = GroupOffset(7, plan.fold_ids[1], 0, 3)
        facts = Facts("t[0]", folds.own, 0, 10, group_offset=promoted)

        async def consult():
            now[0] += REFUSED_FOR_S
            return await InCharge(folds, 0).consult(facts)

        registry.status = 503
        with pytest.raises(UnreachableError, match="HTTP status 503"):
            await consult()
        registry.status = 200
        stop = where_to_start(await consult(), RecoveryOptions())
        assert isinstance(stop, Stop)
        assert "which this worker cannot run: the schema registry" in stop.message
        assert "run: stream-rnn schema register" in stop.message
        folds.settings = settings.replace(schema_auto_register=True)
        with pytest.raises(OtherFold):
            await consult()


async def test_only_folds_that_the_plan_needs_are_complained_about(bundles, caplog):
    """After a finish, that is the one in charge: nobody can do anything about the other one."""
    folds, store, _ = folds_of(bundles, bundles[1][1]._replace(tensors=b"torn"))
    plan = Plan.decode(store.plan, "here")
    own, other = plan.fold_ids
    for stage, needed, complains in (("over", own, False), ("over", other, True), ("open", own, True)):  # fmt: skip
        finished = plan.with_request("finish", 0, needed, GroupOffset(7, needed, 0))
        store.plan = finished.model_copy(update={"stage": stage}).encode()
        folds.refused.clear()
        folds._again_s.clear()
        caplog.clear()
        await folds.read_plan()
        assert {*folds.complaints()} == ({other} if complains else set()), stage
        assert ("cannot run fold" in caplog.text) == complains
