"""Tokens that a real broker refuses, and a login at a listener that takes none."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka.errors import UnsupportedSaslMechanismError
from aiokafka.protocol.admin import SaslHandShakeResponse_v1

from stream_rnn import PredictionReader
from stream_rnn.errors import ConfigError, UnavailableError
from tests.forked import ForkedWorker
from tests.integration.oauth_folds import SESSION_MS, TOKEN_S, WithTokens, ended
from tests.integration.oauth_kafka import OAuthKafka
from tests.integration.streams import mixed_records, run
from tests.integration.token_server import KEY_ID, TokenServer
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(240), pytest.mark.integration]


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
    tokens.claims, tokens.is_forged, tokens.key_id = {}, False, KEY_ID


@pytest.fixture
async def stream(kafka, app_id, redis_url, tmp_path):
    """Return a fold whose source has records."""
    stream = WithTokens(app_id, kafka, redis_url, tmp_path)
    await stream.create()
    await stream.produce(mixed_records(20, seed=97))
    return stream


def names_all(line, kafka, tokens) -> bool:
    """Return whether a line has broker, mechanism, the broker's words and the source; no token."""
    words = (
        f"the broker {kafka.oauth_servers} refuses the token of OAUTHBEARER",
        "(status invalid_token",
        f"which comes from {tokens.url}/token",
        "check its audience, issuer, scope and lifetime",
    )
    return all(word in line for word in words) and not any(t in line for t in tokens.tokens)


BAD = {
    "audience": {"claims": {"aud": "another"}},
    "issuer": {"claims": {"iss": "https://another.test"}},
    "expired": {"claims": {"iat": 1_700_000_000, "exp": 1_700_000_100}},
    "signature": {"is_forged": True},
    "key id": {"key_id": "key-2"},
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_the_broker_refuses_ends_a_start_in_one_line(
    stream, kafka, tokens, tmp_path, kind
):
    """Status 4, as after every login that Kafka refuses: the issuer may correct its tokens."""
    vars(tokens).update(BAD[kind])
    before = tokens.issued
    options = stream.options() | {"kafka_timeout_s": "8"}
    worker = ForkedWorker("worker", options, tmp_path)
    status, line = await ended(worker)
    assert status == 4
    assert f"the Kafka broker at {kafka.oauth_servers} answers and refuses the login" in line
    assert names_all(line, kafka, tokens), line
    assert tokens.issued - before < 5
    assert "Traceback" not in worker.log.read_text()


async def test_a_running_worker_ends_when_the_broker_refuses_its_new_tokens(
    stream, kafka, tokens, tmp_path
):
    """At the end of a session; the issuer gets few requests, and the line names the broker."""
    worker = ForkedWorker("worker", stream.options(kafka_timeout_s=4), tmp_path)
    await stream.until_published(worker=worker)
    tokens.claims = {"aud": "another"}
    before = tokens.issued
    status, line = await ended(worker)
    assert status == 4
    assert names_all(line, kafka, tokens), line
    assert tokens.issued - before < 15
    assert not [token for token in tokens.tokens if token in worker.log.read_text()]


async def test_a_reader_and_a_verb_name_the_refusal(stream, kafka, tokens):
    """With the same words, and no broker that "does not answer"."""
    tokens.claims = {"aud": "another"}
    reader = PredictionReader(stream.settings.predictions, kafka_config=stream.config)
    with pytest.raises(ConfigError, match="answers and refuses the login") as error:
        await reader.__aenter__()
    assert names_all(str(error.value), kafka, tokens)
    said = await run("doctor", "--json", *stream.words(*stream.options()), status=1)
    assert f"the Kafka broker at {kafka.oauth_servers} answers and refuses the login" in said
    assert "no Kafka broker answers" not in said


async def read_all(reader) -> None:
    """Read until an error, within a minute."""
    async with asyncio.timeout(60):
        async for _ in reader:
            pass


async def test_a_running_reader_names_the_refusal_and_may_read_on(stream, kafka, tokens, tmp_path):
    """After ``timeout_s``, as a worker, which starts again; no word of a right that it lacks."""
    worker = ForkedWorker("worker", stream.options(kafka_timeout_s=90), tmp_path)
    try:
        await stream.until_published(worker=worker)
        topic = stream.settings.predictions
        async with PredictionReader(topic, kafka_config=stream.config, timeout_s=4) as reader:
            await anext(reader)
            tokens.claims = {"aud": "another"}
            with pytest.raises(UnavailableError, match="every new connection for 4 s") as error:
                await read_all(reader)
            assert names_all(str(error.value), kafka, tokens)
            tokens.claims = {}
            before = reader.counts.yielded
            await stream.produce(mixed_records(20, seed=99))
            async with asyncio.timeout(60):
                while reader.counts.yielded == before:
                    with suppress(UnavailableError):
                        await anext(reader)
    finally:
        await asyncio.to_thread(worker.stop)


async def test_a_token_serves_again_when_its_issuer_is_corrected(stream, tokens, tmp_path):
    """A worker that runs goes on, with a token that it fetches after the refused one."""
    worker = ForkedWorker("worker", stream.options(kafka_timeout_s=30), tmp_path)
    try:
        await stream.until_published(worker=worker)
        tokens.claims = {"aud": "another"}
        before = tokens.issued
        async with asyncio.timeout(60):
            while tokens.issued < before + 2 or "refuses the token" not in worker.log.read_text():
                await asyncio.sleep(0.05)
        tokens.claims = {}
        await stream.produce(mixed_records(20, seed=98))
        await stream.until_published(worker=worker)
    finally:
        status = await asyncio.to_thread(worker.stop)
    assert status == 0
    assert await stream.compare() > 20


@asynccontextmanager
async def closing_after(requests, servers, answer=b""):
    """Yield the address of a proxy that closes a connection instead of forwarding a request.

    Args:
        requests: Number of requests that it forwards before.
        servers: Address of the broker.
        answer: Body of its own answer to the request; empty for none.
    """

    async def forward(reader, writer):
        with suppress(OSError, EOFError):
            broker_reader, broker_writer = await asyncio.open_connection(*servers.split(":"))
            for _ in range(requests):
                broker_writer.write(await frame(reader))
                writer.write(await frame(broker_reader))
            request = await frame(reader)
            if answer:
                body = request[8:12] + answer  # the correlation id
                writer.write(len(body).to_bytes(4) + body)
            broker_writer.close()
        writer.close()

    async def frame(reader):
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("requests", [0, 1, 2])
async def test_a_broker_that_closes_the_connection_during_the_login_is_named(
    kafka, tmp_path, requests
):
    """Before it answers, before it names its mechanisms, and after it has seen the password."""
    config = kafka.password_config(tmp_path / "password.properties")
    async with closing_after(requests, kafka.oauth_servers) as address:
        options = ("--bootstrap-servers", address, f"--kafka-config={config}")
        said = await run("tail", "delays", *options, status=3)
    assert f"no Kafka broker serves this client: {address} closes" in said
    assert f"{address} closes the connection during the login by PLAIN and gives no reason" in said
    assert "the port may have TLS (security.protocol is SASL_PLAINTEXT), or not take this" in said
    assert "no Kafka broker answers" not in said


async def test_a_client_without_a_login_at_a_listener_that_takes_one(kafka):
    """The broker closes the connection at the first request after that for its versions."""
    said = await run("tail", "delays", "--bootstrap-servers", kafka.oauth_servers, status=3)
    assert f"{kafka.oauth_servers} closes the connection at the first request" in said
    assert "may have TLS (security.protocol is PLAINTEXT), or take a login" in said


async def test_a_mechanism_that_the_broker_does_not_take(kafka, tmp_path):
    """The error lists those that it takes, once."""
    config = tmp_path / "scram.properties"
    kafka.password_config(config)
    text = config.read_text()
    config.write_text(
        text.replace("mechanism=PLAIN", "mechanism=SCRAM-SHA-512").replace(
            "plain.PlainLoginModule", "scram.ScramLoginModule"
        )
    )
    said = await run("tail", "delays", f"--kafka-config={config}", status=3)
    assert "does not take sasl.mechanism SCRAM-SHA-512, but " in said
    assert said.count("OAUTHBEARER") == 1
    assert "because of" not in said


async def test_the_mechanisms_of_a_broker_are_shown_on_one_short_line(kafka, tmp_path):
    """Whatever a proxy sends in their place."""
    config = kafka.password_config(tmp_path / "password.properties")
    names = ["\x1b[31mSCRAM\nCRITICAL all is well", *(f"M-{number}" for number in range(200))]
    answer = SaslHandShakeResponse_v1(UnsupportedSaslMechanismError.errno, names).encode()
    async with closing_after(1, kafka.oauth_servers, answer) as address:
        options = ("--bootstrap-servers", address, f"--kafka-config={config}")
        said = await run("tail", "delays", *options, status=3)
    assert (
        "does not take sasl.mechanism PLAIN, but  [31mSCRAM CRITICAL all is well, M-0, M-1" in said
    )
    assert "M-150" not in said


async def test_a_listener_without_logins_says_so(stream, kafka, tmp_path):
    """The plain listener of the broker, and a config with a login."""
    config = tmp_path / "wrong.properties"
    text = (tmp_path / "client.properties").read_text()
    config.write_text(text.replace(kafka.oauth_servers, kafka.bootstrap_servers))
    words = ("tail", stream.settings.predictions, f"--kafka-config={config}")
    said = await run(*words, status=3)
    assert f"answers at a listener, {kafka.bootstrap_servers}, which has no SASL" in said
    assert "set security.protocol=PLAINTEXT in --kafka-config" in said
