"""The dashboard of a roll-out: both folds of each partition, requests, cut-overs and reports."""

import re
import time

import aiohttp
import pytest

from stream_rnn.operate.dashboard import open_dashboard
from stream_rnn.operate.dashboard_rollout import find_cut_over
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(240)


async def now(address, partition=0):
    """Return what the page shows, and of its roll-out one partition."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}now") as answer:
        shown = await answer.json()
    rollout = shown["rollout"]
    rows = rollout["partitions"] if rollout is not None else []
    return shown, rollout, rows[partition] if rows else None


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_it_shows_both_folds_while_a_roll_out_is_open(delivery, person_of):
    """Nothing without a plan, then the folds, the request, the cut-over's offset and the reports."""
    person = await person_of(delivery=delivery)
    stream, (old, new) = person.stream, person.ids
    worker = await person.begin(health_address="127.0.0.1:0")
    health = re.search(r"health address=(\S+)", worker.log.read_text())[1]
    wall = time.time  # noqa: TID251  # how late predictions are
    async with open_dashboard(person.settings, [health], 0, wall) as page:
        shown, rollout, _ = await now(page.address)
        assert (rollout, {row["in_charge"] for row in shown["partitions"]}) == (None, {old})

        await person.verb("start", "--wait", bundle=person.new_bundle)
        _, rollout, row = await now(page.address)
        assert (rollout["stage"], rollout["old"], rollout["new"]) == ("open", old, new)
        assert (row["in_charge"], row["number"], row["cut_over"]) == ("old", 0, None)
        assert (row["candidate"], row["lag"], row["pending"]) == ("new", 0, None)
        (reported,) = [one["report"] for one in rollout["workers"]]
        assert sorted(reported["loaded"]) == ["new", "old"]
        assert (reported["own"], reported["refused"]) == ("old", {})

        await person.verb("promote", "--wait")
        before = [await person.known(partition) for partition in (0, 1)]
        _, _, row = await now(page.address)
        assert (row["in_charge"], row["number"], row["cut_over"]) == ("new", 1, None)
        await person.publish(2, worker)
        for partition in (0, 1):
            shown, _, row = await now(page.address, partition)
            first = await first_with_number(stream, partition, 1)
            assert (row["candidate"], row["cut_over"]) == ("old", first)
            assert first >= before[partition].offset
        assert {row["in_charge"] for row in shown["partitions"]} == {new}

        worker.kill()
        await person.verb("promote", "--fold=old")
        _, _, row = await now(page.address)
        pending = {"kind": "promote", "fold": "old", "number": 2, "holds": True}
        assert (row["in_charge"], row["pending"]) == ("new", pending)
        again = stream.start("two")
        await stream.produce(mixed_records(50, seed=3))
        await stream.until_published(worker=again)
        await person.verb("promote", "--wait")
        await person.verb("finish")
        assert (await now(page.address))[1] is None


async def first_with_number(stream, partition, number):
    """Return the source offset of the first prediction with a number, of all in the topic."""
    outputs = await stream.outputs(stream.settings.predictions, partition)
    headers = [dict(one.headers) for one in outputs]
    found = [h for h in headers if int(h.get("sr-cut-over", b"0")) >= number]
    return int(found[0]["sr-offset"])


async def test_the_search_finds_each_cut_over_among_outputs_of_others(person_of):
    """Records of other apps, and numbers that were never published, are passed over."""
    person = await person_of(delivery="at_least_once")
    stream = person.stream
    worker = stream.start("one")
    await stream.until_published(worker=worker)
    outputs = await stream.outputs(stream.settings.predictions, 0)
    assert outputs
    settings, cluster = person.settings, person.cluster
    for number, expected in ((0, int(dict(outputs[0].headers)["sr-offset"])), (1, None)):
        assert await find_cut_over(cluster, settings, 0, number) == expected
    other = settings.model_copy(update={"app": "another-app"})
    assert await find_cut_over(cluster, other, 0, 0) is None
    assert await find_cut_over(cluster, settings, 7, 1) is None


async def test_a_damaged_plan_is_named_and_hides_nothing_else(person_of):
    """The page goes on, and says what is wrong."""
    person = await person_of()
    await person.redis.hset(person.plans.key, "plan", b"{}")
    wall = time.time  # noqa: TID251  # how late predictions are
    async with open_dashboard(person.settings, ["http://127.0.0.1:1"], 0, wall) as page:
        shown, rollout, _ = await now(page.address)
    assert "contains no plan of a roll-out" in rollout["error"]
    assert [row["partition"] for row in shown["partitions"]] == [0, 1]
