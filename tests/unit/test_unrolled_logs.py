"""The log of an unrolled key: a file or a topic, and where the key is in it."""

import json
from pathlib import Path

import numpy as np
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.replay.files import partition_of
from stream_rnn.replay.logs import FileLog, Range
from stream_rnn.replay.partition import in_batches
from stream_rnn.testing import record
from stream_rnn.trace.find_key import unroll_log
from tests import models
from tests.file_records import read_records
from tests.unit.test_unrolled import model_of, settings_of, unrolled

SPEC_OF_FILES = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "at"}}}


@pytest.fixture
def path(tmp_path) -> Path:
    """A file of 200 rows of ten keys."""
    found = tmp_path / "log.jsonl"
    rng = np.random.default_rng(3)
    rows = [
        {"key": f"UA-{i % 10}", "at": i * 300, "x": float(rng.normal()), "kind": "A"}
        for i in range(200)
    ]
    found.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return found


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_file_is_read_where_the_key_is(path, partitions):
    """Of several partitions the one that a producer would have chosen, with its own stream time."""
    model, settings = model_of(spec=SPEC_OF_FILES), settings_of(state_ttl=1.0)
    log = FileLog(path, model.spec, partitions)
    found = await unroll_log(log, model, settings, b"UA-4")
    assert found.partition == partition_of(b"UA-4", partitions)
    records = [r for p, r in read_records(path, model.spec, partitions) if p == found.partition]
    expected = await unrolled(model, settings, b"UA-4", records)
    assert found.h.tobytes() == expected.h.tobytes()
    assert found.source == "log"
    assert found.between
    ended = await unroll_log(log, model, settings, b"UA-4", until=113)
    assert ended.offsets.tolist() == list(range(4, 114, 10))


class InMemory:
    """A :class:`stream_rnn.replay.logs.Log` of lists of records."""

    name = "events"

    def __init__(self, *partitions) -> None:
        self.partitions = partitions

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception: object) -> None: ...

    async def ranges(self):
        return [Range(p, 0, 1 << 40) for p in range(len(self.partitions))]

    async def batches(self, wanted):
        records = self.partitions[wanted.partition]
        async for batch in in_batches([r for r in records if r.offset < wanted.end], 2):
            yield batch


def of_key(key, *offsets):
    """Make records of one key."""
    return [record(o, key, {"x": 1.0, "kind": "A"}, o) for o in offsets]


async def test_a_topic_is_searched_as_a_whole():
    """Where the key is depends on the producer: it is found where it is."""
    log = InMemory(of_key(b"a", 0, 1), of_key(b"k", 4, 5, 6), of_key(b"b", 0, 1))
    assert partition_of(b"k", 3) != 1
    found = await unroll_log(log, model_of(), settings_of(), b"k", until=5)
    assert (found.partition, found.offsets.tolist()) == (1, [4, 5])


async def test_a_key_in_two_partitions_needs_one_named():
    """Each has a memory of its own, so neither is the answer."""
    log = InMemory(of_key(b"k", 0, 1), of_key(b"b", 0), of_key(b"k", 4))
    model, settings = model_of(), settings_of()
    with pytest.raises(ConfigError, match=r"in partitions 0 and 2 of events.*--partition"):
        await unroll_log(log, model, settings, b"k")
    found = await unroll_log(log, model, settings, b"k", partition=2)
    assert (found.partition, found.offsets.tolist()) == (2, [4])
    with pytest.raises(
        ConfigError, match="3 partitions, numbered from 0; there is no --partition 3"
    ):
        await unroll_log(log, model, settings, b"k", partition=3)


async def test_a_key_that_is_not_there_is_answered_with_those_that_are(path):
    """How many keys there are and which ones resemble it, wherever in the file they are."""
    model = model_of(spec=SPEC_OF_FILES)
    log = FileLog(path, model.spec, 5)
    with pytest.raises(ConfigError) as raised:
        await unroll_log(log, model, settings_of(), b"ua-77")
    said = str(raised.value)
    assert "the range has 10 keys, similar: 'UA-7'" in said
    assert "'ua-77'" in said
    with pytest.raises(ConfigError, match="none is similar"):
        await unroll_log(log, model, settings_of(), b"zzz")


async def test_a_key_that_comes_later_is_said_to():
    """It is there, but not where one looked."""
    log = InMemory(of_key(b"a", 0, 1), of_key(b"k", 4, 5))
    with pytest.raises(ConfigError, match="has records in events, but none up to offset 3"):
        await unroll_log(log, model_of(), settings_of(), b"k", until=3)
    with pytest.raises(ConfigError, match="has records in events, but none in partition 0"):
        await unroll_log(log, model_of(), settings_of(), b"k", partition=0)


async def test_a_file_has_no_partition_to_name(path):
    """Its key says where it is."""
    model = model_of(spec=SPEC_OF_FILES)
    log = FileLog(path, model.spec, 5)
    other = (partition_of(b"UA-4", 5) + 1) % 5
    with pytest.raises(ConfigError, match=f"leave out --partition {other}"):
        await unroll_log(log, model, settings_of(), b"UA-4", partition=other)
