"""The connector of the page that copies predictions into PostgreSQL, in a real Kafka Connect."""

import asyncio
import json
import os
from contextlib import suppress

import javaproperties
import numpy as np
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.local.registry import API
from tests.integration.kafka_connect import KafkaConnect
from tests.integration.postgresql import DATABASE, USER, connected, running_postgresql
from tests.integration.predicted import publish
from tests.integration.streams import mixed_records
from tests.pages import blocks, marked, read

pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]
PASSWORD = "DATABASE_PASSWORD"


@pytest.fixture
def database():
    """Run a PostgreSQL, and return its port."""
    with running_postgresql() as port:
        yield port


@pytest.fixture
def page(app_id, schema_registry_url, database):
    """Return what the page has: properties of a worker, and the configuration of the connector."""
    part = marked(read("stream_rnn/predictions/README.md"), "connect")
    (properties,), (config,) = blocks(part, "properties"), blocks(part, "json")
    here = {
        "topics": f"{app_id}-out",
        "connection.url": f"jdbc:postgresql://127.0.0.1:{database}/{DATABASE}",
        "connection.username": USER,
        "value.converter.apicurio.registry.url": schema_registry_url.replace(
            API, "/apis/registry/v2"
        ),
    }
    config = json.loads(config)
    assert here.keys() <= config.keys()
    return javaproperties.loads(properties), config | here


@pytest.fixture
def connect(page, bootstrap_servers, schema_registry_url):
    """Run a Kafka Connect that notices soon that one before it has died."""
    if os.environ.get("CI"):
        pytest.skip("CI fetches no Kafka Connect")
    if not schema_registry_url.endswith(API):
        pytest.skip("the converter needs a registry of Apicurio")
    properties = page[0] | {"consumer.session.timeout.ms": "6000"}
    worker = KafkaConnect(bootstrap_servers, properties, {PASSWORD: "trusted"})
    try:
        try:
            worker.fetch()
        except ConfigError as error:
            pytest.skip(str(error))
        worker.start()
        yield worker
    finally:
        worker.stop()
        worker.remove()


async def wait_for(connect, connection, query, wanted):
    """Wait until a query has a result, while the connector runs."""
    import asyncpg

    async with asyncio.timeout(180):
        while True:
            await asyncio.to_thread(connect.check, "delays")
            with suppress(asyncpg.UndefinedTableError):  # the connector creates it
                if wanted(await connection.fetchval(query)):
                    return
            await asyncio.sleep(0.1)


def flat(value, prefix=""):
    """Return the columns of a prediction."""
    found = {}
    for name, one in value.items():
        if isinstance(one, dict):
            found |= flat(one, f"{prefix}{name}_")
        elif not isinstance(one, list):
            found[prefix + name] = np.float32(one) if isinstance(one, float) else one
    return found


async def predictions_of(made):
    """Return the columns of every prediction by its source, and the records that hold them."""
    content, rows, records = model_decoder(made.model).content, {}, []
    for partition in range(2):
        for record in await made.outputs(made.settings.predictions, partition):
            row = flat(content(record.value))
            rows[row["source_partition"], row["source_offset"]] = row
            records.append(record)
    return rows, records


async def test_the_rows_are_the_predictions(
    page, connect, database, stream, bootstrap_servers, schema_registry_url
):
    """None is missing, none is there twice after Connect was killed and after repetitions."""
    made = await stream(predictions_format="avro", schema_registry_url=schema_registry_url)
    worker = made.start(environment={"STREAM_RNN_SCHEMA_AUTO_REGISTER": "true"})
    await made.produce(mixed_records(3000, seed=1))
    await made.until_published(worker=worker)
    assert await asyncio.to_thread(worker.stop) == 0
    count = await made.compare()
    rows, records = await predictions_of(made)
    assert len(rows) == len(records) == count

    connection = await connected(database)
    total = "SELECT count(*) FROM predictions"
    await asyncio.to_thread(connect.configure, "delays", page[1])
    await wait_for(connect, connection, total, lambda found: found > 0)
    await asyncio.to_thread(connect.kill)  # before it has committed an offset
    topic, (first, *_) = made.settings.predictions, records
    aborted, last = (first.value.replace(b"-in", name) for name in (b"-no", b"-zz"))
    messages = [(first.key, value, list(first.headers)) for value in (first.value, aborted, last)]
    await publish(bootstrap_servers, topic, messages, first.partition, transactions=(1, -1, 1))
    await asyncio.to_thread(connect.start)
    await asyncio.to_thread(connect.configure, "delays", page[1])
    has_last = "SELECT count(*) FROM predictions WHERE source_topic LIKE '%-zz'"
    await wait_for(connect, connection, has_last, lambda found: found == 1)
    await wait_for(connect, connection, total, lambda found: found > count)

    found = await connection.fetch("SELECT * FROM predictions WHERE source_topic NOT LIKE '%-zz'")
    assert len(found) == count
    for row in found:
        columns = {name: value for name, value in row.items() if value is not None}
        assert columns == rows[row["source_partition"], row["source_offset"]]
    await connection.close()
