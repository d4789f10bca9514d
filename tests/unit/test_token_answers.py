"""What a token endpoint may answer, and which of the settings each message names."""

import asyncio
import json
import re
import ssl
from contextlib import asynccontextmanager

import pytest

from stream_rnn.kafka.client_credentials import DETAIL_LENGTH_MAX, ClientCredentials
from stream_rnn.kafka.tokens import TokenError, TokenRefusedError
from tests.integration.certificates import make_certificates

SECRET = "s3cret-of-the-client"
URL_REMEDY = "check sasl.oauthbearer.token.endpoint.url"
LOGIN_REMEDY = "check client id 'c', secret and scope"


@asynccontextmanager
async def endpoint(answers, context=None):
    """Serve an answer, or one after another; yield the port and a list of the requests."""
    requests = []

    async def serve(reader, writer):
        request = await reader.read(65_536)
        if found := re.search(rb"Content-Length: (\d+)", request):
            missing = int(found[1]) - len(request.partition(b"\r\n\r\n")[2])
            request += await reader.readexactly(missing)
        requests.append(request)
        is_one = isinstance(answers, bytes)
        writer.write(answers if is_one else answers[len(requests) - 1])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], requests


async def refusal(port, scheme="http") -> TokenError:
    """Return the error of a request."""
    url = f"{scheme}://127.0.0.1:{port}/t?key={SECRET}"
    client = ClientCredentials(url=url, client_id="c", client_secret=SECRET)
    with pytest.raises(TokenError) as error:
        await asyncio.to_thread(client.fetch)
    assert SECRET not in str(error.value)
    assert f"{scheme}://127.0.0.1:{port}/t " in str(error.value)
    return error.value


def http(status, body, kind="application/json", *headers) -> bytes:
    """Return an answer of HTTP."""
    text = body if isinstance(body, str) else json.dumps(body)
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(text)}"]
    return "\r\n".join([*lines, *headers, "", text]).encode()


PAGE = "<html>Sign in</html>"
ELSEWHERE = f"Location: https://u:{SECRET}@h/new?key={SECRET}"
ANSWERS = {
    "401": (http("401 Unauthorized", PAGE, "text/html"), "answers 401 Unauthorized", LOGIN_REMEDY),
    "invalid_client": (
        http("400 Bad Request", {"error": "invalid_client", "error_description": "no such client"}),
        "answers 400 Bad Request (invalid_client: no such client)",
        LOGIN_REMEDY,
    ),
    "unauthorized_client": (
        http("400 Bad Request", {"error": "unauthorized_client"}),
        "(unauthorized_client)",
        LOGIN_REMEDY,
    ),
    "invalid_scope": (http("400 Bad Request", {"error": "invalid_scope"}), "(invalid_scope)", "check the scope"),
    "404": (http("404 Not Found", PAGE, "text/html"), "answers 404 Not Found", URL_REMEDY),
    "302": (
        http("302 Found", "", "text/html", ELSEWHERE),
        "answers 302 Found, which redirects to https://h/new",
        URL_REMEDY,
    ),
    "a page": (
        http("200 OK", PAGE, "text/html; charset=utf-8"),
        "answers 200 with text/html; charset=utf-8, which is no JSON object",
        URL_REMEDY,
    ),
    "an error with 200": (
        http("200 OK", {"error": "invalid_client", "error_description": f"not {SECRET}"}),
        "answers 200 OK (invalid_client: not ***)",
        LOGIN_REMEDY,
    ),
    "an array": (http("200 OK", [1]), "with application/json, which is no JSON object", URL_REMEDY),
    "no token": (http("200 OK", {"id_token": "x"}), "answers JSON without an access_token", URL_REMEDY),
    "a token that is no text": (
        http("200 OK", {"access_token": 1}), "answers JSON without an access_token", URL_REMEDY
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_without_a_token_names_what_came_and_the_remedy(kind):
    """Only the error of a refused client says to check its id and secret.

    A refused client sends a second request, with the credentials in the body instead.
    """
    answer, said, remedy = ANSWERS[kind]
    async with endpoint(answer) as (port, requests):
        error = await refusal(port)
    assert isinstance(error, TokenRefusedError)
    is_client = kind in {"401", "invalid_client", "an error with 200"}
    assert len(requests) == 1 + is_client
    in_header, in_body = (b"Authorization: Basic", f"client_secret={SECRET}".encode())
    assert [in_header in request for request in requests] == [True, False][: len(requests)]
    assert [in_body in request for request in requests] == [False, True][: len(requests)]
    assert ("with the credentials in the header and in the body; check" in str(error)) == is_client
    assert said in str(error)
    assert str(error).endswith(f"; {remedy}")


async def test_an_endpoint_that_takes_the_header_only_says_both():
    """A wrong secret in the header, and an invalid request with the secret in the body."""
    answers = [
        http("401 Unauthorized", {"error": "invalid_client"}),
        http("400 Bad Request", {"error": "invalid_request"}),
    ]
    async with endpoint(answers) as (port, requests):
        error = str(await refusal(port))
    assert len(requests) == 2
    assert "answers 401 Unauthorized (invalid_client), with the credentials in the header" in error
    assert "with the credentials in the body, the token endpoint" in error
    assert "answers 400 Bad Request (invalid_request)" in error
    assert error.endswith(f"; {LOGIN_REMEDY}")


async def test_a_long_description_is_cut():
    """An endpoint may answer a megabyte."""
    fields = {"error": "invalid_client", "error_description": "long\n" * 10_000}
    async with endpoint(http("400 Bad Request", fields)) as (port, _):
        text = str(await refusal(port))
    assert len(text) < DETAIL_LENGTH_MAX + 200
    assert "\n" not in text


async def test_a_status_that_may_pass_is_tried_again():
    """Such as 503, or 429 of an endpoint that limits requests."""
    for status in ("503 Service Unavailable", "429 Too Many Requests"):
        async with endpoint(http(status, {})) as (port, _):
            assert not isinstance(await refusal(port), TokenRefusedError)


async def test_https_at_a_port_of_http_says_so_at_once():
    """The server takes the greeting of TLS for a bad request."""
    async with endpoint(http("400 Bad Request", PAGE, "text/html")) as (port, _):
        error = await refusal(port, "https")
    assert isinstance(error, TokenRefusedError)
    assert (
        "the port does not speak TLS: write http:// in sasl.oauthbearer.token.endpoint.url"
        in str(error)
    )


async def test_http_at_a_port_of_https_says_so_at_once(tmp_path):
    """The server closes the connection."""
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    async with endpoint(b"", context) as (port, _):
        error = await refusal(port)
    assert isinstance(error, TokenRefusedError)
    assert "a port of TLS does so: write https:// in sasl.oauthbearer.token.endpoint.url" in str(
        error
    )
