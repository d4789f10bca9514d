"""``state expire`` reads the states of one partition at a time, and counts them exactly."""

from types import SimpleNamespace

from stream_rnn.operate import expiry
from stream_rnn.operate.distinct_keys import DistinctKeys
from stream_rnn.operate.expiry import Silence
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import StateCodec
from stream_rnn.testing import MemoryLog, memory_processor, record
from tests import models

SETTINGS = Settings.build(app="app", source="events", predictions="out", state_ttl=600.0)
MODEL = models.small("gru")
KEYS, LATER = 3000, 1700
NOW_MS = 1_767_225_600_000


class WatchedStore(RedisStore):
    """A store that notes the partition of each reply that it awaits."""

    order: list[str]

    async def await_reply(self, call):
        """Await a reply, after a note."""
        self.order.append(self.hidden_key)
        return await super().await_reply(call)


async def test_one_partition_after_another_is_counted(app_id, redis_url, monkeypatch):
    """Some of its states are expired now and some are not; the sample is smaller than they are."""
    monkeypatch.setattr(expiry, "DistinctKeys", lambda: DistinctKeys(hashes_max=100))
    redis, order, places = connect_redis(redis_url, 5), [], []
    event = {"x": 0.5, "kind": "A"}
    times_ms = [NOW_MS - 700_000] * (KEYS - LATER) + [NOW_MS - 500_000] * LATER
    try:
        for partition in range(3):
            store = WatchedStore(redis, f"{app_id}:t:{partition}:f", 5)
            store.order = order
            log = MemoryLog([record(i, b"%d" % i, event, ms) for i, ms in enumerate(times_ms)])
            processor = memory_processor(MODEL, log, store, SETTINGS, partition=partition)
            await processor.run()
            places.append(SimpleNamespace(partition=partition, store=store, log=log))
        order.clear()
        silence = Silence(ttl_s=600, least_s=0, now_ms=NOW_MS)
        codec = StateCodec(MODEL.hidden_size_floats)
        plans = await expiry._plan_each(places, codec, silence)
    finally:
        await redis.aclose()
    assert [(plan.keys, plan.stays, plan.reason) for plan in plans] == [(KEYS, LATER, "")] * 3
    assert order == sorted(order)
    assert len(order) > 3 * 3
