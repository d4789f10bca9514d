"""What a schema id stands for is decided once: by the first worker, for every later one and every verb."""

import asyncio
import io
import json

import fastavro
import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.doctor import command as doctor
from stream_rnn.formats import open_schemas
from stream_rnn.formats.schema_file import decode_line, encode_line, read_schemas
from stream_rnn.formats.schemas import Schema
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_schemas import RedisSchemas
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, run
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(180)
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [{"name": "x", "type": "double"}, {"name": "kind", "type": "string"}],
}
LATER = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "more", "type": "long"}]}
DROPPED = ("state", "drop", "--yes", "--force")


def avro(schema, number, x):
    """Return a framed value."""
    body = io.BytesIO()
    value = {"x": x, "kind": "A", "more": 1}
    fastavro.schemaless_writer(body, fastavro.parse_schema(dict(schema)), value)
    return b"\0" + number.to_bytes(4, "big") + body.getvalue()


def events(count, schema=SCHEMA, number=7):
    """Make records of a few keys."""
    return [(b"k%d" % (i % 5), avro(schema, number, i / 8)) for i in range(count)]


@pytest.fixture
def registry():
    """Run a registry with a schema."""
    with RegistryServer() as server:
        server.register(7, SCHEMA)
        yield server


@pytest.fixture
async def make(app_id, bootstrap_servers, redis_url, create_topic, tmp_path, registry):
    """Return a function that makes a fold of two partitions, and starts workers."""
    workers, streams = [], []

    async def made(**more):
        more = {"schema_registry_url": registry.url, **more}
        stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **more)
        await create_topic(stream.settings.source, 2)

        def start(**options):
            name = f"worker-{len(workers)}"
            workers.append(ForkedWorker(name, stream.options(**options), tmp_path))
            return workers[-1]

        stream.start = start
        streams.append(stream)
        return stream

    yield made
    for worker in workers:
        await asyncio.to_thread(worker.stop)


def options(stream, **changed):
    """Return the settings of a fold as words."""
    return [f"--{n.replace('_', '-')}={v}" for n, v in stream.options(**changed).items()]


async def test_an_unknown_id_stays_one_and_no_schema_is_lost(make, registry, tmp_path):
    """After the registry has changed and died: rebuild, audit, export, import and replay agree."""
    stream = await make(on_unknown_schema="dead_letter")
    worker = stream.start()
    await stream.produce([*events(40), *events(6, LATER, 9), *events(40)])
    await stream.until_published(worker=worker)
    assert await stream.compare() == 80
    registry.register(9, LATER)  # too late for this fold
    await stream.produce([*events(6, LATER, 9), *events(20)])
    await stream.until_published(worker=worker)
    await asyncio.to_thread(worker.stop)
    registry.stop()
    try:
        assert await stream.compare() == 100
        archive = tmp_path / "all.states"
        await run("state", "export", str(archive), *options(stream))
        kept = read_schemas(str(archive))
        assert kept["7"] == Schema("AVRO", json.dumps(SCHEMA))
        assert kept["9"].code == "unknown_schema"
        await run(*DROPPED, *options(stream))
        rebuilt = stream.start()  # silently, of the log, without a registry
        await stream.produce(events(10))
        await stream.until_published(worker=rebuilt)
        assert await stream.compare() == 110
        await asyncio.to_thread(rebuilt.stop)
        open_schemas._open.cache_clear()  # this process now knows none
        audited = json.loads(await run("audit", "--json", *options(stream)))
        assert (audited["compared"], audited["dead_letters_compared"]) == (110, 12)
        out = tmp_path / "replayed.jsonl"
        words = [f"--topic={stream.settings.source}", f"--out={out}", f"--schemas={archive}"]
        words += [f"--bundle={stream.bundle}", "--processes=1"]
        words += [f"--bootstrap-servers={stream.settings.bootstrap_servers}"]
        await run("replay", *words)
        assert len(out.read_bytes().splitlines()) == 110
    finally:
        registry.start()


async def test_an_import_restores_the_schemas_or_names_the_one_that_differs(
    make, tmp_path, redis_url
):
    """An id that stands for another schema in Redis is never replaced silently."""
    stream = await make()
    worker = stream.start()
    await stream.produce(events(20))
    await stream.until_published(worker=worker)
    await asyncio.to_thread(worker.stop)
    archive = tmp_path / "all.states"
    await run("state", "export", str(archive), *options(stream))
    redis = connect_redis(redis_url, 5)
    kept = RedisSchemas(redis, stream.settings)
    await kept.drop()
    await run("state", "import", str(archive), "--replace", "--force", *options(stream))
    line = await kept.get("7")
    assert decode_line(line, "there") == ("7", Schema("AVRO", json.dumps(SCHEMA)))
    await kept.drop()
    await kept.keep({"7": encode_line("7", Schema("AVRO", '"int"'))})
    words = ("state", "import", str(archive), "--replace", "--force")
    said = await run(*words, *options(stream), status=3)
    assert "schema id 7 stands for another schema" in said
    assert kept.key in said
    await redis.aclose()


async def test_a_worker_takes_what_another_has_stored_and_asks_once(make, registry):
    """Known ids never ask; a Redis that has lost a schema gets it back from a worker that has it."""
    stream = await make()
    first = stream.start()
    await stream.produce(events(20))
    await stream.until_published(worker=first)
    asked = list(registry.asked)
    assert set(asked) == {"GET /schemas/ids/7"}
    registry.schemas.clear()
    second = stream.start()
    await asyncio.to_thread(first.stop)
    await stream.produce(events(20))
    await stream.until_published(worker=second)
    assert registry.asked == asked
    registry.register(7, SCHEMA)  # for the oracle
    assert await stream.compare() == 40


async def test_a_registry_that_is_away_makes_a_worker_wait(make, registry):
    """At the start, and in the middle with a new id; nothing is lost and nothing is skipped."""
    stream = await make()
    registry.stop()
    worker = stream.start()
    await stream.produce(events(20))
    async with asyncio.timeout(60):
        while "the schema registry unavailable" not in worker.log.read_text():
            await asyncio.sleep(0.05)
    registry.start()
    await stream.until_published(worker=worker)
    await stream.produce([*events(10), *events(10, LATER, 9)])
    async with asyncio.timeout(60):
        while "has no schema with id 9; register it there" not in worker.log.read_text():
            await asyncio.sleep(0.05)
    registry.register(9, LATER)
    await stream.until_published(worker=worker)
    assert await stream.compare() == 40


@pytest.mark.parametrize("delay_s", [0, 3])
async def test_a_worker_stops_after_its_deadline_and_names_the_remedies(make, registry, delay_s):
    """An id that nobody registers is no reason to lose a record; a request may be under way then."""
    registry.delay_s = delay_s
    stream = await make(schema_registry_retry_s=0)
    worker = stream.start()
    await stream.produce(events(3, LATER, 9))
    async with asyncio.timeout(60):
        while worker.is_alive:
            await asyncio.sleep(0.05)
    log = worker.log.read_text()
    assert worker.exit_status == 4
    assert "--schemas" in log
    assert "--on-unknown-schema dead_letter" in log
    assert "Event loop is closed" not in log
    assert "Traceback" not in log, log


async def findings_of(stream, **changed):
    """Return what the doctor says of the registry: level and text by name."""
    words = options(stream, **changed)
    said = await asyncio.to_thread(invoke_doctor, words)
    found = [json.loads(line) for line in said.splitlines()]
    return {f["what"]: (f["level"], f["said"]) for f in found if f["what"].startswith("schema")}


async def without_hsetnx(stream):
    """Return what the doctor says to a user of Redis who may not keep schemas."""
    url, name = stream.options()["redis_url"], stream.settings.app
    redis = connect_redis(url, 5)
    try:
        rules = ("on", ">word", "~*", "&*", "+@all", "-hsetnx")
        await redis.execute_command("ACL", "SETUSER", name, *rules)
        return await findings_of(stream, redis_url=url.replace("//", f"//{name}:word@", 1))
    finally:
        await redis.execute_command("ACL", "DELUSER", name)
        await redis.aclose()


def invoke_doctor(words):
    """Return the findings, whatever the exit status is."""
    result = CliRunner().invoke(doctor, ["--json", *words], standalone_mode=False)
    assert result.exception is None, result.output
    return result.stdout


async def test_the_doctor_asks_the_registry(make, registry):
    """Whether it answers, takes the login, and knows the ids of the latest records."""
    stream = await make()
    await stream.produce([*events(4), *events(2, LATER, 9), (b"k", {"x": 1})])
    found = await findings_of(stream)
    assert found["schema registry"] == ("fine", f"{registry.url} answers")
    assert found["schemas in redis"][0] == "fine"
    level, said = found["schema ids"]
    assert level == "bad"
    assert (
        "6 of the 7 latest records are framed: ids 7 (AVRO, 4), 9 (?, 2); no schema for 9" in said
    )
    level, said = (await findings_of(stream, on_unknown_schema="dead_letter"))["schema ids"]
    assert level == "warning"
    registry.register(9, LATER)
    assert (await findings_of(stream))["schema ids"][0] == "fine"
    level, said = (await without_hsetnx(stream))["schemas in redis"]
    assert (level, "no permissions to run the 'hsetnx' command" in said) == ("bad", True)
    registry.demand("user", "password")
    level, said = (await findings_of(stream))["schema registry"]
    assert (level, "refuses the login" in said) == ("bad", True)
