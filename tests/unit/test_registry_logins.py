"""A registry with a login, over TLS, or hostile: what a fold gets from it."""

import base64
import json
from functools import partial
from urllib.parse import quote

import pytest
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError
from stream_rnn.formats import bounded_http
from stream_rnn.formats.registry import REFERENCES_MAX, Registry
from stream_rnn.formats.registry_config import make_registry_config
from stream_rnn.formats.registry_errors import MESSAGE_CHARACTERS_MAX
from stream_rnn.formats.schemas import SCHEMA_CHARACTERS_MAX
from tests.integration.certificates import make_certificates
from tests.integration.token_server import CLIENT, SCOPE, SECRET, TokenServer
from tests.registry_server import RegistryServer

PASSWORD = "p%ss:word+1"
TIMEOUT_S = 20


@pytest.fixture
def registry():
    """Run a registry with a schema."""
    with RegistryServer() as server:
        server.register(7, '"int"')
        yield server


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(**properties):
        path = tmp_path / "registry.properties"
        lines = [f"{name.replace('_', '.')}={value}" for name, value in properties.items()]
        path.write_text("\n".join(lines))
        return str(path)

    return write


def open_registry(path=None, url=None, timeout_s=TIMEOUT_S):
    """Open a registry."""
    return Registry(partial(make_registry_config, url, path), timeout_s)


def fails(source, schema_id="7"):
    """Return the message of a registry that does not serve."""
    with pytest.raises(UnavailableError) as error:
        source.fetch(schema_id)
    return str(error.value)


def test_a_password_serves_and_is_read_again_after_a_refusal(registry, config):
    """The next request has the login that the file has then; no message shows a password."""
    registry.demand("user", PASSWORD)
    login = {"basic_auth_user_info": f"user:{PASSWORD}"}
    source = open_registry(config(schema_registry_url=registry.url, **login))
    assert source.fetch("7").text == '"int"'
    registry.demand("user", "rotated")
    source = open_registry(config(schema_registry_url=registry.url, **login))
    message = fails(source)
    assert "refuses the login (HTTP status 401); correct" in message
    assert PASSWORD not in message
    config(schema_registry_url=registry.url, basic_auth_user_info="user:rotated")
    assert source.fetch("7").text == '"int"'


def test_a_file_that_is_broken_after_a_refusal_is_an_outage(registry, config):
    """A file may be half written at that moment."""
    registry.demand("user", PASSWORD)
    source = open_registry(config(schema_registry_url=registry.url))
    fails(source)
    config(no_such=PASSWORD)
    assert "cannot read the login" in fails(source)
    login = {"basic_auth_user_info": f"user:{PASSWORD}"}
    config(schema_registry_url=registry.url, **login)
    assert source.fetch("7").text == '"int"'


def test_a_missing_login_names_the_option(registry):
    """The URL alone has none."""
    registry.demand("user", PASSWORD)
    assert "set --schema-registry-config" in fails(open_registry(url=registry.url))


def test_tls_needs_the_authority(tmp_path, config):
    """Without it the message names the option; a client certificate is sent."""
    make_certificates(tmp_path)
    with RegistryServer(certificate=tmp_path / "server.pem") as server:
        server.register(7, '"int"')
        assert "ssl.ca.location" in fails(open_registry(url=server.url))
        path = config(
            schema_registry_url=server.url,
            ssl_ca_location=tmp_path / "ca.pem",
            ssl_certificate_location=tmp_path / "client.pem",
        )
        assert open_registry(path).fetch("7").text == '"int"'


def test_the_next_url_serves_if_the_first_does_not(registry):
    """As in the list of Confluent's clients."""
    with RegistryServer() as other:
        away = other.url
    assert open_registry(url=f"{away},{registry.url}").fetch("7").text == '"int"'
    registry.failures += [503]
    with RegistryServer() as other:
        other.register(7, '"long"')
        assert open_registry(url=f"{registry.url},{other.url}").fetch("7").text == '"long"'


def config_of_endpoint(config, registry, tokens):
    """Return the path of a config with a login by client credentials."""
    return config(
        schema_registry_url=registry.url,
        bearer_auth_credentials_source="OAUTHBEARER",
        bearer_auth_issuer_endpoint_url=tokens.url + "/token",
        bearer_auth_client_id=CLIENT,
        bearer_auth_client_secret=SECRET,
        bearer_auth_scope=SCOPE,
        bearer_auth_logical_cluster="lsrc-1",
    )


def test_a_token_of_an_endpoint_serves_and_a_new_one_after_a_refusal(registry, config):
    """By the client credentials grant; the secret of the client is in no message."""
    with TokenServer() as tokens:
        source = open_registry(config_of_endpoint(config, registry, tokens))
        registry.login = "Bearer (not issued yet)"
        fails(source)
        registry.login = ""
        assert source.fetch("7").text == '"int"'
        assert tokens.issued == 2
        tokens.secret = "another"
        source = open_registry(config_of_endpoint(config, registry, tokens))
        message = fails(source)
        assert "no token for the schema registry" in message
        assert SECRET not in message


def refused_message(source, registry, message):
    """Return how an answer with a message is reported."""
    raw = json.dumps({"error_code": 42201, "message": message}).encode()
    head = "HTTP/1.1 422 Unprocessable\r\nContent-Type: application/json\r\n"
    registry.raw = f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
    with pytest.raises(SchemaRegistryError) as refused:
        source.ask(lambda client: client.get_global_mode())
    registry.raw = b""
    return source.shown_message(refused.value)


def test_the_message_of_a_registry_is_shown_without_the_login(registry):
    """A secret where the message is cut, the user, and the header without its padding."""
    url = registry.url.replace("//", f"//svc-rnn:{quote(PASSWORD, safe='')}@")
    source = open_registry(url=url)
    cut = refused_message(source, registry, "x" * (MESSAGE_CHARACTERS_MAX - 6) + PASSWORD)
    assert PASSWORD[:3] not in cut
    sent = base64.b64encode(f"svc-rnn:{PASSWORD}".encode()).decode()
    assert sent.endswith("=")
    shown = refused_message(source, registry, f"svc-rnn: {sent.rstrip('=')} of svc-rnn2")
    assert shown == " (***: *** of svc-rnn2)"


def test_the_message_of_a_registry_is_shown_without_the_token_of_an_endpoint(registry, config):
    """It is not in the config."""
    with TokenServer() as tokens:
        source = open_registry(config_of_endpoint(config, registry, tokens))
        registry.login = "Bearer (not issued yet)"
        fails(source)
        registry.login = ""
        assert source.fetch("7").text == '"int"'
        token = source._tokens.token
        assert token
        assert refused_message(source, registry, f"odd: {token}") == " (odd: ***)"


def test_a_static_token_serves(registry, config):
    """It is a secret, too."""
    registry.login = "Bearer tok-1234"
    path = config(
        schema_registry_url=registry.url,
        bearer_auth_credentials_source="STATIC_TOKEN",
        bearer_auth_token="tok-1234",
    )
    assert open_registry(path).fetch("7").text == '"int"'
    registry.login = "Bearer other"
    assert "tok-1234" not in fails(open_registry(path))


@pytest.mark.parametrize("written", [r"tok-1234\n5", r"tok\t1234", "tok 1234"])
def test_a_token_that_no_header_can_have_is_named(config, written):
    """A line break was reported as an answer that is no schema; the token is not shown."""
    path = config(
        schema_registry_url="http://127.0.0.1:1",
        bearer_auth_credentials_source="STATIC_TOKEN",
        bearer_auth_token=written,
    )
    with pytest.raises(
        ConfigError, match=r"bearer\.auth\.token has a line break, a blank"
    ) as error:
        open_registry(path)
    assert "1234" not in str(error.value)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HOSTILE = {
    "endless": (HEAD + b"\r\n" + b" " * 9_000_000, "more than 8000000 bytes"),
    "compressed": (HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", "compressed"),
    "nested": (HEAD + b"\r\n" + b"[" * 1_000_000, "something that is no schema"),
    "a page": (HEAD + b"\r\n<html>", "something that is no schema"),
    "a list": (HEAD + b"\r\n[7]", "something that is no schema"),
    "a number as text": (HEAD + b'\r\n{"schema": 7}', "something that is no schema"),
    "numbers as references": (
        HEAD + b'\r\n{"schema": "1", "references": [7]}',
        "something that is no schema",
    ),
    "a redirection": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP status 302",
    ),
    "no HTTP": (b"hello\r\n\r\n", "does not answer"),
    "nothing": (b"\r\n\r\n", "does not answer"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_answer_that_is_hostile_is_an_outage(registry, kind):
    """No answer takes more memory than its bound, nor is it taken for an unknown id."""
    registry.raw, expected = HOSTILE[kind]
    assert expected in fails(open_registry(url=registry.url))


def test_an_answer_that_comes_byte_by_byte_has_a_deadline(registry):
    """The timeout of each operation would never pass."""
    registry.raw, registry.pause_s = HEAD + b"\r\n" + b" " * 1000, 0.05
    message = fails(open_registry(url=registry.url, timeout_s=0.5))
    assert "no whole answer within 0.5 s" in message


def test_a_wrong_path_is_not_an_unknown_id(registry):
    """It would make dead letters of all records."""
    registry.raw = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found"
    message = fails(open_registry(url=registry.url + "/wrong"))
    assert "check the path" in message


def test_a_schema_that_is_too_large_has_a_verdict(registry):
    """The records that name it become dead letters, and others do not."""
    registry.register(8, '"' + "x" * SCHEMA_CHARACTERS_MAX + '"')
    half = "x" * (SCHEMA_CHARACTERS_MAX // 2)
    two = [{"name": name, "subject": name, "version": 1} for name in "ab"]
    registry.register(9, '"int"', references=two)
    many = [{"name": f"n{i}", "subject": f"n{i}", "version": 1} for i in range(REFERENCES_MAX + 1)]
    registry.register(10, '"int"', references=many)
    for name in ["a", "b", *(one["name"] for one in many)]:
        text = half + "x" if name in "ab" else "1"
        registry.schemas[f"/subjects/{name}/versions/1"] = {
            "subject": name,
            "id": 1,
            "version": 1,
            "schema": text,
        }
    source = open_registry(url=registry.url)
    for schema_id in ("8", "9", "10"):
        with pytest.raises(DecodeError) as error:
            source.fetch(schema_id)
        assert error.value.code == "unsupported_schema"
    assert json.loads(source.fetch("7").text) == "int"


def test_the_bound_of_an_answer_admits_the_largest_schema():
    """With every character escaped."""
    assert bounded_http.ANSWER_BYTES_MAX >= 6 * SCHEMA_CHARACTERS_MAX
