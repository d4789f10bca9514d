"""The contenders of the speed benchmarks compute the worker's probabilities for each event.

pytest -m bench tests/bench/test_peers.py
"""

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.local.servers import Addresses
from stream_rnn.model.bundle import load_bundle
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.settings import Settings
from tests.bench.contenders import CONTENDERS, RunOptions
from tests.bench.environment import BenchEnvironment
from tests.bench.load import FIRST_MS, Load, bundle_of, create, ends, fill, key_of, value_of
from tests.bench.rates import Processes

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

LOAD = Load(events=4000, keys=200, partitions=2, seed=5)
ANSWERING = [c for c in CONTENDERS if "steps" in c.name or "Quix" in c.name or "Streams" in c.name]
NEAR = 1e-4


async def expected(bundle) -> dict[tuple[bytes, int], float]:
    """Return the worker's probability by key and timestamp."""
    probabilities = {}

    def emit(predictions, _dead_letters) -> None:
        for key, value, timestamp, _ in predictions:
            probabilities[key, timestamp] = json.loads(value)["outputs"]["buys"]["probability"]

    keys = LOAD.key_numbers().tolist()
    records = [
        LogRecord(i, FIRST_MS + i, key_of(keys[i]), value_of(i, LOAD)) for i in range(LOAD.events)
    ]
    settings = Settings.build(app="a", source="s")
    await replay_partition(load_bundle(bundle), settings, 0, 0, in_batches(records), emit)
    return probabilities


@pytest.mark.parametrize("contender", ANSWERING, ids=lambda c: c.name)
async def test_a_contender_computes_the_same_probabilities(
    contender, bootstrap_servers, redis_url, app_id, tmp_path
):
    """Probabilities differ by at most 0.0001, because the order of summation differs."""
    if why := contender.reason_missing():
        pytest.skip(why)
    bundle = bundle_of(tmp_path)
    bench = BenchEnvironment(Addresses(bootstrap_servers, redis_url, None, None), tmp_path)
    source = await fill(bootstrap_servers, LOAD, f"{app_id}-in")
    run_options = RunOptions(
        bootstrap_servers, redis_url, source, f"{app_id}-out", app_id, bundle, tmp_path / "peer"
    )
    run_options.directory.mkdir()
    await create(bootstrap_servers, run_options.output, LOAD.partitions)
    running = Processes(bench.directory / "peer.log")
    running.start(contender.command(run_options), contender.environment)
    probabilities = {}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, isolation_level="read_committed"
    )
    try:
        async with asyncio.timeout(120), consumer:
            places = [TopicPartition(run_options.output, p) for p in range(LOAD.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while len(probabilities) < LOAD.events:
                running.require_alive()
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    probabilities |= {
                        (r.key, r.timestamp): json.loads(r.value)["y"] for r in records
                    }
    finally:
        running.stop()
    assert probabilities == pytest.approx(await expected(bundle), abs=NEAR)
    assert sum((await ends(bootstrap_servers, source, LOAD.partitions)).values()) == LOAD.events
