"""The audit of real topics: it finds what was planted, and nothing where nothing is wrong."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def worked(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a factory of a fold that a real worker has folded."""
    workers = []

    async def make(cell="gru", count=500, stop=True, wait=True, **settings) -> Stream:
        made = Stream(app_id, bootstrap_servers, redis_url, tmp_path, cell, **settings)
        await create_topic(made.settings.source, 2)
        await made.produce(mixed_records(count, seed=5))
        workers.append(ForkedWorker("worker", made.options(), tmp_path))
        if wait:
            await made.until_published()
        if wait and stop:
            await asyncio.to_thread(workers[-1].stop)
        return made

    yield make
    for worker in workers:
        await asyncio.to_thread(worker.stop)


async def counted(made):
    """Return how many predictions and dead letters were published."""
    topics = (made.settings.predictions, made.settings.dead_letters_topic)
    return [sum([len(await made.outputs(t, p)) for p in (0, 1)]) for t in topics]


async def test_what_is_planted_is_found(worked, create_topic):
    """A duplicate, a hole, a changed byte, a prediction of nothing, a dead letter taken away."""
    made = await worked(delivery="at_least_once")
    planted, dead = f"{made.settings.app}-planted", f"{made.settings.app}-planted-dead"
    for name in (planted, dead):
        await create_topic(name, 2)
    records = await made.outputs(made.settings.predictions, 0)
    letters = await made.outputs(made.settings.dead_letters_topic, 0)
    offsets = [int(dict(r.headers)["sr-offset"]) for r in records]
    changed = records[20].value.replace(b'"steps":', b'"steps": ')
    skipped = int(dict(letters[3].headers)["sr-offset"])
    false = [(n, b"%d" % skipped if n == "sr-offset" else v) for n, v in records[5].headers]
    copies = [(r.value, r.headers) for i, r in enumerate(records) if i != 10]
    copies[19] = (changed, records[20].headers)
    copies += [(records[30].value, records[30].headers), (records[5].value, false)]
    producer = AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers)
    await producer.start()
    try:
        for value, headers in copies:
            await producer.send_and_wait(planted, value, partition=0, headers=list(headers))
        for number, letter in enumerate(letters):
            if number != 2:
                await producer.send_and_wait(
                    dead, letter.value, partition=0, headers=list(letter.headers)
                )
    finally:
        await producer.stop()
    where = {"predictions": planted, "dead_letters": dead, "delivery": "exactly_once"}
    found = await made.audit("--partition=0", status=1, **where)
    kinds = ("missing", "duplicated", "different", "unexpected", "dead_letters_missing")
    assert {kind: found[kind] for kind in kinds} == dict.fromkeys(kinds, 1)
    examples = {e["kind"]: e for e in found["examples"]}
    assert examples["missing"]["offset"] == offsets[10]
    assert examples["missing"]["replayed"].encode() == records[10].value
    assert examples["different"]["offset"] == offsets[20]
    assert examples["different"]["published"].encode() == changed
    assert examples["different"]["replayed"].encode() == records[20].value
    assert examples["duplicated"]["offset"] == offsets[30]
    assert examples["unexpected"]["offset"] == skipped
    assert int(dict(letters[2].headers)["sr-offset"]) == examples["dead_letters_missing"]["offset"]


async def test_at_least_once_repeats_are_no_fault_unless_they_differ(worked):
    """Byte-identical duplicates are counted, and the exit status is 0."""
    made = await worked(delivery="at_least_once", count=200)
    records = await made.outputs(made.settings.predictions, 0)
    producer = AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers)
    await producer.start()
    try:
        for record in records[-3:]:
            await producer.send_and_wait(
                made.settings.predictions, record.value, partition=0, headers=list(record.headers)
            )
        assert (await made.audit())["duplicated"] == 3
        other = records[-1].value.replace(b'"cold":', b'"cold": ')
        await producer.send_and_wait(
            made.settings.predictions, other, partition=0, headers=list(records[-1].headers)
        )
    finally:
        await producer.stop()
    assert (await made.audit(status=1))["different"] == 1


async def test_some_keys_and_some_ranges(worked):
    """A sample is the same each time, also where keys expire; a later start leaves some out."""
    made = await worked(state_ttl=0.05)
    whole = await made.audit()
    assert whole["different"] == whole["missing"] == 0
    some = await made.audit("--sample=0.5")
    assert 0 < some["compared"] < whole["compared"]
    assert some == await made.audit("--sample=0.5")
    one = await made.audit("--key=a", "--key=base64://4=")
    assert 0 < one["compared"] < whole["compared"]
    assert sum(one[kind] for kind in ("missing", "different", "unexpected", "not_comparable")) == 0
    late = await made.audit("--from=100", "--to=150")
    assert late["compared"] + late["not_comparable"] + late["dead_letters"] <= 100
    assert late["compared"] > 0
    assert late["different"] == late["missing"] == 0
    assert all(ends == [100, 150] for ends in late["ranges"].values())


async def test_an_upgrade_leaves_nothing_missing_for_either_fold(worked):
    """Each event has one prediction, of the one fold or the other: both audits are fine."""
    made = await worked(count=200)
    before = await made.audit()
    again = ForkedWorker("again", made.options(top_k=2), made.directory)
    await made.produce(mixed_records(150, seed=77))
    await made.until_published()
    assert await asyncio.to_thread(again.stop) == 0
    old, new = await made.audit(), await made.audit(top_k=2)
    wrong = ("missing", "duplicated", "different", "unexpected", "dead_letters_missing")
    for found in (old, new):
        assert {kind: found[kind] for kind in wrong} == dict.fromkeys(wrong, 0)
    assert old["compared"] == before["compared"] == new["other_folds"] == new["not_comparable"]
    assert new["compared"] == old["other_folds"] == old["not_comparable"] > 50


async def test_another_fold_is_told_from_a_fault_of_this_one(worked):
    """With another time to live the states would differ: nothing is compared, and that is said."""
    made = await worked(count=200)
    found = await made.audit(status=1, state_ttl=5)
    predictions, _ = await counted(made)
    assert found["other_folds"] == predictions == found["not_comparable"]
    assert found["compared"] == found["missing"] == 0


async def test_a_running_worker_is_audited_up_to_the_group_offset(worked):
    """What is not published yet is not missing."""
    made = await worked(count=300, stop=False)
    sending = asyncio.create_task(made.produce(mixed_records(3000, seed=6)))
    for _ in range(3):
        found = await made.audit()
        assert found["missing"] == found["different"] == found["duplicated"] == 0
        assert found["compared"] >= 200
    await sending
    await made.until_published()
    predictions, _ = await counted(made)
    assert (await made.audit())["compared"] == predictions


async def test_a_fold_that_began_at_the_log_end_is_audited_from_there(worked, tmp_path):
    """What it never folded is not missing."""
    made = await worked(count=200, auto_offset_reset="latest", wait=False)
    for _ in range(100):
        if "row=4" in (tmp_path / "worker.log").read_text():
            break
        await asyncio.sleep(0.2)
    await made.produce(mixed_records(200, seed=9))
    await made.until_published()
    found = await made.audit()
    predictions, _ = await counted(made)
    assert found["compared"] == predictions
    assert 100 < predictions < 250
    assert found["missing"] == found["not_comparable"] == 0
