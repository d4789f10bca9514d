"""Tokens that a real broker refuses, and a login at a listener that takes none."""

import asyncio

import pytest

from stream_rnn import PredictionReader
from stream_rnn.errors import ConfigError
from tests.forked import ForkedWorker
from tests.integration.oauth_kafka import OAuthKafka
from tests.integration.streams import mixed_records, run
from tests.integration.test_oauth import WithTokens, ended
from tests.integration.token_server import TokenServer
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(240), pytest.mark.integration]
SESSION_MS, TOKEN_S = 4000, 8


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
    tokens.claims, tokens.is_forged = {}, False


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
    "audience": ({"aud": "another"}, False),
    "issuer": ({"iss": "https://another.test"}, False),
    "expired": ({"iat": 1_700_000_000, "exp": 1_700_000_100}, False),
    "signature": ({}, True),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_the_broker_refuses_ends_a_start_in_one_line(
    stream, kafka, tokens, tmp_path, kind
):
    """Status 4, as after every login that Kafka refuses: the issuer may correct its tokens."""
    tokens.claims, tokens.is_forged = BAD[kind]
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


async def test_a_listener_without_logins_says_so(stream, kafka, tmp_path):
    """The plain listener of the broker, and a config with a login."""
    config = tmp_path / "wrong.properties"
    text = (tmp_path / "client.properties").read_text()
    config.write_text(text.replace(kafka.oauth_servers, kafka.bootstrap_servers))
    words = ("tail", stream.settings.predictions, f"--kafka-config={config}")
    said = await run(*words, status=3)
    assert f"the broker {kafka.bootstrap_servers} takes no login on this port" in said
    assert "security.protocol is SASL_PLAINTEXT" in said
