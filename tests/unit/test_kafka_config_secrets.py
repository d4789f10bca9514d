"""Messages about a Kafka config contain no part that may be a secret."""

import io
import json
import re
from email.message import Message
from urllib.error import HTTPError

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.client_credentials import ClientCredentials
from stream_rnn.kafka.connection import kafka_options, parse_servers
from stream_rnn.kafka.tokens import TokenError


@pytest.fixture
def refuse(tmp_path):
    """Return a function that returns the message about a config."""

    def refuse(text):
        path = tmp_path / "client.properties"
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            kafka_options("a:1", str(path))
        return str(error.value)

    return refuse


def test_a_line_that_begins_with_no_name_is_named_by_its_number(refuse):
    message = refuse('# login\nsasl.jaas.config=P required \\\n  password=\n\n"S3cret";\n')
    assert (
        "line 5 does not begin with a name of Kafka's clients; the line before may lack a backslash"
    ) in message
    assert "S3cret" not in message


@pytest.mark.parametrize(
    "text",
    [
        "sasl.jaas.config=P required password=\nSecret;\n",
        "sasl.jaas.config=P required password=\nSecret\n",
        "sasl.password=abc\nSecret=\n",
        "sasl.password=abc\nSecret=def\n",
        "sasl.passwort=abc\nSecret: def\n",
        "client.id=x\nSecret\n",
        "client.id=x\nSecret==\n",
        "ssl.key.password=abc\n\n# comment\nsecret.with.dots=def\n",
    ],
)
def test_a_line_that_may_continue_a_secret_is_named_by_its_number_only(refuse, text):
    message = refuse(text)
    assert "secret" not in message.lower().replace("client.secret", "").replace("client secret", "")
    assert re.search(r"line \d does not begin with a name", message)


def test_all_unknown_names_are_listed_at_once(refuse):
    message = refuse("foo=S3cret\nsasl.passwort=S3cret\n'S3cret'\n")
    assert "sasl.passwort is not supported; is it sasl.password" in message
    assert "foo is not supported; " in message
    assert "line 3 " in message
    assert "S3cret" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sasl.password": "S3cret"}', "is JSON; write lines of name=value"),
        ("# a\n\n[default]\nsasl.password=S3cret\n", "has a section of an INI file"),
        ("spring.kafka.properties.sasl.password=S3cret\n", "has names of Spring Boot"),
        ("sasl.password=S3cret\n".encode("utf-16"), "is UTF-16 or binary; write it as UTF-8"),
        ("sasl.password=S3cret\n".encode("utf-16-le"), "is UTF-16 or binary"),
    ],
)
def test_a_config_of_another_format_is_named_once_and_not_cited(tmp_path, text, said):
    path = tmp_path / "client.properties"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as error:
        kafka_options("a:1", str(path))
    assert f"the Kafka config {path} {said}" in str(error.value)
    assert "S3cret" not in str(error.value)
    assert "backslash" not in str(error.value)


@pytest.mark.parametrize("servers", ["bob:S3cret@host", "a:1,bob:S3c,S3cret@host:9092"])
def test_a_login_before_a_broker_is_refused_and_not_cited(servers):
    with pytest.raises(ConfigError, match=r"'\*\*\*@host") as error:
        parse_servers(servers)
    assert "S3c" not in str(error.value)


def test_a_protocol_before_a_broker_is_dropped_as_by_java():
    servers = "SASL_SSL://host:9092, PLAINTEXT://[::1]:9092,b:1"
    assert parse_servers(servers) == ["host:9092", "[::1]:9092", "b:1"]


def test_a_token_endpoint_with_a_login_is_refused_by_name(refuse):
    message = refuse(
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n"
        "sasl.oauthbearer.token.endpoint.url=https://bob:S3cret@host/token\n"
    )
    assert "sasl.oauthbearer.token.endpoint.url must not have a user or password" in message
    assert "S3cret" not in message


def test_a_token_endpoint_is_shown_without_login_and_query():
    url = "http://bob:S3cret@127.0.0.1:1/t?key=S3cret"
    client = ClientCredentials(url=url, client_id="c", client_secret="s")
    assert "S3cret" not in repr(client)
    with pytest.raises(TokenError, match=r"http://127.0.0.1:1/t does not answer") as error:
        raise client._no_answer(OSError("key=S3cret"))
    assert "S3cret" not in str(error.value)


@pytest.mark.parametrize("is_url_encoded", [False, True])
def test_an_answer_that_repeats_the_login_in_another_form_is_masked(is_url_encoded):
    client = ClientCredentials(
        url="http://h/t", client_id="c", client_secret="s/3 t", is_url_encoded=is_url_encoded
    )
    forms = (client._login(), "s%2F3+t", "s%2F3%20t", "s/3%20t", "s/3 t")
    body = json.dumps({"error": f"no {', '.join(forms)}"}).encode()
    answer = HTTPError("http://h/t", 401, "Unauthorized", Message(), io.BytesIO(body))
    message = str(client._refusal(answer, 401))
    assert not [form for form in forms if form.rstrip("=") in message]
