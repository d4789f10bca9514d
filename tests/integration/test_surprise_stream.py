"""A fold whose heads have a surprise, on real servers: workers, tail, audit, in two formats."""

import asyncio
import json

import pytest

from stream_rnn.model.bundle import save_bundle
from tests import models
from tests.integration.started_workers import fold_all
from tests.integration.streams import Stream, mixed_records
from tests.integration.test_reader import tail as start_tail

pytestmark = pytest.mark.timeout(180)

FORMATS = [{}, {"predictions_format": "protobuf", "predictions_schema_id": 7}]


def records_of(count, seed):
    """Return mixed records, with the fields that lags and surprises read."""
    more = [{"extra": n % 7, "size": n % 5, "ok": n % 3 > 0} for n in range(count)]
    return [
        (key, {**value, **more[n]} if isinstance(value, dict) else value)
        for n, (key, value) in enumerate(mixed_records(count, seed=seed))
    ]


async def printed_by_tail(*arguments):
    """Return what ``tail`` prints."""
    process = await start_tail(*arguments)
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    assert process.returncode == 0, said
    return out.decode()


@pytest.mark.parametrize("wire", FORMATS, ids=["json", "protobuf"])
async def test_the_surprise_of_a_worker_is_the_oracles(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, wire
):
    """The next worker goes on with stored y; an audit finds every byte, and tail shows it."""
    save_bundle(models.surprised(), tmp_path / "bundle")
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **wire)
    await create_topic(stream.settings.source, 2)
    await fold_all(stream, records_of(200, 3), "first")
    assert await fold_all(stream, records_of(100, 4), "second") > 200
    audited = await stream.audit()
    assert (audited["missing"], audited["different"]) == (0, 0)

    options = [f"--bundle={stream.bundle}", "--from-beginning", "--max=40"]
    tail = bootstrap_servers, stream.settings.predictions, *options
    lines = (await printed_by_tail(*tail, "--json")).splitlines()
    surprises = [json.loads(line)["surprise"] for line in lines]
    names = {head.name for head in stream.model.spec.heads if head.surprise}
    assert all(one.keys() == names for one in surprises)
    assert {one["wait"] is None for one in surprises} == {True, False}
    table = await printed_by_tail(*tail)
    assert " surprise -" in table
    assert " surprise 0." in table
