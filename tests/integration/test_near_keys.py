"""Keys that a fold does not have: near spellings are named, and no erasure of nothing is done."""

import asyncio
import json
import secrets
import struct

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.store.connection import connect_redis
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, run

pytestmark = pytest.mark.timeout(120)
PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
EVENT = b'{"x":0.5,"kind":"A"}'
FRAMED = b"\0\0\1\2\3" + b"\x04" + b"42"  # Avro's text "42" with schema id 66051

STORED = {
    b'"7"': 0,
    struct.pack(">q", 7): 1,
    struct.pack(">i", 8): 0,
    b"UA-EWR": 1,
    b"9 ": 0,
    b"a\\-b": 1,
    "x1".encode("utf-16-le"): 0,
    FRAMED: 1,
    b'{"id":19}': 0,
    b"user:11": 1,
    struct.pack(">d", 2.5): 0,
}


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold of some keys, with a worker that runs."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await send(stream, [(key, EVENT, partition) for key, partition in STORED.items()])
    stream.worker = ForkedWorker("worker", stream.options(), tmp_path)
    await stream.until_published()
    yield stream
    await asyncio.to_thread(stream.worker.stop)


async def send(stream, records) -> None:
    """Send (key, value, partition)."""
    async with AIOKafkaProducer(bootstrap_servers=stream.settings.bootstrap_servers) as producer:
        for key, value, partition in records:
            await producer.send_and_wait(stream.settings.source, value, key, partition)


def options(stream) -> list[str]:
    """Return the options of the fold."""
    return [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in PLACE]


@pytest.mark.parametrize("verb", ["get", "erase"])
async def test_a_key_that_is_not_there_names_the_spellings_that_are(made, verb):
    """With the partition of each; each name can be typed, and is then found."""
    expected = {
        "7": {('"7"', 0), ("int64:7", 1)},
        "008": {("int32:8", 0)},
        "ua-ewr": {("UA-EWR", 1)},
        "9": {("9 ", 0)},
        "a-b": {("a\\-b", 1)},
        "x1": {("base64:eAAxAA==", 0)},
        "42": {("base64:AAABAgMENDI=", 1)},
        "20": set(),
        "19": {('{"id":19}', 0)},
        "11": {("user:11", 1)},
        "2.5": {("base64:QAQAAAAAAAA=", 0)},
        "hex:37": {('"7"', 0), ("int64:7", 1)},
    }
    for key, names in expected.items():
        said = await run("state", verb, key, "--json", *options(made), status=1)
        (answer,) = [json.loads(line) for line in said.splitlines()]
        assert answer["found"] == 0
        spelled = {(o["key"], n) for o in answer["similar"] if o["how"] for n in o["partitions"]}
        assert spelled == names
        for name, _ in names if verb == "get" else ():
            found = await run("state", "get", name, "--json", *options(made))
            assert json.loads(found)["steps"] == 1
    said = await run(
        "state", verb, "42", *(["--yes"] * (verb == "erase")), *options(made), status=1
    )
    assert "framed by a schema registry, schema id 66051" in said
    said = await run(
        "state", verb, "zzz", *(["--yes"] * (verb == "erase")), *options(made), status=1
    )
    assert "no similar key has one; a key is text, or base64:" in said


async def test_a_redis_that_refuses_hscan_costs_only_the_sample(made, redis_url):
    """The spellings that need no stored key are found, and a note says what is missing."""
    admin, name = connect_redis(redis_url, 5), f"u-{secrets.token_hex(4)}"
    place = options(made)
    url = redis_url.replace("redis://", f"redis://{name}:password@")
    place[-1] = f"--redis-url={url}"
    words = ("ACL", "SETUSER", name, "on", ">password", "~*", "+@all")
    try:
        await admin.execute_command(*words, "-hscan")
        answer = json.loads(await run("state", "get", "7", "--json", *place, status=1))
        assert {near["key"] for near in answer["similar"]} == {'"7"', "int64:7"}
        assert "were not sampled" in answer["note"]
        said = await run("state", "erase", "42", "--yes", *place, status=1)
        assert "no similar key has one" in said
    finally:
        await admin.execute_command("ACL", "DELUSER", name)
        await admin.aclose()


async def test_an_erasure_that_met_nothing_is_not_done(made):
    """Status 1 and found 0, also where a record was published and folded."""
    said = await run("state", "erase", "7", "--yes", "--partition=0", *options(made), status=1)
    assert "published to" in said
    assert "nothing was erased: this fold had no state of 7" in said
    assert "this fold has no state of the key" not in said
    assert "'int64:7' (as a Java Long, a big-endian integer of 8 bytes) in partition 1" in said
    said = await run("state", "erase", "7", "--json", "--all-partitions", *options(made), status=1)
    answer = json.loads(said)
    assert (answer["found"], answer["unfolded_events"], answer["folded"]) == (0, 0, True)
    assert set(answer["published"]) == {"0", "1"}
    said = await run(
        "state", "erase", "int64:7", "--yes", "--partition=0", *options(made), status=1
    )
    assert "nothing was erased: partition 1 of" in said
    await run("state", "get", "int64:7", *options(made))
    both = ["--partition=0", "--all-partitions"]
    said = await run("state", "erase", "7", "--yes", *both, *options(made), status=3)
    assert "set either --partition or --all-partitions, not both" in said


async def test_an_erasure_meets_events_that_were_not_folded_yet(made, tmp_path):
    """The state is not there before, nor after a worker has folded both."""
    await asyncio.to_thread(made.worker.stop)
    await send(made, [(b"late", EVENT, 1), (b"other", EVENT, 1)])
    said = await run("state", "erase", "late", "--yes", *options(made), status=1)
    assert "2 records are not folded yet" in said
    erase = ["state", "erase", "late", "--json", "--all-partitions", "--within=0", *options(made)]
    answer = json.loads(await run(*erase))
    assert (answer["found"], answer["unfolded_events"], answer["folded"]) == (0, 1, None)
    made.worker = ForkedWorker("again", made.options(), tmp_path)
    await made.until_published()
    await run("state", "get", "late", *options(made), status=1)
    await run("state", "get", "other", *options(made))


async def test_a_key_in_two_partitions_is_erased_in_both(made):
    """Its two memories are shown, with a word about the cause."""
    await send(made, [(b"UA-EWR", EVENT, 0)])
    await made.until_published()
    said = await run("state", "get", "UA-EWR", *options(made))
    assert "a separate memory in each of 2 partitions" in said
    said = await run("state", "erase", "UA-EWR", "--yes", "--partition=0", *options(made))
    assert "partition 1 of" in said
    assert "still has a state of the key" in said
    await send(made, [(b"UA-EWR", EVENT, 0)])
    await made.until_published()
    answer = json.loads(await run("state", "erase", "UA-EWR", "--json", *options(made)))
    assert (answer["found"], sorted(answer["published"])) == (2, ["0", "1"])


async def test_a_trace_names_the_spellings_in_the_log(made):
    """Which it reads anyway."""
    topic = ["--topic", made.settings.source, "--bundle", str(made.bundle)]
    topic += ["--bootstrap-servers", made.settings.bootstrap_servers]
    said = await run("trace", "42", *topic, status=3)
    assert "(framed by a schema registry, schema id 66051) in partition 1" in said
    said = await run("trace", "7", *topic, status=3)
    assert "int64:7" in said
    assert json.loads(await run("trace", "int64:7", "--json", *topic))["events"] == 1
