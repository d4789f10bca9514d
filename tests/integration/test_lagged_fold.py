"""A fold of a spec with lags on real servers: worker, state verbs, export and import, audit.

Also one of arrays, hashed words and quantiles, with its readers.
"""

import asyncio
import json

import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.tail import command as tail
from stream_rnn.model.bundle import save_bundle
from stream_rnn.predictions.frames import to_polars
from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS
from tests import models
from tests.integration.started_workers import fold_all
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(180)

PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


def records_of(count, seed):
    """Return mixed records, with the fields that only lags read."""
    return [
        (key, {**value, "ok": n % 3 > 0, "size": n % 5} if isinstance(value, dict) else value)
        for n, (key, value) in enumerate(mixed_records(count, seed=seed))
    ]


async def test_a_fold_with_lags_is_the_oracles_and_survives_an_export(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """Another worker continues with imported tails; ``state get`` names what a tail holds."""
    save_bundle(models.lagged(), tmp_path / "bundle")
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in PLACE]
    await fold_all(stream, [*records_of(200, 3), (b"a", {"x": 2.5, "ok": True})], "first")

    shown = json.loads(await run("state", "get", "a", "--json", *place))
    assert len(shown["hidden"]) == stream.model.hidden_size_floats
    names = ("last_x", "last_x_missing", "last_ok", "last_ok_missing", "last_kind", "last_size")
    assert shown["tail"] == dict(zip(names, (2.5, 0, 1, 0, 0, 0), strict=True))
    assert "last last_x 2.5" in await run("state", "get", "a", *place)

    await run("state", "export", str(tmp_path / "states"), *place)
    await run("state", "drop", "--yes", *place)
    await run("state", "import", str(tmp_path / "states"), *place)
    assert await fold_all(stream, records_of(100, 4), "second") > 200
    audited = await stream.audit()
    assert (audited["missing"], audited["different"]) == (0, 0)


def records_of_arrays(count, seed):
    """Return mixed records, with the fields of arrays and of words without a vocabulary."""
    return [
        (
            key,
            {
                **value,
                "sensors": [[n / 7, None, -1], [], [1, 2]][n % 8 % 3],
                "page": f"/p/{n % 31}",
                "tags": ["B", "?", 7][: n % 4],
                "items": ["a|b||c", ["c", None], None][n % 3],
            }
            if isinstance(value, dict)
            else value,
        )
        for n, (key, value) in enumerate(mixed_records(count, seed=seed))
    ]


@pytest.mark.parametrize("wire_format", ["json", *FRAMED_FORMATS])
async def test_a_fold_of_arrays_with_lags_and_quantiles(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, wire_format
):
    """Worker, restart, audit, ``tail`` and the reader agree on every feature and on quantiles."""
    save_bundle(models.lagged_arrays(), tmp_path / "bundle")
    schema_id = {} if wire_format == "json" else {"predictions_schema_id": 7}
    stream = Stream(
        *(app_id, bootstrap_servers, redis_url, tmp_path),
        predictions_format=wire_format,
        **schema_id,
    )
    await create_topic(stream.settings.source, 2)
    await fold_all(stream, records_of_arrays(150, 3), "first")
    count = await fold_all(stream, records_of_arrays(100, 4), "second")
    audited = await stream.audit()
    assert (audited["missing"], audited["different"]) == (0, 0)
    assert audited["compared"] == count > 100

    topic = stream.settings.predictions
    words = [f"--bootstrap-servers={bootstrap_servers}", "--from-beginning", f"--max={count}"]
    words.append(f"--bundle={stream.bundle}")
    call = CliRunner().invoke, tail, [topic, "--json", *words]
    lines = (await asyncio.to_thread(*call, standalone_mode=False)).stdout.splitlines()
    shown = [json.loads(line)["outputs"]["range"] for line in lines]
    assert [list(quantiles) for quantiles in shown] == [["p2_5", "p50", "p90"]] * count
    assert all(sorted(q.values()) == list(q.values()) for q in shown)
    first = " ".join(f"{name} {value:.6g}" for name, value in shown[0].items())
    assert first in await run("tail", topic, *words)

    place = {"bootstrap_servers": bootstrap_servers, "bundle": stream.bundle, "start": "earliest"}
    async with asyncio.timeout(40), PredictionReader(topic, **place) as reader:
        frame = to_polars([await anext(reader) for _ in range(count)])
    quantiles = frame.select("range.p2_5", "range.p50", "range.p90")
    assert quantiles.null_count().row(0) == (0, 0, 0)
