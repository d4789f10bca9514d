"""The verbs of a roll-out on real servers: start, status, promote, back, finish and abandon."""

import io
import re
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from stream_rnn.audit.result import CUT_OVER_KINDS
from stream_rnn.kafka.group_members import WorkerAssignor
from stream_rnn.operate.rollout_requests import _finish_all
from stream_rnn.operate.rollout_status import open_rollout
from tests.integration.rollout_person import compare
from tests.integration.started_workers import PLACE, ends, options
from tests.integration.streams import mixed_records, run

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_roll_out_by_its_verbs(delivery, person_of):
    """Start, promote, the way back, promote and finish; no prediction is missing, doubled or wrong."""
    person = await person_of(delivery=delivery)
    stream, (old, new) = person.stream, person.ids
    worker, _ = stream.start("one"), stream.start("two")
    await stream.until_published(worker=worker)
    await person.until_reported()
    (started,) = await person.verb("start", "--wait", bundle=person.new_bundle)
    assert (started["old"], started["new"], started["warm"]) == (old, new, True)
    assert started["records"] > 0
    assert started["redis_bytes"] > started["keys"] > 0
    (status,) = await person.verb("status")
    assert [partition["fold"] for partition in status["partitions"]] == [old, old]
    reports = [worker["report"] for worker in status["workers"]]
    assert [sorted(report["loaded"]) for report in reports] == [sorted((old, new))] * 2

    for partition in (1, 0):
        (one,) = await person.verb("promote", f"--partitions={partition}", "--wait")
        assert (one["partition"], one["number"], one["done"]) == (partition, 1, True)
        mixed = "in charge of some partitions each"
        assert partition == 0 or mixed in await person.verb("finish", status=3)
    await person.publish(2, worker)
    back = await person.verb("promote", "--fold=old", "--wait")
    assert [(one["fold_id"], one["number"], one["done"]) for one in back] == [(old, 2, True)] * 2
    await person.publish(3, worker)
    await person.verb("promote", "--wait")
    await person.publish(4, worker)
    (finished,) = await person.verb("finish")
    assert finished["dropped"][old] > 0

    (status,) = await person.verb("status")
    assert status["plan"]["stage"] == "over"
    for partition in status["partitions"]:
        assert (partition["fold"], partition["number"]) == (new, 4)
        assert set(partition["folds"][old].values()) == {None, 0}
    await compare(person, is_exact=True)
    await check_audits(person)


async def test_the_run_books_program_rolls_out_and_back(person_of):
    """Its functions are those of the verbs; it runs as it stands on the page, on other topics."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    worker = await person.begin()
    page = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "propose" in c)
    names: dict = {}
    exec(compile(code[: code.index("asyncio.run(")], "deploy/README.md", "exec"), names)
    given = {name: getattr(stream.settings, name) for name in PLACE}
    settings = names["settings"].replace(**given | {"bundle": str(person.new_bundle)})
    with redirect_stdout(io.StringIO()) as out:
        await names["roll_out"](settings)
    assert f"{{'{old}': " in out.getvalue()  # the states of the old fold are dropped
    assert [(await person.known(p)).number for p in (0, 1)] == [4, 4]
    assert [(await person.known(p)).fold_id for p in (0, 1)] == [new, new]
    await person.publish(2, worker)
    await compare(person, is_exact=True, of_new=(1, 3, 4))  # 4: finish


async def check_audits(person) -> None:
    """Audit with each bundle and with both, after the cut-overs 1 to 3."""
    stream, (old, new) = person.stream, person.ids
    audits = [await person.audit(bundle) for bundle in (stream.bundle, person.new_bundle)]
    for audit, other in zip(audits, (new, old), strict=True):
        wrong = ("missing", "duplicated", "different", "unexpected", "out_of_order")
        assert [audit[kind] for kind in wrong] == [0] * len(wrong)
        assert set(audit["other_folds_by_id"]) == {other}
        assert audit["compared"] > 0
    assert audits[0]["compared"] == audits[1]["other_folds"]
    assert audits[1]["compared"] == audits[0]["other_folds"]
    both = await person.audit(stream.bundle, person.new_bundle)
    assert both["compared"] == audits[0]["compared"] + audits[1]["compared"]
    assert both["not_comparable"] == both["other_folds"] == 0
    assert [both[kind] for kind in (*wrong, *CUT_OVER_KINDS)] == [0] * 10
    for partition in (0, 1):
        cuts = [one for one in both["cut_overs"] if one["partition"] == partition]
        assert [(one["number"], one["before"], one["fold"]) for one in cuts][:3] == [
            *((1, old, new), (2, new, old), (3, old, new)),
        ]
        offsets = [one["offset"] for one in cuts]
        assert offsets == sorted(offsets)


async def test_a_step_that_does_harm_is_refused(person_of):
    """Each refusal says what to do, and changes nothing."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    refused = partial(person.verb, status=3)
    assert "no worker of app" in await refused("start", bundle=person.new_bundle)
    await person.begin()
    for verb in ("promote", "finish"):
        assert "Redis has no plan of a roll-out" in await refused(verb)
    assert "there is nothing to abandon" in await refused("abandon")
    assert "there is nothing to roll out" in await refused("start")
    assert (await person.verb("status", status=1))[0]["plan"] is None

    await person.verb("start", "--wait", bundle=person.new_bundle)
    said = await refused("start", bundle=person.new_bundle)
    assert f"a roll-out of the folds {old} and {new} is open: finish it" in said
    table = await person.text("status")
    for words in ("open", f"old {old}  new {new}", "own old, loaded "):
        assert words in table
    done = await person.text("promote", "--fold=old", "--wait", "--partitions=1")
    assert f"[1]: promote of fold {old}, number 1: done" in done
    assert "the source has no partition 2" in await refused("promote", "--partitions=0,2")
    assert "the roll-out has no fold newer" in await refused("promote", "--fold=newer")
    async with AIOKafkaConsumer(
        stream.settings.source,
        group_id=stream.settings.app,
        bootstrap_servers=stream.settings.bootstrap_servers,
        partition_assignment_strategy=(WorkerAssignor,),  # as a worker of an earlier version
        client_id="earlier",
    ):
        said = await refused("promote")
    assert re.search(r"1 of 2 members .* client earlier .*: replace it first", said)


async def test_a_finish_that_was_interrupted_goes_on(person_of):
    """Nothing can be promoted or started meanwhile."""
    person = await person_of(delivery="at_least_once")
    old, new = person.ids
    worker = await person.promote_new()
    async with open_rollout(person.settings) as rollout:
        status = await rollout.status()
        plan = await _finish_all(rollout, status, status.require_plan(), 60)
    assert plan.stage == "dropping"
    assert "the roll-out is dropping" in await person.verb("promote", "--fold=old", status=3)
    said = await person.verb("start", bundle=person.new_bundle, status=3)
    assert "repeat stream-rnn rollout finish" in said
    assert (await person.stored(0, 0)).fields > 0
    (finished,) = await person.verb("finish")
    assert finished["dropped"].keys() == {old}
    assert [(await person.stored(0, partition)).position for partition in (0, 1)] == [None, None]
    await person.publish(2, worker)
    await compare(person, is_exact=False, of_new=(1, 2))
    assert (await person.known(0)).fold_id == new


async def test_a_bundle_that_is_lost_before_the_first_cut_over_is_not_replaced_silently(person_of):
    """A worker that begins with the new bundle stops, until a person lets it take over."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    worker = await person.begin()
    await person.verb("start", "--wait", bundle=person.new_bundle)
    worker.kill()
    assert await person.redis.delete(*await person.redis.keys(f"*{stream.settings.app}*:bundle:*"))
    await stream.produce(mixed_records(50, seed=3))
    lost = stream.start("two", bundle=str(person.new_bundle))
    assert await ends(lost) == 3
    said = f"an open roll-out goes on with the fold {old}, whose bundle this worker cannot load"
    assert said in lost.log.read_text()
    place = [word for word in options(stream, *PLACE) if not word.startswith("--bundle=")]
    show = "state", "show", *place, f"--bundle={person.new_bundle}"
    assert said in await run(*show, status=1)
    requested = await person.verb("abandon", bundle=person.new_bundle)
    assert [(one["fold_id"], one["number"]) for one in requested] == [(new, 1)] * 2
    assert "partition 0: a worker would start at" in await run(*show)
    await stream.until_published(worker=stream.start("three", bundle=str(person.new_bundle)))
    known = [await person.known(partition) for partition in (0, 1)]
    assert [(offset.fold_id, offset.number) for offset in known] == [(new, 1)] * 2


async def test_a_lost_bundle_is_abandoned(person_of):
    """A worker without the bundle in charge stops, and goes on with its own once that is requested."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    worker = await person.promote_new()
    await person.publish(2, worker)
    said = await person.verb("abandon", status=3)
    assert f"has the bundle of the fold {new}, which is in charge" in said
    worker.kill()
    keys = await person.redis.keys(f"*{stream.settings.app}*:bundle:*")
    assert await person.redis.delete(person.plans.key, *keys) == 3
    await stream.produce(mixed_records(50, seed=3))
    lost = stream.start("two")
    assert await ends(lost) == 3
    assert "stream-rnn rollout abandon" in lost.log.read_text()
    said = await person.text("abandon", "--yes")
    assert f"[0]: abandon of fold {old}, number 2: requested" in said
    (status,) = await person.verb("status")
    assert [one["pending"]["kind"] for one in status["partitions"]] == ["abandon"] * 2
    again = stream.start("three")
    await stream.until_published(worker=again)
    known = [await person.known(partition) for partition in (0, 1)]
    assert [(offset.fold_id, offset.number) for offset in known] == [(old, 2)] * 2
    await compare(person, is_exact=True)
