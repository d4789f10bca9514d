"""``stream-rnn state``, ``replay`` and ``tail`` on what a real worker left."""

import asyncio
import json

import pytest

from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """A fold of 300 records whose worker has stopped."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(mixed_records(300, seed=20))
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    await stream.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    return stream


def options(stream, *names) -> list[str]:
    return [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]


PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


async def test_state_is_shown_dropped_and_built_again(made, tmp_path):
    """A dropped fold is built again from its origin, silently, to the same states."""
    rows = [
        json.loads(line)
        for line in (await run("state", "show", "--json", *options(made, *PLACE))).splitlines()
    ]
    assert [(r["partition"], r["row"], r["lag"], r["stop"]) for r in rows] == [
        (0, 11, 0, None),
        (1, 11, 0, None),
    ]
    assert all(r["position"] == r["group_offset"] == r["log_end"] for r in rows)
    assert all(r["anchor"] == r["position"] - 1 for r in rows)
    folds = ("fold", "group_offset_fold", "last_output_fold")
    assert {r[name] for r in rows for name in folds} == {made.fold_id}
    assert "would start at" in await run("state", "show", *options(made, *PLACE))

    said = await run("state", "drop", "--yes", *options(made, *PLACE))
    assert said.count("dropped") == 2
    rows = [
        json.loads(line)
        for line in (await run("state", "show", "--json", *options(made, *PLACE))).splitlines()
    ]
    assert [(r["row"], r["start"], r["position"], r["keys"]) for r in rows] == [(6, 0, None, 0)] * 2

    again = ForkedWorker("again", made.options(), tmp_path)
    await made.produce(mixed_records(50, seed=21))
    await made.until_published()
    assert await asyncio.to_thread(again.stop) == 0
    assert await made.compare() > 250


async def test_replay_equals_what_was_published_byte_for_byte(made, tmp_path):
    """A replay of the source topic gives the bytes that the worker published."""
    out = tmp_path / "out.jsonl"
    arguments = ["--topic", made.settings.source, "--app", made.settings.app, "--out", str(out)]
    await run("replay", *arguments, *options(made, "bundle", "bootstrap_servers"))
    published = []
    for partition in range(2):
        published += [r.value for r in await made.outputs(made.settings.predictions, partition)]
    assert out.read_bytes().splitlines() == published

    limited = tmp_path / "limited.jsonl"
    arguments[-1] = str(limited)
    await run("replay", *arguments, "--to", "10", *options(made, "bundle", "bootstrap_servers"))
    whole = {
        (p["source"]["partition"], p["source"]["offset"]): p for p in map(json.loads, published)
    }
    first = [json.loads(line) for line in limited.read_bytes().splitlines()]
    assert first
    assert all(
        p["source"]["offset"] < 10 and p == whole[p["source"]["partition"], p["source"]["offset"]]
        for p in first
    )


async def test_a_state_that_would_stop_a_worker_is_said_with_status_1(made, create_topic):
    """``state show`` prints the same decision that a worker would make."""
    await create_topic(f"{made.settings.app}-three", 3)
    listing = options(made, "app", "source", "bundle", "bootstrap_servers", "redis_url")
    predictions = f"--predictions={made.settings.app}-three"
    said = await run("state", "show", "--json", *listing, predictions, status=1)
    rows = [json.loads(line) for line in said.splitlines()]
    assert [row["row"] for row in rows] == [1, 1]
    assert "has 2 partitions" in rows[0]["stop"]
