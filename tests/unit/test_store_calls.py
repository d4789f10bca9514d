"""A store that takes no large request gets smaller ones, and the result is the same."""

import pytest

from stream_rnn.errors import ConfigError, NoAnswerError, TooLargeError, UnavailableError
from stream_rnn.fold.store_calls import SMALL_BYTES
from stream_rnn.settings import Settings
from stream_rnn.store.state import States, StoredPosition
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from tests import models
from tests.property.test_fold import compare

SETTINGS = Settings.build(app="app", source="events", predictions="out")
MODEL = models.small("gru")
KEYS = 40


RECORDS = [record(i, b"k", None, i) for i in range(KEYS)]
NO_ANSWER, TOO_LARGE = NoAnswerError("closed"), TooLargeError("max request size exceeded")


def processor_of(log, store, settings=SETTINGS, **options):
    """Return a processor whose clock is the sum of its sleeps, and the list of these."""
    naps = []

    async def sleep(seconds):
        naps.append(seconds)

    processor = memory_processor(MODEL, log, store, settings, **options)
    processor.sleep = processor._calls.sleep = sleep
    processor.clock = processor._calls.clock = processor._sweep.clock = lambda: sum(naps)
    return processor, naps


class SmallStore(MemoryStore):
    """A store that takes few keys at once, as behind a proxy that limits a request.

    Args:
        limit: Greatest number of keys in a request.
        error: Error for a larger request.
        down: Number of calls for which the store answers nothing at all.
    """

    def __init__(self, limit, error=NO_ANSWER, down=0) -> None:
        super().__init__()
        self.limit, self.error, self.down = limit, error, down
        self.cut = 0
        self.sizes, self.refused = [], 0

    def _take(self, size) -> None:
        if self.down:
            self.down -= 1
            raise NoAnswerError("down")
        if size and self.cut:
            self.cut -= 1
            raise NO_ANSWER
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
        self._take(len(commit.writes) + len(commit.deletes))
        await super().commit(commit)


def log_of(count=KEYS):
    """Return two events of each key."""
    events = [(b"%d" % (i % count), {"x": i / 99, "kind": "A"}) for i in range(2 * count)]
    return MemoryLog([record(i, *event, i) for i, event in enumerate(events)])


@pytest.mark.parametrize("error", [NO_ANSWER, TOO_LARGE])
@pytest.mark.parametrize("cache", [0, 1_000_000])
@pytest.mark.parametrize("small_bytes", [0, SMALL_BYTES])
async def test_a_commit_that_is_too_large_is_folded_again_in_smaller_ones(
    error, cache, small_bytes, monkeypatch
):
    """Each event has one prediction; a small request is blamed only after ``redis_retry_s``."""
    monkeypatch.setattr("stream_rnn.fold.store_calls.SMALL_BYTES", small_bytes)
    log, store = log_of(), SmallStore(11, error)
    processor, naps = processor_of(log, store, sizes=[KEYS, 3, KEYS], cache_bytes_max=cache)
    await processor.run()
    compare(MODEL, SETTINGS, log, store)
    assert len(log.predictions) == 2 * KEYS
    assert processor._calls.records.value == 10  # 40, 20, 10
    assert max(store.sizes) == 10
    waits_long = error is NO_ANSWER and small_bytes
    assert (sum(naps) >= 2 * SETTINGS.redis_retry_s) == bool(waits_long)
    if not waits_long:
        assert store.refused == (2 if error is TOO_LARGE else 4)


async def test_two_connections_that_were_cut_make_no_micro_batch_smaller():
    """Two cache misses are no proof of a limit, although the store answers the probe."""
    log, store = log_of(), SmallStore(KEYS)
    processor, _ = processor_of(log, store, sizes=[2, KEYS])
    store.cut = 2
    await processor.run()
    compare(MODEL, SETTINGS, log, store)
    assert store.cut == 0
    assert processor._calls.records.value == SETTINGS.batch_events_max


async def test_micro_batches_grow_again_unless_the_server_named_the_limit(monkeypatch):
    """A failover in a large commit costs some small commits, and no person has to restart."""
    monkeypatch.setattr("stream_rnn.fold.store_calls.SMALL_BYTES", 0)
    for error, grown in ((NO_ANSWER, 40), (TOO_LARGE, 10)):
        store = SmallStore(KEYS, error)
        processor, _ = processor_of(MemoryLog([]), store, SETTINGS.replace(batch_events_max=40))
        calls = processor._calls
        for states in (40, 20):
            calls._shrink_records(states, error)
        assert calls.records.value == 10
        for _ in range(127):
            calls.note_success(RECORDS[:10])
            calls.note_success(RECORDS[:9])  # below the bound
        assert calls.records.value == 10
        calls.note_success(RECORDS[:10])
        assert calls.records.value == min(20, grown)
        for _ in range(128):
            calls.note_success(RECORDS[: calls.records.value])
        assert calls.records.value == grown
        calls.note_success(RECORDS)
        assert calls.records.value == grown


async def test_a_store_that_is_down_makes_no_micro_batch_smaller():
    """Only a store that answers small requests at the same time does."""
    log, store = log_of(), SmallStore(KEYS, down=7)
    processor, naps = processor_of(log, store)
    await processor.run()
    assert processor._calls.records.value == processor.settings.batch_events_max
    assert len(naps) >= 3


async def test_one_state_that_is_too_large_stops_the_worker():
    """A restart would end the same way; the message names what to raise."""
    log, store = log_of(1), SmallStore(0, TOO_LARGE)
    processor, _ = processor_of(log, store)
    with pytest.raises(ConfigError) as caught:
        await processor.run()
    size = processor._codec.state_bytes
    content = f"takes no request with one hidden state of {size} bytes and its key of 1 bytes (max"
    assert content in str(caught.value)


async def test_one_state_without_an_answer_is_no_proof():
    """The worker is restarted if Redis was flapping, and stops after enough failures."""
    for retry_s, error in ((0.0, UnavailableError), (60, ConfigError)):
        log, store = log_of(1), SmallStore(0)
        processor, _ = processor_of(log, store, SETTINGS.replace(redis_retry_s=retry_s))
        with pytest.raises(error):
            await processor.run()


@pytest.mark.parametrize("call", ["read", "start"])
async def test_a_refused_call_that_no_setting_makes_smaller_stops_the_worker(call, monkeypatch):
    """The message names the call and the remedy; a restart would end the same way."""
    store = SmallStore(KEYS)

    async def refuse(*_arguments):
        raise TOO_LARGE

    monkeypatch.setattr(store, call, refuse)
    processor, naps = processor_of(log_of(), store)
    name = {"read": "read the position", "start": "write the first position"}[call]
    with pytest.raises(ConfigError, match=rf"events\[0\]: cannot {name}: max .*raise the limit"):
        await processor.run()
    assert naps == []


class ExpiryStore(MemoryStore):
    """A store that refuses large requests of the sweep, and records all of them.

    Args:
        error: Error for a larger request.
        deletes: Greatest number of deletes in a commit.
        fields: Greatest number of states in a page.
    """

    def __init__(self, error, deletes=KEYS, fields=KEYS) -> None:
        super().__init__()
        self.error, self.deletes, self.fields = error, deletes, fields
        self.commits, self.pages, self.naps = [], [], []

    async def commit(self, commit) -> None:
        """Commit, unless there are too many deletes."""
        self.naps.append(10)  # the sweep waits for its interval
        self.commits.append((len(commit.writes), len(commit.deletes)))
        if len(commit.deletes) > self.deletes:
            raise self.error
        await super().commit(commit)

    async def scan(self, position, cursor, count):
        """Scan, unless the page is too large."""
        self.pages.append(count)
        if count > self.fields:
            raise self.error
        return await super().scan(position, cursor, count)


async def fold_expiring(store):
    """Fold 30 keys, then 10 events of another key after these have expired."""
    settings = SETTINGS.replace(state_ttl=10.0, sweep_fields_max=40, sweep_interval_s=0.001)
    keys_times = [(b"old%d" % i, i) for i in range(30)]
    keys_times += [(b"new", 1_000_000 + i) for i in range(10)]
    event = {"x": 0.5, "kind": "A"}
    log = MemoryLog([record(i, key, event, ms) for i, (key, ms) in enumerate(keys_times)])
    processor, naps = processor_of(log, store, settings, sizes=[30, *[1] * 10])
    store.naps = naps
    await processor.run()
    assert set(store.states) == {b"new"}
    assert len(log.predictions) == 40
    assert processor._calls.records.value == SETTINGS.batch_events_max


@pytest.mark.parametrize("error", [NO_ANSWER, TOO_LARGE])
async def test_expired_states_never_make_a_commit_too_large(error):
    """One write with many deletes goes without them, and they leave in smaller requests."""
    store = ExpiryStore(error, deletes=9)
    await fold_expiring(store)
    commits = list(dict.fromkeys(store.commits))
    assert commits[:3] == [(30, 0), (1, 30), *([(0, 0)] if error is NO_ANSWER else [(1, 0)])]
    assert (1, 0) in commits


@pytest.mark.parametrize("error", [NO_ANSWER, TOO_LARGE, UnavailableError("OOM")])
async def test_a_sweep_that_fails_costs_no_commit_and_reads_smaller_pages(error, caplog):
    """It only frees memory; one line of the log names it."""
    store = ExpiryStore(error, fields=11)
    await fold_expiring(store)
    assert list(dict.fromkeys(store.pages))[:3] == [60, 30, 15]
    assert caplog.text.count("Redis delivered no page") == 1
    assert store.commits[:3] == [(30, 0), (1, 0), (1, 0)]


async def test_a_new_state_is_owed_once_and_found_keys_are_kept_when_a_later_page_fails():
    """A failed page neither adds to the debt nor drops what earlier pages have found."""
    store = ExpiryStore(NO_ANSWER)
    settings = SETTINGS.replace(state_ttl=10.0, sweep_fields_max=5, sweep_interval_s=1000.0)
    processor, naps = processor_of(MemoryLog([]), store, settings)
    naps.append(1)
    sweep, codec = processor._sweep, processor._codec
    store.states = dict.fromkeys(
        (b"%d" % i for i in range(40)), codec.encode(States.empty(1, codec.floats))[0]
    )
    store.stored = StoredPosition(0, 0, keys=40, fields=40)
    sweep._page.value, sweep._next_s = 10, 5000.0

    async def scan(position, cursor, count):
        if cursor:
            raise NO_ANSWER
        return await MemoryStore.scan(store, position, cursor, count)

    store.scan = scan
    assert await sweep.expired(0, 1_000_000, [b"3"], 20) == [b"%d" % i for i in range(10) if i != 3]
    assert sweep._owed == 0
