"""A store that takes no large request gets smaller ones, and the result is the same."""

import pytest

from stream_rnn.errors import ConfigError, NoAnswerError, TooLargeError, UnavailableError
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from tests import models
from tests.property.test_fold import compare

SETTINGS = Settings.build(app="app", source="events", predictions="out")
MODEL = models.small("gru")
KEYS = 40


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """Replace sleeping by a list of its durations."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    return slept


class SmallStore(MemoryStore):
    """A store that takes few states at once, as behind a proxy that limits a request.

    Args:
        limit: Greatest number of keys in a request.
        error: Error for a larger request.
        down: Number of calls for which the store answers nothing at all.
    """

    def __init__(self, limit, error, down=0) -> None:
        super().__init__()
        self.limit, self.error, self.down = limit, error, down
        self.sizes, self.refused = [], 0

    def _take(self, size) -> None:
        if self.down:
            self.down -= 1
            raise NoAnswerError("down")
        if size > self.limit:
            self.refused += 1
            raise self.error
        self.sizes.append(size)

    async def load(self, position, origin, keys):
        """Load, unless there are too many keys."""
        self._take(len(keys))
        return await super().load(position, origin, keys)

    async def commit(self, commit) -> None:
        """Commit, unless there are too many keys."""
        self._take(len(commit.writes))
        await super().commit(commit)


def log_of(count=KEYS):
    """Return two events of each key."""
    events = [(b"%d" % (i % count), {"x": i / 99, "kind": "A"}) for i in range(2 * count)]
    return MemoryLog([record(i, *event, i) for i, event in enumerate(events)])


@pytest.mark.parametrize("error", [NoAnswerError("closed"), TooLargeError("max request size")])
@pytest.mark.parametrize("cache", [0, 1_000_000])
async def test_a_commit_that_is_too_large_is_folded_again_in_smaller_ones(error, cache):
    """Each event has one prediction, and the limit is remembered."""
    log, store = log_of(), SmallStore(11, error)
    processor = memory_processor(
        MODEL, log, store, SETTINGS, sizes=[KEYS, 3, KEYS], cache_bytes_max=cache
    )
    await processor.run()
    compare(MODEL, SETTINGS, log, store)
    assert len(log.predictions) == 2 * KEYS
    assert processor._calls.records_max == 10  # 40, 20, 10
    assert store.refused == (2 if isinstance(error, TooLargeError) else 4)
    assert max(store.sizes) == 10


async def test_a_store_that_is_down_makes_no_micro_batch_smaller(naps):
    """Only a store that answers small requests at the same time does."""
    log, store = log_of(), SmallStore(KEYS, NoAnswerError("closed"), down=7)
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor._calls.clock = lambda: sum(naps)
    await processor.run()
    assert processor._calls.records_max == processor.settings.batch_events_max
    assert len(naps) >= 3


async def test_one_state_that_is_too_large_stops_the_worker():
    """A restart would end the same way; the message names what to raise."""
    log, store = log_of(1), SmallStore(0, TooLargeError("max request size exceeded"))
    with pytest.raises(ConfigError, match=r"one hidden state of \d+ bytes \(max request size"):
        await memory_processor(MODEL, log, store, SETTINGS).run()


async def test_one_state_without_an_answer_is_no_proof(naps):
    """The worker is restarted if Redis was flapping, and stops after enough failures."""
    for retry_s, error in ((0.0, UnavailableError), (60, ConfigError)):
        log, store = log_of(1), SmallStore(0, NoAnswerError("closed"))
        processor = memory_processor(MODEL, log, store, SETTINGS.replace(redis_retry_s=retry_s))
        processor._calls.clock = lambda: sum(naps)
        with pytest.raises(error):
            await processor.run()
