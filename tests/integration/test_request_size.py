"""A real Redis behind what limits the size of a request: a proxy that refuses, closes or stalls."""

import asyncio
import math
from contextlib import asynccontextmanager, suppress

import pytest

from stream_rnn.errors import NoAnswerError
from stream_rnn.local.redis import LocalRedis
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import NO_COMMIT, Commit, FirstPosition
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from tests import models
from tests.property.test_fold import compare
from tests.shared_servers import run_server

pytestmark = pytest.mark.timeout(300)
RECORDS = 1000  # their load is too large, and so is that of half of them
REQUEST_BYTES = 300_000  # more than what is too small to be blamed soon
SETTINGS = Settings.build(app="app", source="events", predictions="out")
REFUSAL = b"-ERR max request size exceeded. Limit: 300000 bytes, Actual: 999999 bytes\r\n"


class LimitedProxy:
    """A proxy that counts the bytes of a request, which is what comes between two replies.

    Args:
        port: Port of the server behind it.
        limit: Bytes of a request above which it acts.
        refusal: What it replies to a larger request before it closes the connection; ``None`` to
            forward nothing more and to keep the connection, so that the client's deadline passes,
            as it does on a slow link.

    Attributes:
        refused: Number of requests that it has not forwarded.
    """

    def __init__(self, port, limit, refusal) -> None:
        self._behind = port
        self._limit, self._refusal = limit, refusal
        self.refused = 0

    @asynccontextmanager
    async def running(self):
        """Listen on a free port; yield the URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        finally:
            server.close()

    async def _serve(self, reader, writer) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        request_bytes = 0

        async def reply() -> None:
            nonlocal request_bytes
            while data := await up_reader.read(65536):
                request_bytes = 0
                writer.write(data)
                await writer.drain()

        replies = asyncio.create_task(reply())
        with suppress(OSError):
            while data := await reader.read(8192):
                request_bytes += len(data)
                if request_bytes > self._limit:
                    self.refused += 1
                    if self._refusal is None:
                        while await reader.read(65536):
                            pass
                    else:
                        writer.write(self._refusal)
                    break
                up_writer.write(data)
                await up_writer.drain()
        replies.cancel()
        await asyncio.gather(replies, return_exceptions=True)
        up_writer.close()
        writer.close()


class ProbedStore(RedisStore):
    """A store that counts the small requests after a failure to which Redis does not answer."""

    unanswered = 0

    async def commit(self, commit):
        """Commit."""
        try:
            await super().commit(commit)
        except NoAnswerError:
            self.unanswered += commit is NO_COMMIT
            raise


@pytest.mark.parametrize(
    ("refusal", "timeout_s", "tries"),
    [(b"", 20, {2}), (REFUSAL, 20, {1, 1.5, 2}), (None, 2, {2})],
    ids=["closes", "refuses", "stalls"],
)
async def test_a_fold_behind_a_limit_equals_the_oracle(
    refusal, timeout_s, tries, redis_url, app_id
):
    """It publishes each event once, and goes on with what the proxy takes.

    Each size is tried twice, because a connection that was cut fails once; a refusal is enough if
    it arrives, but the close behind it may overtake it.  A try after which Redis does not answer
    a small request either says nothing of the size, so it does not count.
    """
    settings = SETTINGS.replace(redis_timeout_s=timeout_s)
    keys = [b"%0700d" % i for i in range(RECORDS)]
    log = MemoryLog([record(i, key, {"x": 0.5, "kind": "A"}, i) for i, key in enumerate(keys)])
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    proxy = LimitedProxy(port, REQUEST_BYTES, refusal)
    async with proxy.running() as url:
        redis = connect_redis(url, timeout_s)
        store = ProbedStore(redis, f"{app_id}:t:0:f", timeout_s)
        processor = memory_processor(models.small("gru"), log, store, settings)
        await processor.run()
        await redis.aclose()
    direct = RedisStore(connect_redis(redis_url, 5), f"{app_id}:t:0:f", 5)
    copy = MemoryStore()
    copy.states = dict(await direct.redis.hgetall(direct.hidden_key))
    await direct.drop()
    await direct.redis.aclose()
    compare(models.small("gru"), settings, log, copy)
    assert len(log.predictions) == RECORDS
    halvings = round(math.log2(sum(map(len, keys)) / processor._calls.key_bytes.value))
    assert halvings == 2
    assert (proxy.refused - store.unanswered) / halvings in tries
    assert processor.position == RECORDS


async def test_redis_itself_takes_a_commit_that_is_larger_than_its_query_buffer(app_id):
    """It parses a command while it arrives, so client-query-buffer-limit does not limit a commit."""
    with run_server(LocalRedis(arguments=["--client-query-buffer-limit", "1mb"])) as started:
        redis = connect_redis(started.redis_url, 5)
        store = RedisStore(redis, f"{app_id}:t:0:f", 5)
        await store.start(await store.read(), FirstPosition(0, 0, 1, "n"))
        writes = [(b"%d" % i, bytes(272)) for i in range(16_384)]
        await store.commit(Commit(0, 0, 1, None, 1, "n", writes, []))
        assert len(await store.load(1, 0, [key for key, _ in writes])) == len(writes)
        await redis.aclose()
