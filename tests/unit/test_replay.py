"""Replay: a file folded again equals the oracle, partition by partition."""

import json

import numpy as np
import pytest
import torch

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.files import partition_of
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from tests import models, oracle
from tests.file_records import read_records

SPEC = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "at"}}}
KEYS = ["a", "b", "c", "d", "Zürich", "hot", "hot", "hot", "hot"]


def settings_of(**more):
    """Make settings."""
    return Settings.build(app="app", source="events", predictions="out", **more)


def model_of(kind="gru"):
    """Make a model that dates events by their own field."""
    torch.manual_seed(11)
    spec = FeatureSpec.model_validate(SPEC)
    return with_fingerprint(Model.initialize(spec, CellSpec(kind=kind, hidden=8)))


def rows_of(count, seed):
    """Make rows of uneven keys, out of order, some of them missing something or too large."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "key": KEYS[rng.integers(len(KEYS))],
            "at": int(i * 500 + rng.integers(-2000, 2000) + 10_000),
            "x": None if rng.random() < 0.1 else float(rng.normal()),
            "kind": ["A", "B", "other", None][rng.integers(4)],
        }
        for i in range(count)
    ]
    for row in rng.choice(count, 12, replace=False).tolist():
        rows[row].update([{"key": None}, {"at": None}, {"x": 1e39}][row % 3])
    return rows


@pytest.fixture
def log(tmp_path):
    """Write a log of 300 rows."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(300, 1)))
    return path


async def replayed(model, settings, records, *, partition=0, start=0, size=4096):
    """Replay records; return the predictions' values, the dead letters and the counts."""
    predictions, dead_letters = [], []

    def emit(some, bad):
        predictions.extend(some)
        dead_letters.extend(bad)

    batches = in_batches(records, size)
    counts = await replay_partition(model, settings, partition, start, batches, emit)
    return [m.value for m in predictions], [dict(m.headers) for m in dead_letters], counts


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("state_ttl", [None, 8.0])
async def test_a_file_replayed_equals_the_oracle(log, partitions, kind, state_ttl):
    """Each partition's predictions, skips and counts are those of folding it one at a time."""
    model, settings = model_of(kind), settings_of(state_ttl=state_ttl)
    records = list(read_records(log, model.spec, partitions))
    assert len(records) == 300
    assert {partition for partition, _ in records} == set(range(partitions))
    cold = []
    for partition in range(partitions):
        chosen = [r for place, r in records if place == partition]
        truth = oracle.fold(model, settings, chosen, partition=partition)
        values, dead, counts = await replayed(model, settings, chosen, partition=partition)
        assert [json.loads(value) for value in values] == list(truth.predictions.values())
        found = {int(headers["sr-offset"]): headers["sr-error"].decode() for headers in dead}
        assert found == truth.dead_letters
        assert counts.predictions == counts.events == len(values) > 0
        assert sum(counts.skips.values()) == len(dead)
        cold += [p["key"] for p in truth.predictions.values() if p["cold"]]
    assert (len(cold) > len(set(cold))) == (state_ttl is not None), "nothing expired"


async def test_partitions_matter_only_to_what_expires(log):
    """Without a time to live a key's predictions are the same in 1 and in 3 partitions."""
    model, settings = model_of(), settings_of()
    outputs = []
    for partitions in (1, 3):
        found = {}
        records = list(read_records(log, model.spec, partitions))
        for partition in range(partitions):
            chosen = [r for place, r in records if place == partition]
            values, _, _ = await replayed(model, settings, chosen, partition=partition)
            for prediction in map(json.loads, values):
                assert prediction["source"].pop("partition") == partition
                assert partition_of(prediction["key"].encode(), partitions) == partition
                found[prediction["source"]["offset"]] = prediction
        outputs.append(found)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_batches_do_not_matter(log, size):
    """The bytes are the same however the records were cut."""
    model, settings = model_of(), settings_of(state_ttl=8.0)
    records = [r for _, r in read_records(log, model.spec)]
    values, dead, counts = await replayed(model, settings, records)
    cut_values, cut_dead, cut_counts = await replayed(model, settings, records, size=size)
    assert (cut_values, cut_dead) == (values, dead)
    assert cut_counts.batches > counts.batches


async def test_a_replay_publishes_what_a_worker_publishes(log):
    """Byte for byte, headers included: both are one processor."""
    model, settings = model_of(), settings_of(state_ttl=8.0)
    records = [r for _, r in read_records(log, model.spec)]
    memory = MemoryLog(records)
    await memory_processor(model, memory, MemoryStore(), settings, sizes=[3, 50, 1]).run()
    values, dead, _ = await replayed(model, settings, records)
    assert values == [message.value for message in memory.predictions]
    assert dead == [dict(message.headers) for message in memory.dead_letters]


async def test_a_range_begins_cold_where_it_begins():
    """A replay from offset 100 of a log with holes folds what is there and nothing before it."""
    model, settings = model_of(), settings_of()
    offsets = [100, 101, 105, 230, 231]
    records = [record(o, b"k", {"at": o, "x": o / 100, "kind": "A"}, o) for o in offsets]
    values, _, _ = await replayed(model, settings, records, start=100, size=2)
    predictions = [json.loads(value) for value in values]
    assert [p["source"]["offset"] for p in predictions] == offsets
    assert [p["steps"] for p in predictions] == [1, 2, 3, 4, 5]
    assert [p["cold"] for p in predictions] == [True, False, False, False, False]


async def test_a_forget_is_replayed():
    """It is part of the log: the key starts again, without a prediction or a dead letter."""
    model, settings = model_of(), settings_of()
    records = [record(o, b"k", {"at": o, "x": 1.0, "kind": "A"}, o) for o in range(4)]
    records[2] = LogRecord(2, 2, b"k", None)
    values, dead, counts = await replayed(model, settings, records)
    assert [json.loads(value)["steps"] for value in values] == [1, 2, 1]
    assert (dead, counts.forgets) == ([], 1)


async def test_an_empty_range_is_folded_to_nothing():
    """No record, no prediction, no error."""
    values, dead, counts = await replayed(model_of(), settings_of(), [])
    assert (values, dead, counts.events) == ([], [], 0)


async def test_batches_have_the_size_asked_for():
    """All but the last one, and no empty one."""
    records = [record(o, b"k", None) for o in range(7)]
    sizes = [len(batch) async for batch in in_batches(records, 3)]
    assert sizes == [3, 3, 1]
    assert [b async for b in in_batches(records[:6], 3)] == [records[:3], records[3:6]]
    assert [b async for b in in_batches([], 3)] == []
