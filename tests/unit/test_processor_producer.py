"""The processor and its producer: one that is too slow, and one that Kafka has forgotten."""

import pytest

from stream_rnn.errors import (
    FencedError,
    ForgottenError,
    TooSlowError,
)
from stream_rnn.fold.processor import REPOSITIONS_MAX
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.testing import (
    MemoryLog,
    MemoryPublisher,
    MemoryStore,
    memory_processor,
    record,
)
from tests import models
from tests.unit.test_processor import (
    MODEL,
    SETTINGS,
    events,
    published,
    same_as_the_oracle,
    settings_of,
)


class Forgotten(MemoryPublisher):
    """A publisher whose producer Kafka forgets a number of times, before or after publishing."""

    __slots__ = ("is_published", "starts", "times")

    def ready(self, times, *, is_published=False):
        """Set the number of failures, and whether the failing publish succeeds; return self."""
        self.times, self.is_published, self.starts = times, is_published, 0
        return self

    async def start(self):
        self.starts += 1
        await super().start()

    async def publish(self, predictions, dead_letters, group_offset):
        is_forgotten = bool(predictions) and self.times > 0
        if not is_forgotten or self.is_published:
            await super().publish(predictions, dead_letters, group_offset)
        if is_forgotten:
            self.times -= 1
            raise ForgottenError("forgotten")


class Slow(MemoryPublisher):
    """A publisher whose transactions of more than some outputs end too late."""

    outputs_max = 2
    sizes: list[int]

    async def publish(self, predictions, dead_letters, group_offset):
        self.sizes.append(len(predictions))
        if len(predictions) > self.outputs_max:
            raise TooSlowError("too slow")
        await super().publish(predictions, dead_letters, group_offset)


async def test_a_publish_that_is_too_slow_is_repeated_in_smaller_parts(naps):
    """Never with the same size, and what is published and stored equals the oracle."""
    log, store = MemoryLog(events(*range(10))), MemoryStore()
    publisher = Slow(log)
    publisher.sizes = []
    processor = memory_processor(MODEL, log, store, SETTINGS, sizes=[10], publisher=publisher)
    await processor.run()
    assert publisher.sizes[:3] == [0, 10, 5]
    assert publisher.sizes[3] == 2
    assert published(log) == list(range(10))
    assert same_as_the_oracle(log, store)
    assert naps


class Spans(MemoryPublisher):
    """A publisher that notes how many offsets each publish advances."""

    spans: list[int]

    async def publish(self, predictions, dead_letters, group_offset):
        self.spans.append(group_offset.offset - sum(self.spans))
        await super().publish(predictions, dead_letters, group_offset)


@pytest.mark.parametrize(
    "other",
    [b"nope", None, {"x": 0.5, "kind": "B"}],
    ids=["dead letters", "forgets", "filtered"],
)
@pytest.mark.parametrize("silent", [0, 10])
async def test_a_backlog_reaches_the_largest_micro_batch_although_half_has_no_prediction(
    other, silent
):
    """The bound of a publish doubles with every micro-batch that it cuts."""
    settings = settings_of(batch_events_max=64)
    log, store = MemoryLog(events(*range(250))), MemoryStore()
    log.records[1::2] = [record(i, b"b", other, i) for i in range(1, 250, 2)]
    publisher = Spans(log)
    publisher.spans = []
    only = [{"path": "kind", "in": ["A"]}]
    model = models.of(models.SPEC | {"event": {"key": ["key"], "only": only}})
    processor = memory_processor(model, log, store, settings, sizes=[250], publisher=publisher)
    if silent:
        log.group = GroupOffset(silent, processor.fold_id, 0)
    processor.pace.records_max = 4
    await processor.run()
    spans = [span for span in publisher.spans if span]
    assert spans == ([14, 8, 16, 32, 64, 64, 52] if silent else [4, 8, 16, 32, 64, 64, 62])


@pytest.mark.parametrize("is_published", [False, True])
async def test_a_forgotten_producer_is_started_again_and_the_batch_folded_again(naps, is_published):
    """Whether the publish succeeded or not, the start decides its outcome, and the fold goes on."""
    log, store = MemoryLog(events(0, 1, 2)), MemoryStore()
    publisher = Forgotten(log).ready(2, is_published=is_published)
    processor = memory_processor(MODEL, log, store, SETTINGS, sizes=[1, 1, 1], publisher=publisher)
    await processor.run()
    assert publisher.starts == 3
    assert published(log) == [0, 1, 2]
    assert same_as_the_oracle(log, store)
    assert processor.pace.since_s is None
    assert naps


async def test_recovery_reads_the_outputs_again_after_a_start(naps):
    """Even if the group offset is lost, a forgotten producer's batch is not published twice."""
    log, store = MemoryLog(events(0, 1, 2)), MemoryStore()

    class LosesC(Forgotten):
        __slots__ = ()

        async def start(self):
            if self.starts:
                self.log.group = None
            await super().start()

    publisher = LosesC(log).ready(1, is_published=True)
    await memory_processor(MODEL, log, store, SETTINGS, sizes=[1], publisher=publisher).run()
    assert published(log) == [0, 1, 2]
    assert same_as_the_oracle(log, store)
    assert naps


async def test_a_producer_that_is_forgotten_repeatedly_ends_the_fold(naps):
    """Without progress in between, the worker releases the partition."""
    log = MemoryLog(events(0))
    publisher = Forgotten(log).ready(REPOSITIONS_MAX + 1)
    processor = memory_processor(MODEL, log, MemoryStore(), SETTINGS, publisher=publisher)
    with pytest.raises(FencedError, match="no progress"):
        await processor.run()
    assert naps


async def test_the_start_of_a_forgotten_producer_may_find_another_owner(naps):
    """If the generation is over, nothing is published, and the worker releases the partition."""
    log = MemoryLog(events(0))

    class Over(Forgotten):
        __slots__ = ()

        async def start(self):
            if self.starts:
                raise FencedError("generation 1 is over")
            await super().start()

    publisher = Over(log).ready(1)
    processor = memory_processor(MODEL, log, MemoryStore(), SETTINGS, publisher=publisher)
    with pytest.raises(FencedError, match="is over"):
        await processor.run()
    assert published(log) == []
    assert naps
