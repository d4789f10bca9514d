"""The hidden states of a partition as of one commit: a copy in Redis, or what no worker changes."""

import contextlib
import secrets
from collections.abc import AsyncIterator

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.store.redis_store import RedisStore

COPY_TTL_S = 3600

Snapshot = tuple[dict[str, str] | None, str, int]
"""Fields of the position, name of the hash with the hidden states, and their number."""


@contextlib.asynccontextmanager
async def snapshot(store: RedisStore) -> AsyncIterator[Snapshot]:
    """Yield a copy of the hidden states, which commits do not change.

    If Redis refuses ``COPY``, the snapshot is the states themselves.

    Raises:
        ConfigError: The number of states is not the committed one; or Redis refuses ``COPY``, and
            a worker has committed meanwhile.
        UnavailableError: Redis did not answer.
    """
    copy = f"{store.hidden_key}:export-{secrets.token_hex(4)}"
    try:
        fields, count = await _copy(store, copy)
    except ConfigError as error:
        fields, count = await _read(store)
        yield _check(store, fields, count), store.hidden_key, count
        if await _read(store) != (fields, count):
            raise ConfigError(
                f"{store.position_key}: a worker has committed meanwhile, and an export without "
                f"stopping the workers needs COPY ({error}); stop the workers, and export again"
            ) from error
        return
    try:
        yield _check(store, fields, count), copy, count
    finally:
        with contextlib.suppress(UnavailableError):  # the copy then expires
            await store.await_reply(store.redis.unlink(copy))


async def _copy(store: RedisStore, copy: str) -> tuple[dict[bytes, bytes], int]:
    async with store.redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(store.position_key)
        pipe.execute_command("COPY", store.hidden_key, copy)
        pipe.expire(copy, COPY_TTL_S)
        pipe.hlen(copy)
        fields, _, _, count = await store.await_reply(pipe.execute())
    return fields, int(count)


async def _read(store: RedisStore) -> tuple[dict[bytes, bytes], int]:
    async with store.redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(store.position_key)
        pipe.hlen(store.hidden_key)
        fields, count = await store.await_reply(pipe.execute())
    return fields, int(count)


def _check(store: RedisStore, fields: dict[bytes, bytes], count: int) -> dict[str, str] | None:
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    if texts and int(texts["keys"]) != count:
        raise ConfigError(
            f"{store.hidden_key} has {count} hidden states, but its position counts "
            f"{texts['keys']}; start a worker, which rebuilds it, and export again"
        )
    return texts or None
