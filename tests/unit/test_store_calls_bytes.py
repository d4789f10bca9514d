"""A store that takes few bytes of keys gets smaller requests, which grow again."""

from dataclasses import replace

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold.slices import slice_records
from stream_rnn.store.state import Commit, StoredPosition
from stream_rnn.testing import MemoryLog, MemoryStore, record
from tests.property.test_fold import compare
from tests.unit.test_store_calls import KEYS, MODEL, NO_ANSWER, SETTINGS, TOO_LARGE, processor_of

UNCHANGED = Commit(
    expected_position=0,
    origin=0,
    position=0,
    anchor=None,
    stream_time_ms=None,
    numerics=MODEL.numerics(),
    writes=(),
    deletes=(),
)


def started(store=None):
    """Return a processor whose store has a position."""
    store = MemoryStore() if store is None else store
    store.stored = StoredPosition(0, 0)
    return processor_of(MemoryLog([]), store)[0]


def forgets_of(keys):
    """Return a record with a null value for each key."""
    return [record(i, key, None, i) for i, key in enumerate(keys)]


class ByteStore(MemoryStore):
    """A store that takes few bytes of keys at once.

    Args:
        limit: Greatest number of bytes of the keys in a request.
    """

    def __init__(self, limit) -> None:
        super().__init__()
        self.limit, self.sizes = limit, []

    def _take(self, keys) -> None:
        if (size := sum(map(len, keys))) > self.limit:
            raise TOO_LARGE
        self.sizes.append(size)

    async def load(self, position, origin, keys):
        """Load, unless the keys are too long."""
        self._take(keys)
        return await super().load(position, origin, keys)

    async def commit(self, commit) -> None:
        """Commit, unless the keys are too long."""
        self._take([*(key for key, _ in commit.writes), *commit.deletes])
        await super().commit(commit)


async def test_forgets_of_long_keys_are_committed_in_requests_of_few_bytes(caplog):
    """Short keys before them leave the bound of records as it is."""
    keys = [b"%d" % i for i in range(KEYS)] + [b"%0500d" % i for i in range(KEYS)]
    log = MemoryLog([record(i, key, None, i) for i, key in enumerate(keys)])
    settings, store = SETTINGS.replace(commit_bytes_max=30_000), ByteStore(6000)
    processor, naps = processor_of(log, store, settings)
    await processor.run()
    compare(MODEL, settings, log, store)
    assert processor.position == 2 * KEYS
    assert 2500 < max(store.sizes) <= processor._calls.key_bytes.value <= 6000
    assert processor._calls.records.value == 30_000 // processor._codec.state_bytes
    assert "the keys in a micro-batch of events[0] now have at most" in caplog.text
    assert sum(naps) < 1


async def test_the_bytes_of_keys_grow_again_unless_the_server_named_the_limit():
    """Micro-batches into which no further key fits count, whatever their exact size."""
    for error, grown in ((NO_ANSWER, 2000), (TOO_LARGE, 1000)):
        processor, _ = processor_of(MemoryLog([]), MemoryStore())
        calls = processor._calls
        calls._shrink(9, 100, 2000, error)
        assert calls.key_bytes.value == 1000
        for _ in range(64):
            calls.note_success(forgets_of([b"k" * 300] * 2))  # one more would fit
            calls.note_success(forgets_of([b"k" * 300] * 3))
        assert calls.key_bytes.value == grown


async def test_the_bytes_of_keys_grow_again_with_several_events_of_each_key():
    """Slices count the key of every record, and so does the growth of their bound."""
    processor, _ = processor_of(MemoryLog([]), MemoryStore())
    calls = processor._calls
    calls._shrink(9, 100, 2000, NO_ANSWER)
    records = forgets_of([b"%0100d" % (i // 2) for i in range(1000)])
    fulls = [*slice_records(records, SETTINGS, *calls.bounds)][:64]
    assert {len(full) for full in fulls} == {10}
    for full in fulls:
        calls.note_success(full)
    assert calls.key_bytes.value == 2000


async def test_the_bytes_of_expired_states_grow_again():
    """A request that has no room for a further key counts, whatever its exact size."""
    calls = started()._calls
    calls._shrink_expired(2000, NO_ANSWER)
    for _ in range(64):
        assert await calls.commit(UNCHANGED, [b"k" * 300] * 3) == 3  # one more would fit
    assert calls.expired_bytes.value == 1000
    for _ in range(64):
        assert await calls.commit(UNCHANGED, [b"k" * 300] * 4) == 3
    assert calls.expired_bytes.value == 2000


async def test_a_forget_whose_key_is_too_long_stops_the_worker_with_the_bytes_of_the_key():
    """The request has no hidden state; the limit that must be raised is that of the key."""
    calls = started(ByteStore(4000))._calls
    with pytest.raises(ConfigError, match=r"one forget, whose key has 5000 bytes \(max.*; raise"):
        await calls.commit(replace(UNCHANGED, position=1, deletes=[b"k" * 5000]))
    assert "with the position alone (max" in str(calls._shrink(0, 0, 0, TOO_LARGE))
