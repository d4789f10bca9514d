"""A repr may get into a log or a traceback, so no object shows the secret that it has."""

import pytest

from stream_rnn.kafka.client_credentials import ClientCredentials
from stream_rnn.kafka.connection import faust_credentials, kafka_options
from stream_rnn.kafka.credentials import ConfigFile, Credentials
from stream_rnn.kafka.properties import parse_jaas
from stream_rnn.kafka.tokens import CachedTokens, Token
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.server_connection import UrlCredentials

SECRET = "pl4nted"  # the text that no repr may have
URL = f"redis://user:{SECRET}@127.0.0.1:1/0"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="{SECRET}";'
SASL = f"security.protocol=SASL_PLAINTEXT\nsasl.jaas.config={PLAIN}\n"
FOLD = {"app": "a", "source": "s", "predictions": "p", "bundle": "b"}


@pytest.fixture
def path(tmp_path):
    """Return the path of a Kafka config with a login."""
    (tmp_path / "client.properties").write_text(SASL)
    return str(tmp_path / "client.properties")


OBJECTS = {
    "Jaas": lambda _path: parse_jaas(PLAIN),
    "ConfigFile": ConfigFile.read,
    "Credentials": lambda _path: Credentials({"sasl_plain_password": SECRET}),
    "FileCredentials": lambda path: kafka_options("a:1", path)["credentials"],
    "faust.SASLCredentials": lambda path: faust_credentials(
        kafka_options("a:1", path)["credentials"]
    ),
    "ClientCredentials": lambda _path: ClientCredentials("https://h/t", "c", SECRET),
    "CachedTokens": lambda _path: CachedTokens(ClientCredentials("https://h/t", "c", SECRET).fetch),
    "Token": lambda _path: Token(SECRET, 1),
    "Settings": lambda _path: Settings.build(redis_url=URL),
    "FoldSettings": lambda _path: FoldSettings.build(**FOLD, redis_url=URL),
    "UrlCredentials": lambda _path: UrlCredentials(lambda: URL, URL),
    "Redis": lambda _path: connect_redis(URL, 1),
    "RedisCluster": lambda _path: connect_redis(URL.replace("redis:", "redis+cluster:"), 1),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_no_repr_shows_a_secret(name, path):
    """Neither of the object, nor within a list, an exception or what a dataclass holds."""
    made = OBJECTS[name](path)
    shown = (repr(made), str(made), f"{[made]}", f"{ValueError(made)!r}", f"{made:}")
    assert not any(SECRET in text for text in shown)


OWN = [name for name in OBJECTS if not name.startswith(("faust.", "Redis"))]


@pytest.mark.parametrize("name", OWN)
def test_no_attribute_of_our_objects_shows_a_secret(name, path):
    """As ``vars`` and a debugger list them."""
    made = OBJECTS[name](path)
    assert SECRET not in f"{getattr(made, '__dict__', {})}"
