"""The rows of "where a partition starts" that stop, brought about on a real Kafka and Redis.

A scenario sees the right stop, follows the remedy of the message as a person would, and ends equal
to the oracle, or with exactly the loss that the message announced.
"""

import json

import pytest

from stream_rnn.operate.check_kafka import check_positions
from tests.integration.places import RECORDS, cut, later, run_together, valid
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(300)


async def row_1_partitions_added(place) -> None:
    """The records go, in order, to a new topic; a new app id folds it."""
    await place.folded()
    await place.add_partitions(place.settings.source, 3)
    assert "the source" in (await place.stops())
    await place.add_partitions(place.settings.predictions, 3)
    await place.add_partitions(place.settings.dead_letters_topic, 3)
    said = await place.stops()
    assert "]: the source has 3 partitions, and the fold began with 2: keys have moved" in said
    assert "create a new source topic with the old records in order and use a new app id" in said
    assert said in {row["stop"] for row in await place.shown()}
    old = [record for p in (0, 1) for record in await place.source(p)]
    app = f"{place.settings.app}-again"
    place.settings = place.settings.replace(app=app, source=f"{app}-in", predictions=f"{app}-out")
    await place.create()
    await place.produce([(record.key, record.value, record.timestamp) for record in old])
    await place.goes_on(4)
    await place.compare()


async def row_1_compacted(place) -> None:
    """A person sets delete again, or accepts it."""
    await place.folded()
    await place.configure(place.settings.source, **{"cleanup.policy": "compact"})
    said = await place.stops()
    assert "the source is compacted" in said
    assert "set cleanup.policy=delete on the source, or accept" in said
    await place.produce([record for record in mixed_records(60, seed=6) if record[0]])
    await place.goes_on(11, allow_compacted=True)
    await place.configure(place.settings.source, **{"cleanup.policy": "delete"})
    await place.goes_on(11)
    await place.compare()


async def row_2_recreated_shorter(place) -> None:
    """P and C are beyond E: another log; a person starts again."""
    await place.folded()
    await recreate(place, 40, "log end ")
    await place.compare()


async def row_2_recreated_longer(place) -> None:
    """The record at the anchor is another one now."""
    await place.folded()
    await recreate(place, 3 * RECORDS, "a record that was folded is gone or has changed")
    await place.compare()


async def recreate(place, count, sentence) -> None:
    """Delete and create the source again, see the stop, and follow its remedy word by word."""
    await place.delete(place.settings.source)
    await place.create()
    await place.produce(mixed_records(count, seed=7))
    said = await place.stops()
    assert "the log was truncated or recreated" in said
    assert sentence in said
    assert "`stream-rnn state drop`, delete the group's offsets (kafka-consumer-groups" in said
    assert "--delete-offsets), and use a new predictions topic" in said
    assert {row["row"] for row in await place.shown()} == {2}
    await place.drop()
    await place.delete_group()
    place.settings = place.settings.replace(predictions=f"{place.settings.app}-out-2")
    await place.goes_on(4)


async def row_3_wrong_type(place) -> None:
    """Something else writes under our key: the message names both and says what to do."""
    await place.folded()
    position, hidden = place.keys(0)
    await place.in_redis("SET", hidden, "what is this")
    said = await place.stops()
    assert f"{position} or {hidden} is not a hash" in said
    assert "inspect them with TYPE, delete the key that is no hash, and start again" in said
    assert await place.in_redis("TYPE", hidden) == b"string"
    await place.in_redis("DEL", hidden)
    await place.goes_on(6, 11)
    await place.compare()


async def row_5_records_deleted_before_they_were_folded(place) -> None:
    """DeleteRecords beyond P and C under a stopped worker; the loss is accepted."""
    await place.folded()
    await place.produce(mixed_records(RECORDS, seed=8))
    records = {p: await place.source(p) for p in (0, 1)}
    shown = await place.shown()
    origins = {p: (shown[p]["position"] + shown[p]["log_end"]) // 2 for p in (0, 1)}
    await place.delete_records(origins)
    said = await place.stops()
    p = 0 if f"{place.settings.source}[0]" in said else 1
    c = shown[p]["position"]
    assert f"records {c} to {origins[p] - 1} were removed before they were folded" in said
    # No backup brings predictions back that were never made.
    assert "their predictions cannot be published any more" in said
    assert "--on-lost-history accept, which drops the states and begins the fold at the log" in said
    assert [row["row"] for row in await place.shown()] == [5, 5]
    old = await valid(place, records, {0: 0, 1: 0}, {p: shown[p]["position"] for p in (0, 1)})
    await place.goes_on(5, on_lost_history="accept")
    assert all("were removed" in row["lost"] for row in await place.shown())
    new = await valid(place, {p: cut(records[p], origins[p]) for p in (0, 1)}, origins)
    published = {p: old[p] | new[p] for p in (0, 1)}
    await place.is_the_oracles_from(origins, records, published)


async def row_5_retention_during_a_rebuild(place) -> None:
    """The log start overtakes a worker that builds its states again."""
    await place.produce(large_records(seed=8))
    await place.goes_on(4)
    records = {p: await place.source(p) for p in (0, 1)}
    every = await valid(place, records, {0: 0, 1: 0})
    await place.drop()
    origins, said = await overtaken(place, records, "committed 2 block=5")
    assert "were removed" in said
    rows = {row["row"] for row in await place.shown()}
    assert rows <= {5, 7}
    await place.goes_on(*rows, on_lost_history="accept")
    await place.is_the_oracles_from(origins, records, every)  # nothing twice, nothing less


async def row_5_records_deleted_under_a_running_worker(place) -> None:
    """The same before anything of them was published."""
    await place.produce(large_records(seed=9))
    records = {p: await place.source(p) for p in (0, 1)}
    origins, said = await overtaken(place, records, "published 2 block=5")
    assert "were removed before they were" in said
    shown = await place.shown()
    c = {row["partition"]: row["group_offset"] for row in shown}
    assert all(c[p] < origins[p] for p in c), "else the log was not overtaken"
    before = await valid(place, records, {0: 0, 1: 0}, c)
    await place.goes_on(5, on_lost_history="accept")
    after = await valid(place, {p: cut(records[p], origins[p]) for p in (0, 1)}, origins)
    await place.is_the_oracles_from(origins, records, {p: before[p] | after[p] for p in (0, 1)})


def large_records(seed) -> list:
    """Make records of which no more than some fit into a fetch, and into what waits in a worker."""
    return [
        (key, {**value, "pad": "x" * 60_000} if isinstance(value, dict) else value)
        for key, value in mixed_records(400, seed)
    ]


async def overtaken(place, records, fault) -> tuple[dict[int, int], str]:
    """Delete nearly all records while a worker stands still; return the log starts, and its stop."""
    worker = place.start(fault, batch_events_max=5, queue_messages_max=1, pending_records_max=1)
    await place.until_says(worker, "fault injected")
    origins = {p: records[p][-1].offset - 10 for p in (0, 1)}
    await place.delete_records(origins)
    return origins, await place.stops(worker)


async def row_7_states_and_their_records_are_lost(place) -> None:
    """A backup brings the states back, exactly; there is no other way."""
    await place.own_redis()
    await place.folded()
    await place.back_up()
    await place.produce(mixed_records(RECORDS, seed=10))
    records = {p: await place.source(p) for p in (0, 1)}
    await place.goes_on(11)
    shown = await place.shown()
    await place.delete_records(dict.fromkeys((0, 1), 20))
    await place.restart_redis(from_backup=False)
    said = await place.stops()
    assert "the states were lost, and records 0 to 19, from which they were computed, were" in said
    assert (
        f"group offset {shown[0]['group_offset']}" in said or f"{shown[1]['group_offset']}" in said
    )
    assert "restore a Redis backup younger than the log's retention" in said
    assert [row["row"] for row in await place.shown()] == [7, 7]
    await place.restart_redis(from_backup=True)
    await place.goes_on(11)
    every = await valid(place, records, {0: 0, 1: 0})
    place.source = lambda partition: later(records[partition])
    await place.compare()
    assert {p: len(every[p]) for p in every} == {
        p: len(await place.outputs(place.settings.predictions, p)) for p in (0, 1)
    }


async def row_10_set_back(place) -> None:
    """Where no output is left to tell, publishing from there would repeat predictions."""
    await place.folded()
    kept = {p: await place.outputs(place.settings.predictions, p) for p in (0, 1)}
    for topic in (place.settings.predictions, place.settings.dead_letters_topic):
        await place.delete_records({0: -1, 1: -1}, topic)  # up to their ends
    await place.set_group_offset({0: 3, 1: 3})
    said = await place.stops()
    assert "the group offset 3 was not written by stream_rnn" in said
    assert "delete the group offset (kafka-consumer-groups --delete-offsets)" in said
    assert {row["row"] for row in await place.shown()} == {10}
    await place.delete_group()
    await place.produce(mixed_records(40, seed=13))
    await place.goes_on(9)
    records = {p: await place.source(p) for p in (0, 1)}
    every = await valid(place, records, {0: 0, 1: 0})
    later = {
        p: {o for o in every[p] if o > json.loads(kept[p][-1].value)["source"]["offset"]}
        for p in (0, 1)
    }
    await place.is_the_oracles_from({0: 0, 1: 0}, records, later)


async def row_10_set_forward(place) -> None:
    """Publishing from there would leave predictions out."""
    await place.folded()
    await place.produce(mixed_records(RECORDS, seed=11))
    ends = {row["partition"]: row["log_end"] for row in await place.shown()}
    await place.set_group_offset(ends)
    said = await place.stops()
    assert "was not written by stream_rnn" in said
    await offset_deleted(place, said)


async def row_10_foreign_without_states(place) -> None:
    """Another consumer has committed, and Redis is empty: nothing may be left out unasked."""
    await place.folded()
    await place.produce(mixed_records(RECORDS, seed=14))
    await place.drop()
    ends = {row["partition"]: row["log_end"] for row in await place.shown()}
    await place.set_group_offset({1: ends[1]})
    assert [row["row"] for row in await place.shown()] == [6, 10]  # each partition by itself
    await place.set_group_offset(ends)
    said = await place.stops()
    assert "was not written by stream_rnn, and Redis has no states of this fold" in said
    assert "the last output of this app among the last 1000 committed records" in said
    assert "the next worker publishes what follows the last output" in said
    assert "on purpose, use --on-foreign-offset accept" in said
    shown = await place.shown()
    assert said in {row["stop"] for row in shown}
    findings = check_positions(shown, place.settings.source)
    assert f"a worker would stop: {said}" in {finding.said for finding in findings}
    assert [row["row"] for row in await place.shown(on_foreign_offset="accept")] == [8, 8]
    await offset_deleted(place, said, row=6)


async def offset_deleted(place, said, row=9) -> None:
    """Follow the remedy of row 10."""
    assert "delete the group offset (kafka-consumer-groups --delete-offsets)" in said
    assert {row["row"] for row in await place.shown()} == {10}
    await place.delete_group()
    await place.goes_on(row)
    await place.compare()


TOGETHER = [
    [
        row_1_partitions_added,
        row_1_compacted,
        row_2_recreated_shorter,
        row_2_recreated_longer,
        row_3_wrong_type,
    ],
    [
        row_5_records_deleted_before_they_were_folded,
        row_5_retention_during_a_rebuild,
        row_5_records_deleted_under_a_running_worker,
        row_7_states_and_their_records_are_lost,
        row_10_set_back,
        row_10_set_forward,
        row_10_foreign_without_states,
    ],
]


@pytest.mark.parametrize("rows", TOGETHER, ids=lambda rows: rows[0].__name__)
async def test_every_row_that_stops(rows, app_id, bootstrap_servers, redis_url, tmp_path):
    """Each stops as the table says, and its remedy leads back."""
    await run_together(rows, app_id, bootstrap_servers, redis_url, tmp_path)
