"""The schemas of a source topic in Redis: one hash for each app and source.

    {app:source}:schemas    hash: schema id -> line of JSON (``formats/schema_file.py``)

All folds of the app share it, because an id means the same to each.  The first writer of an id wins,
so that all workers take the same schema for it.  A worker writes it before it decodes a record of the id.
"""

import secrets
from collections.abc import Mapping
from typing import cast

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore

CHUNK = 100
BYTES_MAX = 256_000_000


class RedisSchemas:
    """Keeps lines of schemas.

    Args:
        redis: Client that returns raw bytes.
        settings: App, source and deadline.
    """

    def __init__(self, redis: Redis, settings: FoldSettings) -> None:
        self._redis = redis
        self.key = f"{{{settings.app}:{settings.source}}}:schemas"
        self._calls = RedisStore(
            redis, f"{settings.app}:{settings.source}", settings.redis_timeout_s
        )
        self._calls.position_key = self._calls.hidden_key = self.key  # in its messages

    async def get(self, schema_id: str) -> bytes | None:
        """Return the line of an id; ``None`` if there is none.

        Raises:
            UnavailableError: Redis does not answer.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(self.key, schema_id)
            (line,) = await self._calls.await_reply(pipe.execute())
        return cast("bytes | None", line)

    async def keep(self, lines: Mapping[str, bytes]) -> dict[str, bytes]:
        """Write the lines of ids that have none, and return the lines that the ids have now.

        Raises:
            UnavailableError: Redis does not answer.
        """
        kept: dict[str, bytes] = {}
        ids = list(lines)
        for first in range(0, len(ids), CHUNK):
            chunk = ids[first : first + CHUNK]
            async with self._redis.pipeline(transaction=True) as pipe:
                for schema_id in chunk:
                    pipe.hsetnx(self.key, schema_id, cast("str", lines[schema_id]))
                pipe.hmget(self.key, chunk)
                *_, found = await self._calls.await_reply(pipe.execute())
            kept.update(zip(chunk, found, strict=True))
        return kept

    async def read_all(self) -> dict[str, bytes]:
        """Return all lines by their ids.

        Raises:
            UnavailableError: Redis does not answer.
            ConfigError: They are larger than any worker writes.
        """
        lines: dict[str, bytes] = {}
        cursor = size = 0
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hscan(self.key, cursor, count=CHUNK)
                ((cursor, page),) = await self._calls.await_reply(pipe.execute())
            for schema_id, line in page.items():
                size += len(line)
                lines[schema_id.decode()] = line
            if size > BYTES_MAX:
                raise ConfigError(
                    f"{self.key} has more than {BYTES_MAX:,} bytes; another program writes to it: "
                    "stop it, and delete the key"
                )
            if not cursor:
                return lines

    async def check_right(self) -> None:
        """Run the command that keeps a schema on a key of its own, which does not remain.

        Raises:
            ConfigError: The user may not run it; the message names the command.
            UnavailableError: Redis does not answer, or takes no write.
        """
        key = f"{self.key}:doctor-{secrets.token_hex(4)}"
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(key, "7", "")
            pipe.unlink(key)
            await self._calls.await_reply(pipe.execute())

    async def drop(self) -> None:
        """Delete all lines."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.execute_command("UNLINK", self.key)
            await self._calls.await_reply(pipe.execute())
