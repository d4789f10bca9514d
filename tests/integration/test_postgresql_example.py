"""The example of the page that copies predictions into PostgreSQL, on a real one."""

import asyncio
from contextlib import suppress

import pytest

from stream_rnn.errors import DecodeError
from stream_rnn.predictions import PredictionReader, batches, to_polars
from tests.integration.postgresql import connected, running_postgresql
from tests.integration.predicted import publish, written
from tests.pages import blocks, marked, read

pytestmark = [pytest.mark.tools, pytest.mark.timeout(120)]


@pytest.fixture
def database():
    """Run a PostgreSQL, and return its port."""
    with running_postgresql() as port:
        yield port


async def test_predictions_that_are_yielded_again_are_in_the_table_once(
    database, app_id, bootstrap_servers, create_topic
):
    """A copier that dies before its commit repeats everything: the table stays the same."""
    (code,) = blocks(marked(read("stream_rnn/predictions/README.md"), "postgresql"), "python")
    names = {}
    exec(compile(code, "page", "exec"), names)
    topic = f"{app_id}-out"
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written("worker", range(50)))
    connection = await connected(database)

    async def count():
        with suppress(Exception):  # the table does not exist yet
            return await connection.fetchval("SELECT count(*) FROM predictions")

    async def copy_until(rows, group, commits):
        reader = PredictionReader(topic, bootstrap_servers=bootstrap_servers, group_id=group)
        own = await connected(database)
        async with reader:
            if not commits:
                reader.commit = lambda: asyncio.sleep(0)  # it dies before the commit
            task = asyncio.create_task(names["copy"](reader, own))
            async with asyncio.timeout(60):
                while await count() != rows:
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
        await own.close()

    await copy_until(50, f"{app_id}-a", commits=False)
    await publish(bootstrap_servers, topic, written("worker", range(50, 60)))
    await copy_until(60, f"{app_id}-a", commits=True)
    offsets = await connection.fetch('SELECT "offset", late, key FROM predictions ORDER BY 1')
    assert [row["offset"] for row in offsets] == [*range(60)]
    assert {(row["late"], row["key"]) for row in offsets} == {(0.5, b"key")}
    await connection.close()


async def take_batches(reader, into):
    """Append batches to a list until an error."""
    async for batch in batches(reader, count_max=3, wait_s=20):
        into.append(batch)  # they must be there after an error


async def test_batches_are_data_frames_and_lose_nothing_before_an_error(
    app_id, bootstrap_servers, create_topic
):
    """Predictions before a bad value are yielded first, and a new loop continues after it."""
    topic = f"{app_id}-out"
    await create_topic(topic, 1)
    bad = (b"key", b"no prediction", [])
    messages = [*written("worker", range(5)), bad, *written("worker", range(5, 8))]
    await publish(bootstrap_servers, topic, messages)
    found = []
    async with PredictionReader(topic, bootstrap_servers=bootstrap_servers) as reader:
        with pytest.raises(DecodeError, match="offset 5 is not a prediction"):
            await take_batches(reader, found)
        assert [len(batch) for batch in found] == [3, 2]
        async for batch in batches(reader, count_max=3, wait_s=20):
            found.append(batch)
            break
    frame = to_polars([one for batch in found for one in batch])
    assert frame["offset"].to_list() == [*range(8)]
    assert frame["late.probability"].to_list() == [0.5] * 8
    assert frame.columns[:4] == ["topic", "partition", "offset", "key"]
    assert to_polars([]).shape == (0, 0)
