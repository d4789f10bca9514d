"""What an operator does to a running fold: probes, doctor, states in files, erasing, dead letters."""

import asyncio
import json
import re
import sys
from collections import Counter

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.errors import FencedError
from stream_rnn.local.redis import LocalRedis
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.dead_letters import DeadLetterFilter
from stream_rnn.operate.doctor import examine
from stream_rnn.operate.retry_dead_letters import Retry
from stream_rnn.store.connection import connect_redis
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run
from tests.shared_servers import run_server

pytestmark = pytest.mark.timeout(120)
PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


def options(stream, *names) -> list[str]:
    """Return settings as options."""
    return [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold of two partitions, and a way to start its workers."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    workers = []

    def start(name="worker", **more):
        workers.append(ForkedWorker(name, stream.options(**more), tmp_path))
        return workers[-1]

    stream.start = start
    yield stream
    for worker in workers:
        await asyncio.to_thread(worker.stop)


async def address_of(worker) -> str:
    """Wait until a worker says where it answers."""
    async with asyncio.timeout(40):
        while not (found := re.search(r"health address=(\S+)", worker.log.read_text())):
            await asyncio.sleep(0.1)
    return found[1]


async def get(address, path) -> tuple[int, str]:
    """Ask a worker."""
    async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
        return answer.status, await answer.text()


def samples(text) -> dict[tuple[str, ...], float]:
    """Return every sample by name and label values."""
    return {
        (s.name, *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def until_ready(address) -> None:
    """Wait until a worker is ready."""
    async with asyncio.timeout(40):
        while (await get(address, "/ready"))[0] != 200:
            await asyncio.sleep(0.1)


async def test_a_worker_says_how_it_is(made):
    """Ready once it publishes; its counters are what was published; gauges are the positions."""
    await made.produce(mixed_records(300, seed=31))
    worker = made.start(facts_interval_s=0.2, health_address="127.0.0.1:0")
    address = await address_of(worker)
    assert (await get(address, "/live"))[0] == 200
    await made.until_published()
    await until_ready(address)
    count = sum([len(await made.outputs(made.settings.predictions, p)) for p in (0, 1)])
    letters = sum([len(await made.outputs(made.settings.dead_letters_topic, p)) for p in (0, 1)])
    async with asyncio.timeout(20):  # until Kafka was asked again, and everything is committed
        while True:
            found = samples((await get(address, "/metrics"))[1])
            lags = [v for n, v in found.items() if n[0] == "stream_rnn_lag_records"]
            if lags == [0, 0] and found["stream_rnn_predictions_total",] == count:
                break
            await asyncio.sleep(0.1)
    skips = sum(v for n, v in found.items() if n[0] == "stream_rnn_skips_total")
    assert (skips, letters > 0) == (letters, True)
    rows = [json.loads(line) for line in (await run("state", "show", "--json", *options(made, *PLACE))).splitlines()]  # fmt: skip
    for row in rows:
        number = str(row["partition"])
        assert found["stream_rnn_position", number] == row["position"]
        assert found["stream_rnn_log_end", number] == row["log_end"]
        assert found["stream_rnn_keys", number] == row["keys"]
    assert found["stream_rnn_redis_used_bytes",] > 0


async def test_a_worker_that_waits_for_redis_is_alive_and_not_ready(made):
    """It says so; when Redis is back, empty, it rebuilds and is ready again."""
    with run_server(LocalRedis()) as redis:
        await made.produce(mixed_records(60, seed=39))
        worker = made.start(redis_url=redis.redis_url, health_address="127.0.0.1:0")
        address = await address_of(worker)
        await made.until_published()
        await until_ready(address)
        await asyncio.to_thread(redis.stop)
        await made.produce(mixed_records(20, seed=40))
        async with asyncio.timeout(30):
            while (said := await get(address, "/ready"))[0] == 200:
                await asyncio.sleep(0.1)
        assert " waits: Redis " in said[1]
        assert (await get(address, "/live"))[0] == 200
        await asyncio.to_thread(redis.start)
        await until_ready(address)
        await made.until_published()
        await asyncio.to_thread(worker.stop)


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


async def test_dead_letters_are_listed_and_put_back_once(made):
    """After a fix they are folded as new events; a second try puts nothing back."""
    producer = AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers)
    await producer.start()
    bad = [b"not json", b'{"x":"a word","kind":"A"}']
    for value in bad:
        sent = await producer.send_and_wait(
            made.settings.source, value, b"k", 1, headers=[("trace", b"7")]
        )
    await producer.send_and_wait(made.settings.source, b'{"x":1.0,"kind":"A"}', None, 0)
    await producer.stop()
    made.start()
    await made.until_published()
    where = options(made, "predictions", "bootstrap_servers")
    lines = (await run("deadletters", "list", "--json", *where)).splitlines()
    found = [json.loads(line) for line in lines]
    assert min(one["error"] for one in found) == "no_key"
    assert len(found) == 3
    assert "no_key" in await run("deadletters", "list", *where)
    shown = await run("deadletters", "show", "1", str(sent.offset), "--json", *where)
    one = json.loads(shown)
    assert (one["value"], one["headers"]) == (bad[1].decode(), {"trace": "7"})
    await run("deadletters", "show", "1", "999", *where, status=1)

    retry = ["deadletters", "retry", "--yes", *where, *options(made, "app", "source")]
    assert "2 records put back" in await run(*retry, "--partition=1")
    await made.until_published()
    lines = (await run("deadletters", "list", "--json", "--partition=1", *where)).splitlines()
    assert [bool(json.loads(line)["retry_of"]) for line in lines] == [False, False, True, True]
    # What was put back is not put back again; what was skipped once more may be.
    assert "2 records can be put back" in await run(*retry, "--partition=1", f"--from={sent.offset + 1}")  # fmt: skip
    assert "0 records can be put back" in await run(*retry, "--partition=1", f"--to={sent.offset}")
    await run("deadletters", "list", "--partition=9", *where, status=3)


async def test_dead_letters_that_cannot_go_back_do_not_hold_up_the_others(made):
    """One was cut, one is empty, one is of another source; what goes back says where it is now."""
    await made.produce([(b"k", b"no"), (b"k", b"no" * 40)])
    made.start(dead_letter_bytes_max=50)
    await made.until_published()
    places = {
        "sr-topic": made.settings.source,
        "sr-partition": "0",
        "sr-offset": "7",
        "sr-error": "x",
    }
    places |= {"sr-reason": "x", "sr-timestamp": "0", "sr-size": "1", "sr-truncated": ""}
    async with AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers) as producer:
        for key, changed in (
            (None, {"sr-size": "-1"}),
            (b"k", {"sr-topic": "elsewhere"}),
            (b"k", {"sr-offset": str(1 << 63)}),
        ):
            headers = [(name, text.encode()) for name, text in {**places, **changed}.items()]
            await producer.send_and_wait(made.settings.dead_letters_topic, b"", key, 0, headers=headers)  # fmt: skip
    where = options(made, "app", "source", "predictions", "bootstrap_servers")
    found = json.loads(await run("deadletters", "retry", "--json", *where, status=1))
    counts = {name: found[name] for name in ("put_back", "cut", "empty", "of_another_source")}
    assert counts == {"put_back": 1, "cut": 1, "empty": 1, "of_another_source": 1}
    ((partition, (first, last)),) = found["offsets"].items()
    records = await made.source(int(partition))
    assert first == last == records[-1].offset
    assert dict(records[-1].headers)["sr-retry-of"].decode().startswith(made.settings.source)


async def test_of_two_retries_at_a_time_one_is_fenced_and_nothing_is_put_back_twice(made):
    """Both have chosen before either writes: the first one may write no more."""
    await made.produce([(b"k", b"no"), (b"k", b"not"), (b"k", b"not at all")])
    made.start()
    await made.until_published()
    async with Retry(made.settings, DeadLetterFilter()) as first:
        chosen = await first.select()
        async with Retry(made.settings, DeadLetterFilter()) as second:
            also = await second.select()
            assert chosen.count == also.count == 3
            with pytest.raises(FencedError, match="another retry"):
                await first.put_back(chosen, lambda _count: None)
            await second.put_back(also, lambda _count: None)
    async with Retry(made.settings, DeadLetterFilter(last=2)) as third:
        assert (await third.select()).count == 0
    assert sum([len(await made.source(p)) for p in (0, 1)]) == 6
