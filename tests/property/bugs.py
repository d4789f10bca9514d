"""Seeded bugs: components that each violate one rule of the protocol."""

from dataclasses import replace

from stream_rnn.errors import ForgottenError, MovedError
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.store.cache import StateCache
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.state import FirstPosition, States
from stream_rnn.testing import MemoryLog
from tests.property.broker import TransactionalPublisher


class CommitsFirst(Processor):
    """Commits in Redis before it publishes."""

    _held_back = None
    _is_in_batch = False

    async def process(self, records, next_position):
        self._is_in_batch = True
        try:
            await super().process(records, next_position)
        finally:
            self._is_in_batch = False

    async def _publish(self, predictions, dead_letters, offset, records=0):
        if self._is_in_batch:
            self._held_back = (predictions, dead_letters, offset, records)
        else:
            await super()._publish(predictions, dead_letters, offset, records)

    async def _commit(self, records, batch, stepped, next_position):
        await super()._commit(records, batch, stepped, next_position)
        if self._held_back is not None:
            held_back, self._held_back = self._held_back, None
            await super()._publish(*held_back)


class LoadsAnything(MemoryStore):
    """Loads states without comparing the position."""

    async def load(self, position, origin, keys):  # noqa: ARG002  # this is the bug
        return [self.states.get(key) for key in keys]


class FencesLate(TransactionalPublisher):
    """Fences the previous owner at the first publish, after the group offset was read."""

    async def start(self):
        pass

    async def publish(self, predictions, dead_letters, group_offset):
        if not self._epoch:
            await super().start()
        await super().publish(predictions, dead_letters, group_offset)


class TrustsItsCache(Processor):
    """Keeps the cache if recovery starts at the current position; correct if the cache is correct.

    This optimization is allowed: Redis contains the states that were committed at this position.
    """

    async def _begin(self, *, is_corrupt=False):
        before, cache = (self.position, self.origin), self.cache
        self.cache = StateCache(self.model.state_size_floats, 0)
        await super()._begin(is_corrupt=is_corrupt)
        self.cache = cache
        if (self.position, self.origin) != before:
            cache.clear()


class FillsItsCacheFirst(TrustsItsCache):
    """Fills the cache before Redis has accepted the commit."""

    async def _commit(self, records, batch, stepped, next_position):
        rows = [i for i, exists in enumerate(stepped.exists) if exists]
        new = stepped.states
        states = States(new.steps[rows], new.last_ms[rows], new.hidden[rows])
        self.cache.put([batch.keys[i] for i in rows], states)
        await super()._commit(records, batch, stepped, next_position)


class FencesUnasked(TransactionalPublisher):
    """Fences the previous owner without checking that it still owns the partition."""

    async def start(self):
        await self._call("start", self._start)


class FencesAgain(Processor):
    """Starts the producer at each recovery; correct if the producer checks the ownership."""

    _has_begun = False

    async def _begin(self, *, is_corrupt=False):
        if self._has_begun:
            await self.publisher.start()
        self._has_begun = True
        await super()._begin(is_corrupt=is_corrupt)


class TrustsItsBatch(Processor):
    """Restarts a forgotten producer and publishes again, without reading the outcome."""

    async def _publish(self, predictions, dead_letters, offset, records=0):
        try:
            await super()._publish(predictions, dead_letters, offset, records)
        except ForgottenError:
            await self.publisher.start()
            copies = [[Message(*m) for m in messages] for messages in (predictions, dead_letters)]
            await super()._publish(*copies, offset, records)


class KeptCache(StateCache):
    """Keeps its states when the worker is moved to another position."""

    def clear(self):
        if not hasattr(self, "_row"):
            super().clear()


class IgnoresOrigin(MemoryStore):
    """Compares only the position, not the origin, in load, start and commit."""

    async def start(self, seen, first: FirstPosition):
        if self.stored.position == seen.position:
            seen = replace(seen, origin=self.stored.origin)
        await super().start(seen, first)

    def _check(self, position, origin):  # noqa: ARG002  # this is the bug
        if self.stored.position != position:
            raise MovedError(f"the position is {self.stored.position}, expected {position}")
        super()._check(position, self.stored.origin)


class SkipsLastPrediction(MemoryLog):
    """Never returns the last prediction."""

    async def last_output(self, _number_min=0):
        return None


class AcceptsForeignOffsets(Recovery):
    """Publishes from a group offset that no fold has written, without having been asked to."""

    async def find(self, acknowledged=None, *, is_corrupt=False):
        self.options = replace(self.options, on_foreign_offset="accept")
        return await super().find(acknowledged, is_corrupt=is_corrupt)


class LeavesGroupOffset(Recovery):
    """Accepts lost history without writing the group offset."""

    async def find(self, acknowledged=None, *, is_corrupt=False):
        facts, start = await super().find(acknowledged, is_corrupt=is_corrupt)
        return facts, replace(start, write_group_offset=None) if start.lost else start
