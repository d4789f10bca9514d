"""Planted secrets: no log at any level, page, metric, message or traceback contains one."""

import asyncio
import io
import logging
import re
import secrets as random_secrets
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from time import time  # noqa: TID251  # how late predictions are

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.cli import main
from stream_rnn.errors import StreamRNNError
from stream_rnn.local.redis import LocalRedis
from stream_rnn.operate.dashboard import Dashboard
from stream_rnn.operate.dashboard_data import DashboardData
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.settings import Settings
from stream_rnn.worker.app import make_app
from tests.integration.oauth_kafka import PASSWORD, OAuthKafka
from tests.integration.streams import Stream, mixed_records
from tests.integration.token_server import SECRET, TokenServer
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(240), pytest.mark.integration]
REDIS_PASSWORD = f"r3dis-{random_secrets.token_hex(4)}"
SESSION_MS = 4000


@pytest.fixture(scope="module")
def tokens():
    """Return a server of tokens."""
    with TokenServer(60) as server:
        yield server


@pytest.fixture(scope="module")
def kafka(tokens):
    """Return a broker that takes tokens and passwords."""
    with run_server(OAuthKafka(tokens, SESSION_MS)) as broker:
        yield broker


@pytest.fixture(scope="module")
def redis():
    """Return a Redis that requires a password."""
    with run_server(LocalRedis(arguments=["--requirepass", REDIS_PASSWORD])) as server:
        yield server.redis_url.replace("redis://", f"redis://:{REDIS_PASSWORD}@")


@pytest.fixture
def everything():
    """Return a text of all logs of the process, at every level, with tracebacks."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    before = root.level
    levels = {
        name: logging.getLogger(name).level for name in ("aiokafka", "faust", "mode", "redis")
    }
    root.addHandler(handler)
    for name in ("", *levels):
        logging.getLogger(name or None).setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def get(url) -> str:
    """Return what a server answers."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def verb(*words) -> str:
    """Return everything that a verb prints, whether it succeeds or fails."""

    def call():
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(out), suppress(SystemExit):
            main(list(words))
        return out.getvalue()

    return await asyncio.to_thread(call)


@pytest.mark.parametrize("login", ["tokens", "password"])
async def test_a_secret_is_nowhere(login, kafka, tokens, redis, app_id, tmp_path, everything):
    """While a fold runs, while verbs print, and while errors are raised and formatted."""
    path = tmp_path / "client.properties"
    config = kafka.client_config(path) if login == "tokens" else kafka.password_config(path)
    url_file = tmp_path / "redis-url"
    url_file.write_text(redis)
    stream = Stream(app_id, kafka.bootstrap_servers, redis, tmp_path)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(stream.settings.source, 2, 1)])
    await admin.close()
    await stream.produce(mixed_records(60, seed=97))
    names = ("app", "source", "predictions", "bundle")
    place = {name: getattr(stream.settings, name) for name in names}
    settings = Settings.build(
        **place, kafka_config=config, redis_url_file=str(url_file), health_address="127.0.0.1:0"
    ).of_fold()
    seen = [repr(settings), str(settings.model_dump()), settings.model_dump_json()]

    rnn = make_app(settings)
    seen += [repr(rnn), repr(rnn.app.conf.broker_credentials), repr(rnn.app)]
    async with rnn.app:
        await stream.until_published()
        address = re.search(r"health address=(\S+)", everything.getvalue())[1]
        seen += [await get(f"{address}/{page}") for page in ("metrics", "ready", "live")]
        async with (
            open_fold(settings) as fold,
            Dashboard(DashboardData(fold, [address], time), 0) as dashboard,
        ):
            seen += [await get(dashboard.address), await get(f"{dashboard.address}now")]
    words = [f"--{name}={value}" for name, value in place.items()]
    words += [f"--kafka-config={config}"]
    with_redis = [*words, f"--redis-url-file={url_file}"]
    seen += [
        await verb("doctor", "--json", *with_redis),
        await verb("state", "show", "--json", *with_redis),
        await verb("audit", "--json", *words),
        await verb("doctor", "--json", *words, f"--redis-url={redis.replace('@', 'x@')}"),
        await verb("state", "show", *words, f"--redis-url={redis.replace('redis:', 'rodis:')}"),
    ]
    path.write_text(path.read_text().replace("security.protocol=", "security.protocl="))
    seen.append(await verb("doctor", *with_redis))
    try:
        make_app(settings)
    except StreamRNNError as error:
        seen.append("".join(traceback.format_exception(error)))

    planted = [PASSWORD, SECRET, REDIS_PASSWORD, *tokens.tokens]
    text = "\n".join([everything.getvalue(), *seen])
    assert "SaslHandShakeRequest" in text, "the log of the clients is part of the text"
    assert "security.protocl is not supported" in text
    assert "stream_rnn_lag_records" in text
    assert not [secret for secret in planted if secret in text]
