"""What an operator does to a running fold: doctor, states in files, and erasing."""

import asyncio
import json
import sys
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.operate.check_result import Level
from stream_rnn.operate.doctor import examine
from stream_rnn.store.connection import connect_redis
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import mixed_records, run

pytestmark = pytest.mark.timeout(120)


async def test_doctor_finds_nothing_bad_where_a_worker_runs_and_says_what_is(made, create_topic):
    """Status 0 with warnings for one broker; a topic that does not fit is named with a remedy."""
    await made.produce(mixed_records(60, seed=32))
    # The outputs are not there yet: the first worker makes them.
    said = await run("doctor", "--write", *options(made, *PLACE))
    assert f"transactions over group {made.settings.app} are allowed" in said
    made.start()
    await made.until_published()
    said = await run("doctor", "--json", "--write", "--keys=1000", *options(made, *PLACE))
    found = [json.loads(line) for line in said.splitlines()]
    names = {one["what"] for one in found}
    assert {"bundle", "numerics", "kafka", "backup", "redis", "redis rights", "redis latency", "source", "outputs",
            "durability", "kafka rights", "position", "clock", "open files"} <= names  # fmt: skip
    assert all(one["remedy"] for one in found if one["level"] != "fine")
    assert [one for one in found if one["level"] == "bad"] == []
    # The worker was not fenced by the doctor's transaction.
    await made.produce(mixed_records(20, seed=33))
    await made.until_published()

    three = f"{made.settings.app}-three"
    await create_topic(three, 3)
    listing = options(made, "app", "source", "bundle", "bootstrap_servers", "redis_url")
    said = await run("doctor", *listing, f"--predictions={three}", status=1)
    assert "the source has 2" in said
    away = [*options(made, "app", "source", "predictions", "bundle", "bootstrap_servers"), "--redis-url=redis://127.0.0.1:1/0"]  # fmt: skip
    said = await run("doctor", *away, "--keys=1", status=1)
    assert "bad" in said
    assert "--redis-url" in said


async def test_the_doctor_opens_each_server_and_the_bundle_once(made, monkeypatch):
    """A check asks by what an earlier one has opened."""
    await made.produce(mixed_records(20, seed=41))
    made.start()
    await made.until_published()
    opened = Counter()

    def counted(name, function):
        def call(*arguments, **options):
            opened[name] += 1
            return function(*arguments, **options)

        return call

    for module in [one for name, one in sys.modules.items() if name.startswith("stream_rnn.")]:
        for name in ("connect_redis", "load_bundle", "new_admin"):
            if function := vars(module).get(name):
                monkeypatch.setattr(module, name, counted(name, function))
    checks = examine(made.settings.of_fold(), lambda: 0.0, keys=100, writes=False)
    found = {finding.what: finding.level async for finding in checks}
    assert {"position", "backup", "redis memory"} <= set(found)
    assert Level.BAD not in found.values()
    assert opened == {"connect_redis": 1, "load_bundle": 1, "new_admin": 1}


async def test_states_are_saved_while_a_worker_runs_and_restored(made, tmp_path):
    """The file is a fold as of some commit: restored after a loss, the end is the oracle's."""
    await made.produce(mixed_records(300, seed=34))
    worker = made.start()
    await made.until_published()
    path = tmp_path / "fold.states"
    sending = asyncio.create_task(made.produce(mixed_records(300, seed=35)))
    for verb in (["state", "drop", "--yes"], ["state", "import", str(path), "--replace"]):
        path.touch()  # workers run: neither is done
        await run(*verb, *options(made, *PLACE), status=3)
    # What nobody folds any more may be dropped.
    await run("state", "drop", "--yes", "--top-k=2", *options(made, *PLACE))
    summary = json.loads(await run("state", "export", str(path), "--json", *options(made, *PLACE)))
    assert summary["partitions"] == 2
    assert summary["keys"] > 0
    await sending
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0

    # Not over a fold that is there, unless told.
    await run("state", "import", str(path), *options(made, *PLACE), status=3)
    redis = connect_redis(made.options()["redis_url"], 5)
    left = [key async for key in redis.scan_iter(f"{{{made.settings.app}:*") if b"port-" in key]
    assert left == []
    await run("state", "drop", "--yes", *options(made, *PLACE))
    said = json.loads(await run("state", "import", str(path), "--json", *options(made, *PLACE)))
    assert said == summary
    rows = [json.loads(line) for line in (await run("state", "show", "--json", *options(made, *PLACE))).splitlines()]  # fmt: skip
    assert {row["row"] for row in rows} == {11}
    assert sum(row["keys"] for row in rows) == summary["keys"]
    assert all(row["position"] <= row["group_offset"] for row in rows)

    again = made.start("again")
    await made.produce(mixed_records(40, seed=36))
    await made.until_published()
    assert await asyncio.to_thread(again.stop) == 0
    assert await made.compare() > 400
    await redis.aclose()


async def test_a_damaged_file_restores_nothing(made, tmp_path):
    """Any byte that is not as it was is noticed before Redis is touched."""
    await made.produce(mixed_records(100, seed=37))
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    path = tmp_path / "fold.states"
    await run("state", "export", str(path), *options(made, *PLACE))
    await run("state", "drop", "--yes", *options(made, *PLACE))
    data = path.read_bytes()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    for damaged in (data[:-100], bytes(changed), b"x" + data, data + b"x", b""):
        path.write_bytes(damaged)
        await run("state", "import", str(path), *options(made, *PLACE), status=3)
    shown = await run("state", "show", "--json", *options(made, *PLACE))
    rows = [json.loads(line) for line in shown.splitlines()]
    assert [(row["position"], row["keys"]) for row in rows] == [(None, 0)] * 2
    path.write_bytes(data)
    await run("state", "import", str(path), *options(made, *PLACE))


async def test_a_key_is_looked_up_and_erased_where_it_is(made):
    """Not where a hash of the key would put it: the producer of this test takes the other one."""
    producer = AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers)
    await producer.start()
    for partition in (0, 1):
        key = b"only-%d" % partition
        for _ in range(3):
            await producer.send_and_wait(
                made.settings.source, b'{"x":0.5,"kind":"A"}', key, partition
            )
    await producer.stop()
    worker = made.start()
    await made.until_published()
    for partition in (0, 1):
        key = f"only-{partition}"
        found = json.loads(await run("state", "get", key, "--json", *options(made, *PLACE)))
        assert (found["partition"], found["steps"]) == (partition, 3)
        assert "steps 3" in await run("state", "get", key, *options(made, *PLACE))
        said = await run("state", "erase", key, "--yes", *options(made, *PLACE))
        assert f"[{partition}]" in said
        assert "this fold has no state of the key" in said
        await run("state", "get", key, *options(made, *PLACE), status=1)
        await run("state", "erase", key, "--yes", *options(made, *PLACE), status=1)
        again = json.loads(
            await run("state", "erase", key, "--json", *options(made, *PLACE), status=1)
        )
        assert (again["found"], again["published"], again["folded"]) == (0, {}, None)
    # A key that is no text is printed as it may be typed; events that wait may be of the key.
    await run("state", "get", "\udcff", "--json", *options(made, *PLACE), status=1)
    await asyncio.to_thread(worker.stop)
    await made.produce([(b"late", {"x": 1.0, "kind": "A"})])
    said = await run("state", "erase", "late", "--yes", *options(made, *PLACE), status=1)
    assert "1 records are not folded yet" in said
    size = json.loads(await run("state", "size", "--json", "--keys=10", *options(made, *PLACE)))
    assert size["bytes"] == 10 * size["bytes_a_key"] > 0
