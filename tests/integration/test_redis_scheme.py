"""A URL of Redis with TLS for a port that has none, and the reverse."""

import pytest

from stream_rnn.errors import UnreachableError
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_by_settings
from stream_rnn.store.server_checks import check_redis
from tests.integration.certificates import make_certificates
from tests.integration.redis_kinds import TlsProxy

pytestmark = [pytest.mark.timeout(60), pytest.mark.integration]


async def refusal(url) -> str:
    """Return why a worker that begins finds no Redis."""
    settings = Settings.build(redis_url=url, redis_timeout_s=1)
    redis = connect_by_settings(settings)
    try:
        with pytest.raises(UnreachableError) as error:
            await check_redis(redis, settings)
    finally:
        await redis.aclose()
    return str(error.value)


async def test_a_port_of_the_other_kind_names_the_other_scheme(redis_url, tmp_path):
    """The server does not answer, or closes the connection; a port without a server names none."""
    message = await refusal(redis_url.replace("redis://", "rediss://", 1))
    assert message.endswith("check --redis-url: if the port has no TLS, write redis://")
    make_certificates(tmp_path)
    async with TlsProxy(tmp_path, 1) as proxy:
        message = await refusal(f"redis://127.0.0.1:{proxy.port}/0")
    assert message.endswith("check --redis-url: if the port has TLS, write rediss://")
    for scheme in ("redis", "rediss"):
        message = await refusal(f"{scheme}://127.0.0.1:1/0")
        assert message.endswith("start it, or check --redis-url")
