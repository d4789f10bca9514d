"""What the page reads of workers and of a predictions topic that others may write to."""

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp import web

from stream_rnn import testing
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.operate import dashboard_data as watching
from stream_rnn.operate.check_redis import check_memory
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.dashboard_data import WorkerPoller
from stream_rnn.operate.prediction_sample import Sampler, distribution
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire
from stream_rnn.settings import Settings
from tests import models
from tests.memory_topics import fold

MODEL = models.small()


@pytest.fixture
async def slow_worker():
    """Return the address of a worker whose metrics come in small pieces."""

    async def ready(_request):
        return web.json_response({"ready": True, "reasons": []})

    async def metrics(request):
        lines = ["# TYPE stream_rnn_fold_info gauge", 'stream_rnn_fold_info{app="a"} 1']
        lines += ["# TYPE stream_rnn_position gauge"]
        lines += [f'stream_rnn_position{{partition="{n}"}} {n}' for n in range(300)]
        answer = web.StreamResponse()
        await answer.prepare(request)
        text = ("\n".join(lines) + "\n").encode()
        for start in range(0, len(text), 1448):
            await answer.write(text[start : start + 1448])
            await asyncio.sleep(0)
        return answer

    app = web.Application()
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_predictions_of_every_format_are_sampled(wire_format):
    """By the schema of the fold's bundle; the dashboard asks no registry."""
    model = with_fingerprint(MODEL)
    settings = Settings.build(app="a", source="in", predictions="out")
    record = testing.record(0, b"key", {"x": 1.0, "kind": "A"}, 1_767_225_600_000)
    log = await fold(model, settings, [record], wire=Wire(wire_format, 7))
    sampler = Sampler(SimpleNamespace(settings=settings, model=model), lambda: 0.0)
    (prediction,) = log.predictions
    assert sampler._add(prediction.value)
    assert sampler.outputs().keys() == {"big", "wait", "next"}


async def test_an_answer_that_comes_in_pieces_is_read_whole(slow_worker):
    """As it does across a network."""
    (found,) = await WorkerPoller("a", [slow_worker]).poll()
    assert found["live"]
    assert len(found["partitions"]) == 300


async def test_an_answer_without_end_is_no_answer(slow_worker, monkeypatch):
    """Who is asked may be anybody."""
    monkeypatch.setattr(watching, "ANSWER_BYTES_MAX", 1000)
    (found,) = await WorkerPoller("a", [slow_worker]).poll()
    assert not found["live"]


FINGERPRINT = "ab" * 32


def prediction(outputs, fingerprint=FINGERPRINT[:16]):
    """Return the bytes of a prediction."""
    return (
        f'{{"format":1,"key":"k","outputs":{outputs},"model":"m","fingerprint":"{fingerprint}",'
        '"numerics":"00000000","source":{"topic":"t","partition":0,"offset":0},'
        '"event_time_ms":0,"steps":1,"cold":true}'
    ).encode()


def test_only_what_the_bundle_can_say_is_sampled():
    """Other heads, other kinds, other bundles and what is no prediction are left out."""
    model = SimpleNamespace(fingerprint=FINGERPRINT, spec=MODEL.spec, surprise=MODEL.surprise)
    fold = SimpleNamespace(settings=Settings.build(predictions="out"), model=model, places=[])
    sampler = Sampler(fold, lambda: 0.0)
    good = '{"big":{"probability":0.5}}'
    for value in (
        prediction(good),
        prediction(good, "0" * 16),
        prediction('{"big":{"value":5.0}}'),
        prediction('{"elsewhere":{"probability":0.5}}'),
        prediction('{"wait":{"value":1.7e308}}'),
        b"5",
        b"null",
        b"not JSON",
        None,
    ):
        sampler._add(value)
    found = sampler.outputs()
    assert set(found) == {"big", "wait"}
    assert sum(found["big"]["counts"]) == sum(found["wait"]["counts"]) == 1


def test_numbers_beyond_all_bounds_are_drawn_at_them():
    """A histogram of them overflows."""
    assert sum(distribution([-1.7e308, 0.0, 1.7e308])["counts"]) == 3


def test_keys_that_redis_holds_already_are_not_counted_twice():
    """A million of them are there, and as many are expected."""
    settings = Settings.build(app="a")
    node = {"used_memory": 263_000_000, "maxmemory": 315_000_000}
    whole = check_memory([node], MODEL, settings, 1_000_000, 1_000_000)
    assert (whole.level, "0 MB more" in whole.said) == (Level.FINE, True)
    assert check_memory([node], MODEL, settings, 1_000_000, 0).level is Level.BAD
