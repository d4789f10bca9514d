"""OAUTHBEARER on a real broker: signed tokens that expire, and sessions that the broker ends."""

import asyncio
import json
from contextlib import suppress

import faust
import pytest
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn import PredictionReader, StreamRNN
from stream_rnn.kafka.broker_connection import Connection
from stream_rnn.kafka.clients import new_admin, start_admin, stop_admin
from stream_rnn.kafka.connection import kafka_options
from tests.forked import ForkedWorker
from tests.integration.oauth_folds import SESSION_MS, TOKEN_S, WithTokens, ended
from tests.integration.oauth_kafka import OAuthKafka
from tests.integration.streams import mixed_records, run
from tests.integration.token_server import SECRET, TokenServer
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(240), pytest.mark.integration]
RENEWALS = 4


@pytest.fixture(scope="module")
def tokens():
    """Return a server of tokens."""
    with TokenServer(TOKEN_S) as server:
        yield server


@pytest.fixture(scope="module")
def kafka(tokens):
    """Return a broker that ends each session after a few seconds."""
    with run_server(OAuthKafka(tokens, SESSION_MS)) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _as_before(tokens):
    yield
    tokens.secret, tokens.is_down = SECRET, False
    tokens.claims, tokens.is_forged = {}, False


@pytest.fixture
async def stream(kafka, app_id, redis_url, tmp_path):
    """Return a fold whose source has records."""
    stream = WithTokens(app_id, kafka, redis_url, tmp_path)
    await stream.create()
    await stream.produce(mixed_records(60, seed=91))
    return stream


async def test_a_worker_folds_while_tokens_expire_and_sessions_end(stream, tokens, tmp_path):
    """It loses nothing, repeats nothing, and does not restart; no log contains a secret."""
    begun = tokens.issued
    worker = ForkedWorker("worker", stream.options(log_level="debug"), tmp_path)
    seed = 92
    try:
        await stream.until_published(worker=worker)
        async with asyncio.timeout(120):
            while tokens.issued < begun + RENEWALS:
                await stream.produce(mixed_records(20, seed=seed))
                seed += 1
                await asyncio.sleep(0.5)
        await stream.until_published(worker=worker)
    finally:
        status = await asyncio.to_thread(worker.stop)
    assert status == 0
    assert await stream.compare() > 60
    said = await run(
        "audit", "--json", *stream.words("app", "source", "predictions", "bundle", "kafka_config")
    )
    assert [json.loads(said)[name] for name in ("missing", "duplicated", "different")] == [0, 0, 0]
    log = worker.log.read_text()
    assert f"{stream.config}: ignored: client.dns.lookup, session.timeout.ms" in log
    assert not [secret for secret in (SECRET, *tokens.tokens) if secret in log]


async def until_a_session_ends(options) -> None:
    """Wait until the broker closes a connection that begins now, and that nobody replaces."""
    security = {name: value for name, value in options.items() if name.startswith(("sasl", "sec"))}
    host, port = options["bootstrap_servers"][0].split(":")
    connection = Connection(host, int(port), **security)
    await connection.connect()
    with suppress(KafkaError):
        async with asyncio.timeout(10 * SESSION_MS / 1000):
            while True:
                await connection.send(MetadataRequest([]))
                await asyncio.sleep(0.1)
    connection.close()


async def test_a_request_after_the_end_of_a_session_needs_no_second_attempt(kafka, tmp_path):
    """The broker closes a connection that is used then; the client has replaced it before."""
    options = kafka_options(None, kafka.client_config(tmp_path / "client.properties"))
    admin = new_admin(**options)
    await start_admin(admin)
    try:
        for _ in range(2):
            await until_a_session_ends(options)
            await admin.list_topics()
    finally:
        await stop_admin(admin, 5)


async def test_every_verb_logs_in_with_tokens(stream, tmp_path):
    """With the brokers that the config names."""
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published(worker=worker)
        place = stream.words("app", "source", "predictions", "bundle", "redis_url", "kafka_config")
        await run("doctor", "--write", *place)
        await run("state", "show", *place)
        cluster = stream.words("kafka_config")
        tail = ("tail", stream.settings.predictions, "--from-beginning", "--max=3")
        assert len((await run(*tail, *cluster)).splitlines()) == 1 + 3
        out = tmp_path / "replayed.jsonl"
        topic = (f"--topic={stream.settings.source}", *stream.words("bundle"), f"--out={out}")
        await run("replay", *topic, *cluster, "--processes=1")
        assert out.read_bytes()
        await run("deadletters", "list", *stream.words("predictions"), *cluster)
    finally:
        assert await asyncio.to_thread(worker.stop) == 0


async def test_a_wrong_secret_ends_a_worker_with_the_endpoints_answer(stream, kafka, tmp_path):
    """Status 4, because the secret may be a rotated one; the message does not contain it."""
    config = kafka.client_config(tmp_path / "wrong.properties", secret="wr0ng-one")
    options = stream.options() | {"kafka_config": config, "kafka_timeout_s": "8"}
    status, line = await ended(ForkedWorker("worker", options, tmp_path))
    assert status == 4
    assert "there is no token for the login at the Kafka broker" in line
    assert "answers 401 Unauthorized (invalid_client" in line
    assert "wr0ng-one" not in line


async def test_an_endpoint_that_is_down_is_tried_again(stream, tokens, tmp_path):
    """A worker that starts waits for it until its deadline; a running one goes on afterwards."""
    tokens.is_down = True
    options = stream.options() | {"kafka_timeout_s": "6"}
    status, line = await ended(ForkedWorker("first", options, tmp_path))
    assert (status, "answers 503" in line) == (4, True), line

    tokens.is_down = False
    worker = ForkedWorker("second", stream.options(), tmp_path)
    try:
        await stream.until_published(worker=worker)
        tokens.is_down = True
        async with asyncio.timeout(60):
            while "answers 503" not in worker.log.read_text():
                await asyncio.sleep(0.1)
        tokens.is_down = False
        await stream.produce(mixed_records(30, seed=95))
        await stream.until_published(worker=worker)
    finally:
        assert await asyncio.to_thread(worker.stop) == 0
    assert await stream.compare() > 60


class Own(AbstractTokenProvider):
    """A provider of a user."""

    def __init__(self, tokens):
        self.tokens, self.loops = tokens, set()

    async def token(self):
        self.loops.add(asyncio.get_running_loop())
        return self.tokens.token()


async def test_a_reader_takes_a_provider_of_ones_own(stream, tokens, kafka, tmp_path):
    """With the rest of the connection from a config."""
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published(worker=worker)
    finally:
        await asyncio.to_thread(worker.stop)
    config = tmp_path / "reader.properties"
    config.write_text(
        f"security.protocol=SASL_PLAINTEXT\nbootstrap.servers={kafka.oauth_servers}\n"
    )
    reader = PredictionReader(
        stream.settings.predictions, kafka_config=str(config), token_provider=Own(tokens)
    )
    async with reader:
        async for prediction in reader:
            assert prediction.source.topic == stream.settings.source
            break


async def test_an_app_takes_a_provider_of_ones_own(stream, tokens, kafka):
    """The consumer of Faust has a loop of its own; the provider is called on the app's."""
    own = Own(tokens)
    app = faust.App(
        stream.settings.app,
        broker=f"kafka://{kafka.oauth_servers}",
        broker_credentials=faust.OAuthCredentials(oauth_cb=own),
    )
    redis_url = stream.settings.redis_url.get_secret_value()
    rnn = StreamRNN(
        app,
        source=stream.settings.source,
        predictions=stream.settings.predictions,
        bundle=stream.settings.bundle,
        redis_url=redis_url,
    )
    async with app:
        await stream.until_published()
    assert rnn.failure is None
    assert await stream.compare() > 20
