"""Credentials that change beneath a client, on a real connection with TLS and client certificates."""

import asyncio
import logging
import ssl
import threading

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream_rnn.errors import UnreachableError
from stream_rnn.kafka import credentials as credentials_module
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.store import server_connection
from tests.integration.certificates import make_certificates


@pytest.fixture
def first(tmp_path):
    """Return the directory of an authority and of the certificates that it has signed."""
    (tmp_path / "first").mkdir()
    make_certificates(tmp_path / "first")
    return tmp_path / "first"


@pytest.fixture
def second(tmp_path):
    """Return the directory of another authority."""
    (tmp_path / "second").mkdir()
    make_certificates(tmp_path / "second")
    return tmp_path / "second"


@pytest.fixture
def credentials(tmp_path, first):
    """Return credentials from copies of the first authority's files."""
    use(first, tmp_path)
    config = tmp_path / "client.properties"
    config.write_text(
        f"security.protocol=SSL\nssl.truststore.location={tmp_path}/ca.pem\n"
        f"ssl.keystore.location={tmp_path}/client.pem\n"
    )
    return kafka_options("a:1", str(config))["credentials"]


def use(source, target):
    """Replace the files of a client, as Kubernetes does."""
    for name in ("ca.pem", "client.pem"):
        (target / f"new-{name}").write_bytes((source / name).read_bytes())
        (target / f"new-{name}").replace(target / name)


async def can_connect(directory, context) -> bool:
    """Return whether a server, which trusts one authority only, and a client accept each other."""
    accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.pem")
    accepting.load_cert_chain(directory / "server.pem")
    accepting.verify_mode = ssl.CERT_REQUIRED
    accepting.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as a broker verifies

    async def greet(_reader, writer):
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=accepting)
    try:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        greeting = await reader.read()
        writer.close()
    except OSError:  # which a TLS error is
        return False
    finally:
        server.close()
    return greeting == b"hello"


async def test_certificates_that_change_serve_the_next_connection(
    credentials, first, second, tmp_path
):
    """Trust and key together; until then the client keeps what it has."""
    before = (await credentials.read())["ssl_context"]
    assert (await credentials.read())["ssl_context"] is before
    assert await can_connect(first, before)
    assert not await can_connect(second, before)
    use(second, tmp_path)
    after = (await credentials.read())["ssl_context"]
    assert await can_connect(second, after)
    assert not await can_connect(first, after)


async def test_a_file_that_is_half_written_changes_nothing_yet(
    credentials, first, second, tmp_path, caplog
):
    """The client keeps the old one and says so, and reads again when the file is complete."""
    before = (await credentials.read())["ssl_context"]
    (tmp_path / "client.pem").write_bytes((second / "client.pem").read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        assert (await credentials.read())["ssl_context"] is before
    assert "the Kafka config is not read again: " in caplog.text
    assert await can_connect(first, (await credentials.read())["ssl_context"])
    use(second, tmp_path)
    assert await can_connect(second, (await credentials.read())["ssl_context"])


async def test_a_changed_login_is_read(tmp_path):
    """And one that is missing for a moment is not."""
    config = tmp_path / "client.properties"
    login = "security.protocol=SASL_PLAINTEXT\nsasl.username=u\nsasl.password="
    config.write_text(f"{login}old\n")
    credentials = kafka_options("a:1", str(config))["credentials"]
    config.unlink()
    assert (await credentials.read())["sasl_plain_password"] == "old"
    config.write_text(f"{login}newer\n")
    assert (await credentials.read())["sasl_plain_password"] == "newer"


async def test_files_that_do_not_answer_stop_no_event_loop(tmp_path, monkeypatch):
    """A mount may hang: the loop goes on, and after a deadline the previous options serve."""
    monkeypatch.setattr(credentials_module, "READ_WITHIN_S", 0.2)
    monkeypatch.setattr(server_connection, "READ_WITHIN_S", 0.2)
    config = tmp_path / "client.properties"
    config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.username=u\nsasl.password=old\n")
    credentials = kafka_options("a:1", str(config))["credentials"]
    config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.username=u\nsasl.password=newer\n")
    may_answer = threading.Event()

    def hang(_path):
        may_answer.wait(60)

    def hanging_url():
        may_answer.wait(60)
        return "redis://:s3cret@h:1/0"

    redis = server_connection.UrlCredentials(hanging_url, "redis://h/0")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(credentials_module, "_version", hang)
            assert (await credentials.read())["sasl_plain_password"] == "old"
        with pytest.raises(RedisTimeoutError, match="is not read within"):
            await redis.get_credentials_async()
    finally:
        may_answer.set()
    assert await redis.get_credentials_async() == ("s3cret",)


class Clock:
    """A clock that a test moves."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


REFUSAL = SaslAuthenticationFailed("wrong password")
EOF = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")


@pytest.mark.parametrize(
    ("outcomes", "is_reported"),
    [
        ([(0, REFUSAL), (30, REFUSAL)], True),
        ([(0, REFUSAL), (12, REFUSAL), (31, ssl.SSLError(1, "certificate unknown"))], True),
        ([(0, REFUSAL), (29, REFUSAL)], False),
        ([(0, REFUSAL)], False),  # all is well: no new connection was needed since
        ([(0, REFUSAL), (12, REFUSAL)], False),
        ([(0, REFUSAL), (12, None), (31, REFUSAL)], False),
        ([(0, REFUSAL), (12, KafkaConnectionError("gone")), (31, REFUSAL)], True),
        ([(0, REFUSAL), (12, EOF), (31, REFUSAL)], True),  # another broker is down
        ([(0, REFUSAL), (12, KafkaConnectionError("gone"))], False),
        ([(0, REFUSAL), (61, REFUSAL)], False),  # a new row: too long ago
        ([(0, REFUSAL), (61, REFUSAL), (100, REFUSAL)], True),
        ([(0, EOF), (31, EOF)], False),  # a broker that shuts down
        ([(0, ssl.SSLZeroReturnError()), (31, ssl.SSLZeroReturnError())], False),
        ([(0, KafkaConnectionError("gone")), (31, KafkaConnectionError("gone"))], False),
    ],
)
def test_refusals_are_reported_if_no_login_succeeds_between_for_long_enough(outcomes, is_reported):
    """Time alone is no refusal, and neither is a lost connection."""
    clock, reported = Clock(), []
    credentials = Credentials({}, clock)
    for clock.now_s, error in outcomes:
        credentials.record(error)
    clock.now_s = 1000
    credentials.report_failure(30, reported.append)
    assert bool(reported) is is_reported
    if is_reported:
        assert str(reported[0]).startswith("Kafka has refused every new connection for 30 s (")
        assert isinstance(reported[0], UnreachableError)  # status 4
