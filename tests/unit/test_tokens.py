"""Tokens for OAUTHBEARER of a token endpoint: when they are fetched, and what goes wrong."""

import asyncio
import itertools
import ssl
import threading
from contextlib import suppress
from functools import partial

import pytest

from stream_rnn.kafka import tokens as tokens_module
from stream_rnn.kafka.client_credentials import ClientCredentials
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.tokens import (
    CachedTokens,
    Token,
    TokenError,
    TokenRefusedError,
    TokenRejectedError,
)
from tests.integration.certificates import make_certificates
from tests.integration.token_server import CLIENT, SCOPE, SECRET, TokenServer


@pytest.fixture
def server():
    """Return a token endpoint."""
    with TokenServer(100) as server:
        yield server


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(tokens_module, "PAUSES_S", (0.01, 0.01))


def client(server, **more):
    """Return a client of the endpoint."""
    given = {
        "url": f"{server.url}/token",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": SCOPE,
    }
    return ClientCredentials(**{**given, **more})


class Clock:
    """A clock that a test moves."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


async def test_a_token_serves_until_most_of_its_lifetime_is_over(server):
    """Then the next one is fetched, whatever is connected meanwhile."""
    clock = Clock()
    provider = CachedTokens(client(server).fetch, clock=clock)
    first = await provider.token()
    clock.now_s += 79
    assert await provider.token() == first
    clock.now_s += 2
    assert await provider.token() != first or server.issued == 2
    assert server.issued == 2


async def test_many_connections_fetch_one_token(server):
    """Also those of another event loop, such as that of Faust's consumer."""
    provider = CachedTokens(client(server).fetch)
    other = asyncio.to_thread(asyncio.run, provider.token())
    texts = await asyncio.gather(other, *(provider.token() for _ in range(20)))
    assert len({*texts}) == server.issued == 1


async def test_a_cancelled_connection_takes_no_token_from_the_others():
    """Each waits for itself."""
    may_answer = threading.Event()

    def fetch():
        may_answer.wait(10)
        return Token("t", 10)

    provider = CachedTokens(fetch)
    waiting = [asyncio.create_task(provider.token()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    may_answer.set()
    assert await waiting[1] == "t"


async def test_the_old_token_serves_while_the_endpoint_is_down(server, caplog):
    """Until it expires; then the error names the endpoint and its answer."""
    clock = Clock()
    provider = CachedTokens(client(server).fetch, clock=clock)
    first = await provider.token()
    server.is_down = True
    clock.now_s += 90
    assert await provider.token() == first
    assert "the token cannot be renewed yet" in caplog.text
    clock.now_s += 11
    with pytest.raises(TokenError, match=f"{server.url}/token answers 503"):
        await provider.token()
    server.is_down = False
    clock.now_s += tokens_module.BACK_OFF_MAX_S
    await provider.token()
    assert server.issued == 2


async def test_a_refusal_is_not_tried_again(server):
    """The message has the endpoint's reason, but not the secret that this endpoint repeats.

    The two requests have the credentials in the header and in the body.
    """
    provider = CachedTokens(client(server, client_secret="wr0ng").fetch)
    with pytest.raises(TokenRefusedError) as error:
        await provider.token()
    assert "answers 401 Unauthorized (invalid_client: not worker-client:***), with" in str(
        error.value
    )
    assert "check client id 'worker-client', secret and scope" in str(error.value)
    assert (server.refused, "wr0ng" in str(error.value)) == (2, False)
    assert error.value.__cause__ is None


async def test_an_issuer_may_take_the_credentials_in_the_body_only(server):
    """It refuses those in the header once; the next tokens come at the first request."""
    server.takes_body = True
    here = client(server)
    for issued in (1, 2):
        assert here.fetch().text == server.tokens[-1]
        assert (server.issued, server.refused) == (issued, 1)
    server.takes_body = False
    assert here.fetch().text == server.tokens[-1]
    assert (server.issued, server.refused) == (3, 2)


async def test_a_refused_client_asks_less_and_less_often(server):
    """As Java: from 0.1 s on, each pause is twice the one before, up to 10 s."""
    clock = Clock()
    provider = CachedTokens(client(server, client_secret="wr0ng").fetch, clock=clock)
    began_s, asked_s = clock.now_s, []
    for _ in range(600):  # a connection every 0.1 s, for a minute
        before = server.refused
        with pytest.raises(TokenRefusedError, match="answers 401"):
            await provider.token()
        if server.refused > before:
            asked_s.append(round(clock.now_s - began_s, 1))
        clock.now_s += 0.1
    pauses_s = [later - earlier for earlier, later in itertools.pairwise(asked_s)]
    assert len(asked_s) < 15, asked_s
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] == pytest.approx(10, abs=0.2)


async def test_a_token_that_a_broker_refuses_is_replaced_after_a_pause(server):
    """The pauses grow while brokers refuse each token, and begin again after one that serves."""
    clock = Clock()
    provider = CachedTokens(client(server).fetch, clock=clock)
    refused = TokenRejectedError("the broker b:1 refuses the token")
    first = await provider.token()
    provider.discard(first, refused)
    provider.discard(first, refused)  # by a second connection
    with pytest.raises(TokenRejectedError, match="b:1 refuses"):
        await provider.token()
    assert server.issued == 1
    clock.now_s += tokens_module.BACK_OFF_S
    provider.discard(await provider.token(), refused)
    clock.now_s += tokens_module.BACK_OFF_S
    with pytest.raises(TokenRejectedError):
        await provider.token()
    clock.now_s += tokens_module.BACK_OFF_S
    third = await provider.token()
    assert server.issued == 3
    provider.accept(third)
    provider.discard(third, refused)
    clock.now_s += tokens_module.BACK_OFF_S
    await provider.token()
    assert server.issued == 4


async def test_the_pauses_grow_although_brokers_take_the_old_token(server):
    """Connections that open meanwhile send it with success; it says nothing of the next one."""
    clock = Clock()
    fetched_s = []

    def fetch():
        fetched_s.append(clock.now_s)
        return client(server).fetch()

    provider = CachedTokens(fetch, clock=clock)
    old = await provider.token()
    provider.accept(old)
    clock.now_s += 80
    server.secret = "rotated"
    while clock.now_s < fetched_s[0] + 99:  # a connection every 0.1 s
        assert await provider.token() == old
        provider.accept(old)
        clock.now_s += 0.1
    assert len(fetched_s) == 1 + 8, fetched_s  # at 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 and 12.7 s
    server.secret = SECRET
    clock.now_s += tokens_module.BACK_OFF_MAX_S
    provider.accept(await provider.token())
    server.secret = "rotated"
    clock.now_s += 100
    for _ in range(2):
        with pytest.raises(TokenRefusedError):
            await provider.token()
        clock.now_s += tokens_module.BACK_OFF_S
    assert len(fetched_s) == 1 + 8 + 1 + 2, fetched_s


async def test_a_special_secret_is_url_encoded_on_demand(server):
    """As RFC 6749 demands; most servers, and Java by default, do not."""
    server.secret = "s3cr%25t%2Bof%3Atokens"
    await CachedTokens(client(server, is_url_encoded=True).fetch).token()
    assert server.issued == 1


async def test_an_endpoint_that_answers_nothing_useful_is_named():
    """No JSON, no token, a token that would break the message, nobody."""
    for answer, said in (
        (Token("a b", 1), "not a text of printable ASCII"),
        (Token("a\x01", 1), "not a text of printable ASCII"),
        (Token("", 1), "not a text of printable ASCII"),
    ):
        with pytest.raises(TokenError, match=said):
            await CachedTokens(partial(lambda token: token, answer)).token()
    nobody = ClientCredentials(url="http://127.0.0.1:1/t", client_id="c", client_secret="s3cret")
    with pytest.raises(TokenError, match=r"http://127.0.0.1:1/t does not answer: .*refused"):
        await CachedTokens(nobody.fetch).token()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 401 No\r\n\r\n"])
async def test_an_answer_that_comes_byte_by_byte_ends_at_the_deadline(head):
    """Each byte is in time for the timeout of an operation; without the deadline it never ends."""

    async def drip(_reader, writer):
        writer.write(head or b"HTTP/1.1 200 OK\r\nX: ")
        with suppress(OSError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/t"
    here = ClientCredentials(url=url, client_id="c", client_secret="s", timeout_s=60, within_s=0.3)
    with pytest.raises(TokenError, match=r"/t does not answer within 0\.3 s"):
        await asyncio.to_thread(here.fetch)
    server.close()


async def test_a_redirection_does_not_carry_the_secret_elsewhere():
    """It is an answer like any other refusal."""
    received = []

    async def redirect(reader, writer):
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = ClientCredentials(url=f"http://127.0.0.1:{port}/t", client_id="c", client_secret="s")
    with pytest.raises(TokenError, match="answers 302"):
        await CachedTokens(here.fetch).token()
    assert len(received) == 1
    server.close()


async def test_an_endpoint_with_tls_is_trusted_by_the_logins_own_store(server, tmp_path):
    """As Java takes it from the options of the login; without it, the system's store refuses."""
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    url = f"{server.url}/token".replace("http:", "https:")
    module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
    login = f'{module} required clientId="{CLIENT}" clientSecret="{SECRET}" scope="{SCOPE}"'

    def provider(more):
        path = tmp_path / "client.properties"
        path.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n"
            f"sasl.oauthbearer.token.endpoint.url={url}\nsasl.jaas.config={login} {more};\n"
        )
        return kafka_options("a:1", str(path))["sasl_oauth_token_provider"]

    with pytest.raises(TokenError, match=r"does not answer: .*certificate"):
        await provider("").token()
    assert await provider(f'ssl.truststore.location="{tmp_path}/ca.pem"').token()
