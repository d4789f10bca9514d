"""The rows of "where a partition starts" that go on, brought about on a real Kafka and Redis.

A scenario sees the right start and ends equal to the oracle.  Several run at a time: most of the
time a worker is starting.
"""

import asyncio

import pytest

from stream_rnn.model.bundle import load_bundle, save_bundle
from tests import models
from tests.integration.places import RECORDS, run_together, valid
from tests.integration.streams import mixed_records, run

pytestmark = pytest.mark.timeout(300)


async def row_3_and_6_position_deleted(place) -> None:
    """Hidden states without a position are torn; the log builds them again, silently."""
    await place.folded()
    await place.in_redis("UNLINK", place.keys(0)[0])
    shown = await place.shown()
    assert [(row["row"], row["torn"], row["position"]) for row in shown] == [
        (6, True, None),
        (11, False, shown[1]["log_end"]),
    ]
    await place.goes_on(6, 11)
    await place.compare()


async def row_3_and_6_states_deleted(place) -> None:
    """A position without its states is torn too, and so is one that has lost some of them."""
    await place.folded()
    await place.in_redis("UNLINK", place.keys(0)[1])
    (field,) = await place.in_redis("HRANDFIELD", place.keys(1)[1], 1)
    await place.in_redis("HDEL", place.keys(1)[1], field)
    shown = await place.shown()
    assert [(row["row"], row["torn"], row["start"]) for row in shown] == [(6, True, 0)] * 2
    assert all(row["publish_from"] == row["group_offset"] == row["log_end"] for row in shown)
    await place.goes_on(6)
    await place.compare()


async def row_4_latest(place) -> None:
    """A new fold may begin at the log end: what was there before has no prediction."""
    await place.produce(mixed_records(RECORDS, seed=2))
    origins = {p: (await place.shown())[p]["log_end"] for p in (0, 1)}
    assert [row["row"] for row in await place.shown(auto_offset_reset="latest")] == [4, 4]
    worker = place.start(auto_offset_reset="latest")
    await asyncio.gather(*(place.until_says(worker, rf"\[{p}\] row=4") for p in (0, 1)))
    await place.produce(mixed_records(RECORDS, seed=3))
    await place.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    records = {p: await place.source(p) for p in (0, 1)}
    await place.is_the_oracles_from(origins, records, await valid(place, records, origins))


async def row_8_another_bundle_and_9_the_group_deleted(place) -> None:
    """A new model folds the log silently; then a lost group offset is taken from P."""
    await place.folded()
    save_bundle(models.small("lstm"), place.directory / "other")
    place.settings = place.settings.replace(bundle=str(place.directory / "other"))
    old, place.model = place.fold_id, load_bundle(place.directory / "other")
    (shown, _) = await place.shown()
    assert (shown["row"], shown["fold"]) == (8, place.fold_id)
    assert shown["group_offset_fold"] == shown["last_output_fold"] == old != place.fold_id
    await place.goes_on(8)
    await place.compare_all_states()
    await place.delete_group()
    shown = await place.shown()
    assert [row["row"] for row in shown] == [9, 9]
    assert all(row["group_offset"] == row["position"] for row in shown)
    await place.produce(mixed_records(40, seed=4))
    await place.goes_on(9)
    await place.compare_all_states()


async def row_8_a_chosen_offset(place) -> None:
    """A person sets the offset at which a new fold begins to publish, and accepts it by an option."""
    await place.produce(mixed_records(RECORDS, seed=14))
    await place.set_group_offset({0: 20, 1: 25})
    options = [f"--{name.replace('_', '-')}={text}" for name, text in place.options().items()]
    show = ("state", "show", *(o for o in options if "idle-check" not in o))
    said = await run(*show, status=1)
    assert "(row 10 of the recovery table)" in said
    assert "no output of this app is among the last 1000 committed" in " ".join(said.split())
    shown = {
        row["partition"]: row["would_lose"] for row in await place.shown(on_foreign_offset="accept")
    }
    assert "no predictions of records 0 to 24 are published" in shown[1]
    await place.goes_on(8, on_foreign_offset="accept")
    records = {p: await place.source(p) for p in (0, 1)}
    every = await valid(place, records, {0: 0, 1: 0})
    published = {p: {o for o in every[p] if o >= first} for p, first in ((0, 20), (1, 25))}
    await place.is_the_oracles_from({0: 0, 1: 0}, records, published)
    await place.goes_on(11)  # the offset is the fold's own now
    shown = {row["partition"]: row["lost"] for row in await place.shown()}
    assert "no predictions of records 0 to 19 are published" in shown[0]
    await run(*show, "--lookback-timeout-s=0.000001", status=4)  # as when Kafka does not answer


async def row_11_an_older_backup(place) -> None:
    """A restored RDB is an older prefix: what came after it is folded again, silently."""
    await place.own_redis()
    await place.folded()
    await place.back_up()
    await place.produce(mixed_records(RECORDS, seed=5))
    await place.goes_on(11)
    await place.restart_redis(from_backup=True)
    shown = await place.shown()
    assert [row["row"] for row in shown] == [11, 11]
    assert all(row["position"] < row["group_offset"] == row["publish_from"] for row in shown)
    await place.goes_on(11)
    await place.compare()


async def row_11_set_back_below_the_last_prediction(place) -> None:
    """What is published is known from the outputs: an offset below that changes nothing."""
    await place.folded()
    await place.set_group_offset({0: 3, 1: 3})
    assert {row["row"] for row in await place.shown()} == {11}
    await place.produce(mixed_records(40, seed=12))
    await place.goes_on(11)
    await place.compare()


TOGETHER = [
    [
        row_3_and_6_position_deleted,
        row_3_and_6_states_deleted,
        row_4_latest,
        row_8_another_bundle_and_9_the_group_deleted,
        row_8_a_chosen_offset,
        row_11_an_older_backup,
        row_11_set_back_below_the_last_prediction,
    ]
]


@pytest.mark.parametrize("rows", TOGETHER, ids=lambda rows: rows[0].__name__)
async def test_every_row_that_goes_on(rows, app_id, bootstrap_servers, redis_url, tmp_path):
    """Each starts as the table says, and what is left is the oracle's."""
    await run_together(rows, app_id, bootstrap_servers, redis_url, tmp_path)
