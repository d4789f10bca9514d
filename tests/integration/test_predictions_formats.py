"""Workers that publish Avro, Protobuf and JSON Schema, and everything that reads them."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.tail import command as tail
from stream_rnn.errors import DecodeError, UnavailableError
from stream_rnn.predictions import PredictionReader
from stream_rnn.predictions.decoder import body_of
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS
from tests.integration.predicted import wait_until
from tests.integration.streams import mixed_records, run
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def registry():
    """Run a registry."""
    with RegistryServer() as server:
        yield server


async def read_all(made, count, **options):
    """Return all predictions of a fold, read without a group."""
    servers = made.settings.bootstrap_servers
    found = []
    async with (
        asyncio.timeout(40),
        PredictionReader(
            made.settings.predictions, bootstrap_servers=servers, start="earliest", **options
        ) as reader,
    ):
        while len(found) < count:
            found.append(await anext(reader))
    return sorted(found, key=lambda one: (one.source.partition, one.source.offset))


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_a_worker_publishes_a_format_that_everything_reads(stream, wire_format):
    """The oracle's predictions; reader, ``tail`` and audit; a replay has the same content."""
    made = await stream(
        predictions_format=wire_format, predictions_schema_id=0x25000A07, delivery="exactly_once"
    )
    await made.produce(mixed_records(300, seed=1))
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    count = await made.compare()
    assert count > 200
    audited = await made.audit()
    wrong = ("missing", "duplicated", "different", "unexpected", "not_comparable")
    assert {name: audited[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert (audited["compared"], audited["notes"]) == (count, [])

    predictions = await read_all(made, count, bundle=made.bundle)
    replayed = sorted(
        (json.loads(line) for line in await made.replay()),
        key=lambda one: (one["source"]["partition"], one["source"]["offset"]),
    )
    dumped = [p.model_dump(mode="json", by_alias=True, exclude_none=True) for p in predictions]
    assert dumped == replayed

    words = ["--from-beginning", "--max", str(count), "--json", "--bundle", str(made.bundle)]
    words += ["--bootstrap-servers", made.settings.bootstrap_servers]
    call = CliRunner().invoke, tail, [made.settings.predictions, *words]
    lines = (await asyncio.to_thread(*call, standalone_mode=False)).stdout.splitlines()
    assert {json.dumps(json.loads(line), sort_keys=True) for line in lines} == {
        json.dumps(one, sort_keys=True) for one in replayed
    }


async def test_a_worker_takes_the_id_from_the_registry(stream, registry):
    """It does not start without the schema; ``schema register`` mends it; readers need no bundle."""
    made = await stream(predictions_format="avro", schema_registry_url=registry.url)
    await made.produce(mixed_records(100, seed=1))
    url = {"schema_registry_url": registry.url}
    refused = made.start("refused", **url)
    await wait_until(lambda: not refused.is_alive, "the worker has ended")
    log = refused.log.read_text()
    assert refused.exit_status == 3, log
    assert "run: stream-rnn schema register --predictions" in log

    names = ("predictions", "bundle", "predictions_format")
    options = {name: str(getattr(made.settings, name)) for name in names} | url
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert "schema id 7" in await run("schema", "register", *words)
    worker = made.start(**url)
    await made.until_published(worker=worker)
    count = await made.compare(cell_states=False)
    (first, *_) = await made.outputs(made.settings.predictions, 0)
    assert first.value[:5] == b"\0\0\0\0\7"
    assert body_of(first.value) == first.value[5:]

    assert len(await read_all(made, count, schema_registry_url=registry.url)) == count
    registry.status = 503
    with pytest.raises(UnavailableError, match="HTTP status 503"):
        await read_all(made, 1, schema_registry_url=registry.url)
    with pytest.raises(DecodeError, match="give a bundle, or set schema_registry_url"):
        await read_all(made, 1)


async def test_a_reader_waits_for_the_registry_and_skips_nothing(stream, registry):
    """The error says that it does not answer; the next call yields the same prediction."""
    made = await stream(predictions_format="protobuf", schema_registry_url=registry.url)
    url = {"schema_registry_url": registry.url}
    worker = made.start(environment={"STREAM_RNN_SCHEMA_AUTO_REGISTER": "true"}, **url)
    await made.produce(mixed_records(60, seed=1))
    await made.until_published(worker=worker)
    servers = made.settings.bootstrap_servers
    registry.status = 500
    async with PredictionReader(
        made.settings.predictions, bootstrap_servers=servers, start="earliest", **url
    ) as reader:
        with pytest.raises(UnavailableError, match="HTTP status 500"):
            await anext(reader)
        registry.status = 200
        async with asyncio.timeout(20):
            first = await anext(reader)
        topic, partition = made.settings.predictions, first.source.partition
        (published, *_) = await made.outputs(topic, partition)
        assert dict(published.headers)["sr-offset"] == b"%d" % first.source.offset
        assert reader.counts.yielded == 1
