"""A fold of a spec with lags on real servers: worker, state verbs, export and import, audit."""

import asyncio
import json

import pytest

from stream_rnn.model.bundle import save_bundle
from tests import models
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(180)

PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


def records_of(count, seed):
    """Return mixed records, with the fields that only lags read."""
    return [
        (key, {**value, "ok": n % 3 > 0, "size": n % 5} if isinstance(value, dict) else value)
        for n, (key, value) in enumerate(mixed_records(count, seed=seed))
    ]


async def fold(stream, directory, name, records):
    """Let a worker fold some records, and compare everything with the oracle."""
    await stream.produce(records)
    worker = ForkedWorker(name, stream.options(), directory)
    await stream.until_published(worker=worker)
    assert await asyncio.to_thread(worker.stop) == 0
    return await stream.compare()


async def test_a_fold_with_lags_is_the_oracles_and_survives_an_export(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """Another worker continues with imported tails; ``state get`` names what a tail holds."""
    save_bundle(models.lagged(), tmp_path / "bundle")
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in PLACE]
    await fold(stream, tmp_path, "first", [*records_of(200, 3), (b"a", {"x": 2.5, "ok": True})])

    shown = json.loads(await run("state", "get", "a", "--json", *place))
    assert len(shown["hidden"]) == stream.model.hidden_size_floats
    names = ("last_x", "last_x_missing", "last_ok", "last_ok_missing", "last_kind", "last_size")
    assert shown["tail"] == dict(zip(names, (2.5, 0, 1, 0, 0, 0), strict=True))
    assert "last last_x 2.5" in await run("state", "get", "a", *place)

    await run("state", "export", str(tmp_path / "states"), *place)
    await run("state", "drop", "--yes", *place)
    await run("state", "import", str(tmp_path / "states"), *place)
    assert await fold(stream, tmp_path, "second", records_of(100, 4)) > 200
    audited = await stream.audit()
    assert (audited["missing"], audited["different"]) == (0, 0)
