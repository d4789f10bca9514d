"""The processor: its five steps and its reactions to errors."""

import json

import pytest

from stream_rnn.errors import (
    FencedError,
    MovedError,
    UnavailableError,
)
from stream_rnn.fold.crash_points import Point
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.processor import REPOSITIONS_MAX
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings
from stream_rnn.store import retry
from stream_rnn.testing import (
    MemoryLog,
    MemoryPublisher,
    MemoryStore,
    memory_processor,
    record,
)
from tests import models, oracle

MODEL = models.small()


def settings_of(**more):
    """Return settings with some values replaced."""
    return Settings.build(app="app", source="events", predictions="out", **more)


SETTINGS = settings_of()
OURS = fold_id(MODEL.fingerprint, SETTINGS)


def events(*offsets):
    """Return a valid record at each offset, of two keys in turn."""
    return [record(o, b"ab"[o % 2 : o % 2 + 1], {"x": o / 8, "kind": "A"}, o) for o in offsets]


def published(log):
    """Return the source offsets of the predictions."""
    return [json.loads(message.value)["source"]["offset"] for message in log.predictions]


def same_as_the_oracle(log, store, settings=SETTINGS):
    """Return whether predictions and states equal the oracle's."""
    truth = oracle.fold(MODEL, settings, log.records)
    values = [json.loads(message.value) for message in log.predictions]
    states = {key: value[16:] for key, value in store.states.items()}
    return values == list(truth.predictions.values()) and states == {
        key: hidden for key, (_, _, hidden) in truth.states.items()
    }


class Unreliable(MemoryStore):
    """A store of which each named call fails a given number of times."""

    def __init__(self, error, **failures):
        super().__init__()
        self.error = error
        self.failures = failures

    def _fail_when_due(self, name):
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise self.error

    async def read(self):
        self._fail_when_due("read")
        return await super().read()

    async def load(self, position, origin, keys):
        self._fail_when_due("load")
        return await super().load(position, origin, keys)

    async def start(self, seen, first):
        self._fail_when_due("start")
        await super().start(seen, first)

    async def commit(self, commit):
        self._fail_when_due("commit")
        await super().commit(commit)
        self._fail_when_due("answer")


class Clock:
    """A monotonic clock in seconds that advances by the sleeps so far."""

    def __init__(self, slept):
        self._slept = slept

    def __call__(self):
        return sum(self._slept)


async def test_every_point_is_passed():
    """A run with a bad record passes all points, so tests can inject a crash at each of them."""
    points = []
    log = MemoryLog([*events(0, 1), record(2, b"a", b"nope"), *events(3)])
    await memory_processor(MODEL, log, MemoryStore(), SETTINGS, at_crash_point=points.append).run()
    of_cut_overs = {Point.PAUSED, Point.CUT_OVER}
    assert (
        set(points) == set(Point) - {Point.RECORD_READ} - of_cut_overs
    )  # a new fold compares no record
    assert len(log.dead_letters) == 1


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_forged_headers_of_a_record_do_not_count_as_an_output(delivery):
    """A bad record has the headers of an output; the worker dies after its dead letter."""
    forged = [("sr-app", b"app"), ("sr-topic", b"events"), ("sr-partition", b"0")]
    forged += [("sr-offset", b"5"), ("sr-fold", OURS.encode()), ("sr-origin", b"0")]
    records = [*events(0, 1, 2, 3, 4), LogRecord(5, 5, b"a", b"nope", tuple(forged))]
    log, store, settings = MemoryLog(records), MemoryStore(), settings_of(delivery=delivery)

    sent = []

    def dies(point):
        sent.extend([point] if point is Point.DEAD_LETTERS_SENT else [])
        if len(sent) == 2:  # the first publish has only the group offset
            raise KeyboardInterrupt

    is_transactional = delivery == "exactly_once"
    dying = MemoryPublisher(log, is_transactional, at_crash_point=dies)
    with pytest.raises(KeyboardInterrupt):
        await memory_processor(MODEL, log, store, settings, publisher=dying).run()
    assert bool(log.dead_letters) != is_transactional
    again = MemoryPublisher(log, is_transactional)
    await memory_processor(MODEL, log, store, settings, publisher=again).run()
    assert published(log) == [0, 1, 2, 3, 4]


async def test_a_processor_counts_its_records():
    """It counts events, forgets, predictions, and skips by code."""
    records = [*events(0, 1), record(2, b"a", b"nope"), record(3, b"a", None), *events(4)]
    processor = memory_processor(MODEL, MemoryLog(records), MemoryStore(), SETTINGS, sizes=[2, 3])
    await processor.run()
    counts = processor.counts
    assert (counts.events, counts.forgets, counts.predictions) == (3, 1, 3)
    assert (counts.skips, counts.batches, counts.silent) == ({"not_json": 1}, 2, 0)


async def test_a_batch_that_straddles_the_group_offset_publishes_only_from_it_on():
    """Records below the group offset are folded silently, and have no new dead letters either."""
    records = [*events(0, 1), record(2, b"a", b"nope"), *events(3, 4, 5), record(6, b"a", b"no")]
    log, store = MemoryLog(records, group=GroupOffset(4, OURS, 0)), MemoryStore()
    await memory_processor(MODEL, log, store, SETTINGS).run()
    truth = oracle.fold(MODEL, SETTINGS, records)
    assert published(log) == [4, 5]
    assert [dict(m.headers)["sr-offset"] for m in log.dead_letters] == [b"6"]
    assert json.loads(log.predictions[1].value) == truth.predictions[5]
    assert (store.stored.position, log.group) == (7, GroupOffset(7, OURS, 0))


async def test_a_silent_batch_writes_no_group_offset():
    """A batch that ends at the group offset sends nothing to Kafka."""

    class Refusing(MemoryPublisher):
        async def publish(self, *_messages):
            raise AssertionError("a silent batch was published")

    log, store = MemoryLog(events(0, 1, 2), group=GroupOffset(3, OURS, 0)), MemoryStore()
    processor = memory_processor(MODEL, log, store, SETTINGS, publisher=Refusing(log))
    await processor.run()
    assert (log.predictions, log.group) == ([], GroupOffset(3, OURS, 0))
    assert (store.stored.position, processor.counts.silent) == (3, 3)


async def test_acknowledged_outputs_are_not_published_again(naps):
    """Kafka may return an older group offset than that of this assignment's last publish."""

    class Behind(MemoryLog):
        async def group_offset(self):
            return None if self.group is None else GroupOffset(0, OURS, 0)

    log, store = Behind(events(0, 1, 2)), Unreliable(MovedError("once"), commit=1)
    await memory_processor(MODEL, log, store, SETTINGS, sizes=[2, 2, 1]).run()
    assert (published(log), len(naps)) == ([0, 1, 2], 1)
    assert same_as_the_oracle(log, store)


@pytest.mark.parametrize("call", ["read", "load", "start", "commit"])
async def test_an_unavailable_store_is_retried_with_back_off(naps, call):
    """After four failures with growing waits the call succeeds, and the result is exact."""
    log, store = MemoryLog(events(0, 1, 2)), Unreliable(UnavailableError("down"), **{call: 4})
    processor = memory_processor(MODEL, log, store, SETTINGS)
    processor._calls.clock = Clock(naps)
    await processor.run()
    assert naps == [0.05, 0.1, 0.2, 0.4]
    assert processor.store_error == ""
    assert same_as_the_oracle(log, store)


async def test_a_store_that_stays_unavailable_ends_the_fold(naps):
    """After ``redis_retry_s`` the processor raises the error; no wait exceeds ``RETRY_LAST_S``."""
    log, store = MemoryLog(events(0)), Unreliable(UnavailableError("down"), commit=1000)
    processor = memory_processor(MODEL, log, store, settings_of(redis_retry_s=10))
    processor._calls.clock = Clock(naps)
    with pytest.raises(UnavailableError, match="down"):
        await processor.run()
    assert processor.store_error == "down"
    assert max(naps) == retry.RETRY_LAST_S
    assert 10 <= sum(naps) < 10 + retry.RETRY_LAST_S


async def test_a_commit_whose_answer_was_lost_is_not_folded_twice(naps):
    """The repeated commit is ``moved``, the partition repositions, and every event counts once."""
    log, store = MemoryLog(events(0, 1, 2)), Unreliable(UnavailableError("lost"), answer=1)
    processor = memory_processor(MODEL, log, store, SETTINGS, sizes=[2, 1])
    processor._calls.clock = Clock(naps)
    await processor.run()
    assert same_as_the_oracle(log, store)
    assert processor.counts.positioned == 2


async def test_repositions_are_bounded(naps):
    """A store that always answers ``moved`` ends the fold, with the count and the reason."""
    log, store = MemoryLog(events(0)), Unreliable(MovedError("somebody else"), load=1000)
    with pytest.raises(FencedError, match=f"positioning {REPOSITIONS_MAX} times: somebody else"):
        await memory_processor(MODEL, log, store, SETTINGS).run()
    assert 1000 - store.failures["load"] == len(naps) + 1
    assert len(naps) == REPOSITIONS_MAX
    assert (log.predictions, store.states) == ([], {})


async def test_progress_between_two_failures_resets_the_count(naps):
    """More failures than the bound are allowed if a micro-batch is folded in between."""

    class EveryOther(MemoryStore):
        commits = 0

        async def commit(self, commit):
            EveryOther.commits += 1
            if EveryOther.commits % 2:
                raise MovedError("now and then")
            await super().commit(commit)

    count = REPOSITIONS_MAX + 10
    log, store = MemoryLog(events(*range(count))), EveryOther()
    await memory_processor(MODEL, log, store, SETTINGS, sizes=[1] * 3 * count).run()
    assert len(naps) >= count
    assert same_as_the_oracle(log, store)
