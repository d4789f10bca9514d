"""The processor at gaps of the log, and at records that retention removes."""

import pytest

from stream_rnn.errors import (
    RecoveryError,
)
from stream_rnn.fold.source import Fetch
from stream_rnn.testing import (
    MemoryLog,
    MemorySource,
    MemoryStore,
    memory_processor,
)
from tests.unit.test_processor import (
    MODEL,
    SETTINGS,
    events,
    published,
    same_as_the_oracle,
    settings_of,
)


async def test_a_gap_at_the_log_end_is_an_empty_micro_batch():
    """Offsets without records advance the group offset first, then the position."""
    order = []

    class RecordingStore(MemoryStore):
        async def commit(self, commit):
            order.append((commit.position, log.group.offset))
            await super().commit(commit)

    log, store = MemoryLog(events(0, 1), end_offset=9), RecordingStore()
    await memory_processor(MODEL, log, store, SETTINGS).run()
    assert order == [(2, 2), (9, 9)]
    assert (store.stored.position, store.stored.anchor.offset) == (9, 1)
    assert published(log) == [0, 1]


async def test_a_gap_between_two_fetches_is_crossed():
    """A first offset beyond the position is allowed if retention has removed nothing."""
    log, store = MemoryLog(events(0, 5, 9)), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS, sizes=[1, 1, 1])
    await processor.run()
    assert processor.counts.positioned == 1
    assert same_as_the_oracle(log, store)


class Retention(MemorySource):
    """A source before whose second fetch retention removes the records below an offset."""

    def __init__(self, log, below):
        super().__init__(log, [1])
        self.log, self.below, self.takes = log, below, 0

    async def take(self, timeout_s):
        self.takes += 1
        if self.takes == 2:
            self.log.log_start_offset = self.below
        return await super().take(timeout_s)


async def test_a_log_start_that_passes_the_position_stops(naps):
    """If records are removed before they are folded, row 5 stops the worker and names offsets."""
    log, store = MemoryLog(events(*range(6))), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor.source = Retention(log, 3)
    with pytest.raises(RecoveryError, match=r"records 1 to 2 were removed.*log start 3"):
        await processor.run()
    assert (published(log), store.stored.position, len(naps)) == ([0], 1, 1)


async def test_a_log_start_that_passes_the_position_may_be_accepted(naps):
    """The fold begins at the log start, and the field ``lost`` in Redis names the lost records."""
    log, store = MemoryLog(events(*range(6))), MemoryStore()
    accepting = settings_of(on_lost_history="accept")
    processor = memory_processor(MODEL, log, store, accepting)
    processor.source = Retention(log, 3)
    await processor.run()
    assert (published(log), store.stored.origin) == ([0, 3, 4, 5], 3)
    assert "records 1 to 2 were removed" in store.stored.lost
    assert processor.counts.positioned == 2
    assert len(naps) >= 1


async def test_records_removed_at_the_log_end_stop_too(naps):
    """A gap at the log end is checked in the same way."""
    log, store = MemoryLog(events(*range(6))), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor.source = Retention(log, 6)
    with pytest.raises(RecoveryError, match="records 1 to 5 were removed"):
        await processor.run()
    assert naps


async def test_a_first_offset_below_the_position_repositions(naps):
    """Records that are delivered again after they were folded are not folded again."""

    class Repeats(MemorySource):
        takes = 0

        async def take(self, timeout_s):
            self.takes += 1
            if self.takes == 2:
                return Fetch(log.records[:1], 1)
            return await super().take(timeout_s)

    log, store = MemoryLog(events(0, 1, 2)), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor.source = Repeats(log, [2])
    await processor.run()
    assert processor.counts.positioned == 2
    assert naps == [0.05]
    assert same_as_the_oracle(log, store)


async def test_an_idle_partition_compares_its_position_with_redis():
    """It notices another position without any new record."""

    class Idle(MemorySource):
        takes = 0

        async def take(self, timeout_s):
            self.takes += 1
            if self.takes == 2:
                store.stored = MemoryStore().stored
                store.states = {}
                return Fetch([], 2)
            return await super().take(timeout_s)

    log, store = MemoryLog(events(0, 1)), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor.source = Idle(log)
    await processor.run()
    assert processor.counts.positioned == 2
    assert same_as_the_oracle(log, store)
