"""The harness of the chaos tests can be trusted: a seed decides, and what is wrong is found."""

import asyncio
import dataclasses
import itertools
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

import stream_rnn
from stream_rnn.fold.crash_points import Point
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.local.processes import free_port
from stream_rnn.model.bundle import load_bundle
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos.bundles import make_bundles
from tests.chaos.faults import FAULTS
from tests.chaos.log import LogPlan
from tests.chaos.plan import plan
from tests.chaos.proxy import Proxy
from tests.chaos.topics import Output
from tests.chaos.verify import PartitionOutcome, StoredPosition, verify
from tests.memory_topics import fold


def test_the_same_seed_gives_the_same_schedule_and_the_same_log():
    """And another seed another one."""
    assert plan(5, 20) == plan(5, 20)
    assert plan(5, 20).schedule != plan(6, 20).schedule
    logs = [itertools.islice(plan(seed, 1).log.records(), 2000) for seed in (5, 5, 6)]
    same, again, other = map(list, logs)
    assert same == again != other


@pytest.mark.parametrize("seed", range(40))
def test_records_are_not_deleted_where_redis_loses_what_only_they_could_bring_back(seed):
    """That would be a stop, and a person; each row of the table has a test of its own."""
    kinds = [FAULTS[one.kind] for one in plan(seed, 60).schedule]
    assert not (any(k.trims for k in kinds) and any(k.loses_redis for k in kinds))


def test_what_is_not_ours_is_not_hurt():
    """With servers of somebody else's, only workers and the fold's own keys are."""
    for seed in range(20):
        for one in plan(seed, 40, without={"redis", "kafka", "proxy"}).schedule:
            assert not FAULTS[one.kind].needs & {"redis", "kafka", "proxy"}


def test_there_are_many_kinds_and_each_says_what_it_is():
    """The table of faults in fold/README.md is made of them."""
    assert len(FAULTS) >= 50
    assert all((one.inject.__doc__ or "").endswith(".") for one in FAULTS.values())
    for point in (Point.BEGUN, Point.PREDICTIONS_SENT, Point.OFFSET_SENT, Point.PUBLISHED):
        assert f"broker-killed-at-{point}" in FAULTS


@pytest.mark.parametrize("distribution", ["even", "heavy", "hot"])
def test_a_log_holds_everything_that_may_come(distribution):
    """Forgets, bad records, late ones, and keys as they are distributed."""
    records = list(itertools.islice(LogPlan(1, distribution, 4, False).records(), 20_000))
    assert {partition for partition, *_ in records} == {0, 1, 2, 3}
    assert 300 < sum(value is None for *_, value, _ in records) < 900
    assert any(key is None for _, key, *_ in records)
    keys = [key for _, key, *_ in records]
    most = max(keys.count(key) for key in set(keys[:50]))
    assert {"even": most < 100, "heavy": 400 < most < 6000, "hot": most > 9000}[distribution]


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """What a partition leaves when all went well."""
    bundles = make_bundles(tmp_path_factory.mktemp("bundles"))
    settings = Settings.build(app="a", source="in", predictions="out", bundle=bundles[0])
    model = load_bundle(bundles[0])
    identity = fold_id(model.fingerprint, settings)
    some = itertools.islice(LogPlan(3, "heavy", 1, False).records(), 300)
    records = [LogRecord(n, at, key, value) for n, (_, key, value, at) in enumerate(some)]
    truth = oracle.fold(model, settings, records, "in", 0)
    predictions = [
        Output(n, {"sr-offset": f"{offset}", "sr-fold": identity}, json.dumps(said).encode())
        for n, (offset, said) in enumerate(truth.predictions.items())
    ]
    dead = [
        Output(n, {"sr-offset": f"{offset}", "sr-error": reason}, None)
        for n, (offset, reason) in enumerate(truth.dead_letters.items())
    ]
    states = {
        key: b"\x01\0\0\0" + steps.to_bytes(4, "little") + last.to_bytes(8, "little") + hidden
        for key, (steps, last, hidden) in truth.states.items()
    }
    stored = {identity: StoredPosition(300, 0, len(states), states)}
    return PartitionOutcome(0, records, predictions, dead, stored, 300), bundles, settings


def findings(right, **changed):
    outcome, bundles, settings = right
    return dict(verify(dataclasses.replace(outcome, **changed), bundles, settings).counts)


def test_nothing_is_found_where_all_is_right(right):
    """The comparison itself is right."""
    outcome = right[0]
    assert findings(right) == {}
    assert len(outcome.predictions) > 200
    assert len(outcome.dead_letters) > 3


def test_each_kind_of_wrong_is_found(right):
    """A prediction too few, too many, another, out of order; a dead letter; a state; a position."""
    outcome = right[0]
    some, dead = outcome.predictions, outcome.dead_letters
    other = dataclasses.replace(some[5], value=some[5].value.replace(b'"steps": ', b'"steps": 1'))
    assert findings(right, predictions=[*some[:5], *some[6:]]) == {"missing": 1}
    assert findings(right, predictions=[*some, some[5]]) == {"duplicated": 1}
    assert findings(right, predictions=[*some[:5], other, *some[6:]]) == {"different": 1}
    assert findings(right, predictions=[some[1], some[0], *some[2:]]) == {"disordered": 1}
    assert findings(right, dead_letters=dead[1:]) == {"missing": 1}
    assert findings(right, dead_letters=[*dead, dead[0]]) == {"duplicated": 1}
    ((fold, stored),) = outcome.stored.items()
    key, value = next(iter(stored.states.items()))
    for changed, kinds in (
        (dataclasses.replace(stored, position=200), {"position", "state"}),
        (dataclasses.replace(stored, keys=stored.keys + 1), {"torn"}),
        (dataclasses.replace(stored, states=stored.states | {key: value[:-1] + b"?"}), {"state"}),
    ):
        assert set(findings(right, stored={fold: changed})) == kinds


def test_plans_have_every_format():
    """The format is drawn by itself: the schedule and the other settings stay those of a seed."""
    plans = [plan(seed, 1) for seed in range(40)]
    formats = {one.settings.get("predictions_format", "json") for one in plans}
    assert formats == {"json", *FRAMED_FORMATS}


def test_faults_of_the_registry_are_mixed_with_all_others_in_every_format():
    """Half of the long plans have framed events, and all kinds of the registry are drawn."""
    framed = [one for one in (plan(seed, 10) for seed in range(100)) if one.is_framed]
    kinds = {scheduled.kind for one in framed for scheduled in one.schedule}
    assert len(framed) > 30
    assert {name for name, fault in FAULTS.items() if "registry" in fault.needs} <= kinds
    for one in framed:
        assert {FAULTS[scheduled.kind].lane for scheduled in one.schedule} > {"registry"}
    formats = {one.settings.get("predictions_format", "json") for one in framed}
    assert formats == {"json", *FRAMED_FORMATS}


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_predictions_of_every_format_are_compared(right, wire_format):
    """What a fold publishes is right, and one byte that differs is found."""
    outcome, bundles, settings = right
    settings = settings.replace(predictions_format=wire_format, predictions_schema_id=7)
    model = load_bundle(bundles[0])
    log = await fold(model, settings, outcome.records, wire=Wire(wire_format, 7))
    outputs = [
        Output(n, {name: value.decode() for name, value in one.headers}, one.value)
        for n, one in enumerate(log.predictions)
    ]
    truth = dataclasses.replace(outcome, predictions=outputs, stored={})
    assert findings((truth, bundles, settings)) == {}
    another_id = settings.replace(predictions_schema_id=8)
    assert findings((truth, bundles, another_id)) == {"format": len(outputs)}
    content = model_decoder(model).content(outputs[5].value)
    as_json = [dataclasses.replace(outputs[5], value=json.dumps(content).encode())]
    assert findings(
        (truth, bundles, settings), predictions=[*outputs[:5], *as_json, *outputs[6:]]
    ) == {"format": 1}
    last = outputs[5].value[:-1] + bytes([outputs[5].value[-1] ^ 1])
    outputs[5] = dataclasses.replace(outputs[5], value=last)
    assert findings((truth, bundles, settings)) == {"different": 1}


async def echo(reader, writer):
    """Send back what comes, in two parts."""
    with suppress(ConnectionResetError):
        while data := await reader.read(1000):
            writer.write(data * 2)
            await writer.drain()
        writer.write(b"end")
    writer.close()


async def test_a_proxy_forwards_cuts_half_closes_and_resets_in_the_middle():
    """Each fault of the network is what it says."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = await Proxy(server.sockets[0].getsockname(), free_port()).start()
    async with asyncio.timeout(20):

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"abc")
            return reader, writer, await reader.readexactly(6)

        reader, first_writer, answer = await connect()
        assert answer == b"abcabc"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        reader, second_writer, _ = await connect()
        proxy.half_close(towards_server=True)
        assert await reader.read() == b"end"  # the server saw the end, and could still answer
        reader, writer, _ = await connect()
        proxy.reset_after = 4
        writer.write(b"abc")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(6)
        assert proxy.resets == 1
        for one in (first_writer, second_writer, writer):
            one.close()
    await proxy.stop()
    server.close()


def test_what_the_driver_waits_for_is_what_a_worker_logs():
    """A fault goes on without an error after a wait that ends in vain, so a text must not rot."""
    root = Path(stream_rnn.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    chaos = Path(__file__).parents[1] / "chaos"
    texts = {
        text
        for path in chaos.glob("*.py")
        for text in re.findall(r'until_logged\(\s*\w+, f?"([^"{=]+)', path.read_text("utf-8"))
    }
    assert len(texts) >= 4
    assert {text for text in texts if text.removesuffix(" point").strip() not in source} == set()
