"""Near spellings of a key that a fold has no hidden state of."""

from collections import defaultdict
from collections.abc import Awaitable
from typing import Any, cast

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.key_spellings import NearKey, Spellings
from stream_rnn.keys import similar_keys
from stream_rnn.operate.open_fold import Fold
from stream_rnn.store.redis_store import RedisStore

SAMPLED_PARTITIONS_MAX = 8
SAMPLED_KEYS = 100  # of a partition


async def find_near_keys(fold: Fold, key: bytes) -> tuple[list[NearKey], str]:
    """Return stored keys that may be another spelling of a key, and what was not looked at.

    The note is empty if Redis has refused no command.

    Tests in every partition whether the candidates exist: one HMGET each.  Reads one page of
    HSCAN of a few partitions, whose keys name the schema ids with which keys are framed, and
    what is around their values; those of them that resemble the key follow the other spellings.
    Never reads all keys.
    """
    sampled: list[list[bytes]] = []
    note = ""
    try:
        sampled = await gather_or_cancel(
            _sample(place.store) for place in fold.places[:SAMPLED_PARTITIONS_MAX]
        )
    except ConfigError as error:  # an ACL may refuse HSCAN, which only the sweep of workers needs
        note = f"stored keys were not sampled for other spellings, so some may be missing: {error}"
    sample = [stored for keys in sampled for stored in keys]
    spellings = Spellings(key)
    similar = similar_keys(key, set(sample) - {key})
    candidates = list(dict.fromkeys([*spellings.candidates(sample), *similar]))
    if not candidates:
        return [], note
    try:
        matches = await gather_or_cancel(
            _existing(place.store, candidates) for place in fold.places
        )
    except ConfigError as error:
        return [], f"no other spelling was looked for: {error}"
    partitions: dict[bytes, list[int]] = defaultdict(list)
    for place, existing in zip(fold.places, matches, strict=True):
        for stored in existing:
            partitions[stored].append(place.partition)
    near = [
        NearKey(stored, spellings.describe(stored) or "", tuple(partitions[stored]))
        for stored in candidates
        if stored in partitions
    ]
    return near, note


async def _sample(store: RedisStore) -> list[bytes]:
    call: Any = store.redis.hscan(store.hidden_key, 0, count=SAMPLED_KEYS)
    _, page = await store.await_reply(call)
    return list(page)


async def _existing(store: RedisStore, keys: list[bytes]) -> list[bytes]:
    call = store.redis.hmget(store.hidden_key, cast("list[str]", keys))  # redis-py types text
    values = await store.await_reply(cast("Awaitable[list[bytes | None]]", call))
    return [key for key, value in zip(keys, values, strict=True) if value is not None]
