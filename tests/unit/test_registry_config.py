"""The file with the address and the login of a schema registry."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.formats.registry_config import make_registry_config, read_registry_config
from stream_rnn.settings import Settings

SECRET = "s3cr%t:of:tests"


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(*lines):
        path = tmp_path / "registry.properties"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


URL = "schema.registry.url=https://one:8081,https://two:8081/api/"
LOGINS = {
    "user info": (URL, f"basic.auth.user.info=user:{SECRET}"),
    "with its source": (
        URL,
        "basic.auth.credentials.source=USER_INFO",
        f"basic.auth.user.info=user:{SECRET}",
    ),
    "names of Java": (
        URL,
        "schema.registry.basic.auth.credentials.source=USER_INFO",
        f"schema.registry.basic.auth.user.info=user:{SECRET}",
    ),
    "names of Python": (f"url={URL.partition('=')[2]}", f"basic.auth.user.info=user:{SECRET}"),
    "in the URL": (
        "schema.registry.url=https://user:s3cr%25t%3Aof%3Atests@one:8081,https://two:8081/api",
        "basic.auth.credentials.source=URL",
    ),
    "in a Kafka config": (
        "bootstrap.servers=broker:9092",
        "security.protocol=SASL_SSL",
        "sasl.mechanism=PLAIN",
        'sasl.jaas.config=PlainLoginModule required username="${USER}" password="b";',
        "ssl.truststore.location=/of/brokers.pem",
        "session.timeout.ms=45000",
        "specific.avro.reader=true",
        URL,
        f"basic.auth.user.info=user:{SECRET}",
    ),
}


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login_is_read_in_each_way_of_writing_it(config, kind):
    """What belongs to brokers and serializers in the same file has no effect."""
    found = make_registry_config(None, config(*LOGINS[kind]))
    assert found.urls == ("https://one:8081", "https://two:8081/api")
    assert found.login == ("user", SECRET)
    assert not found.tls
    assert SECRET not in repr(found)


def test_a_prefix_of_java_takes_precedence(config):
    """A file of a producer has both."""
    lines = ("ssl.ca.location=/a.pem", "schema.registry.ssl.ca.location=/b.pem")
    assert make_registry_config(None, config(URL, *lines)).tls == {"ssl.ca.location": "/b.pem"}
    shared = ("bootstrap.servers=b:1", "ssl.ca.location=/a.pem")
    assert not make_registry_config(None, config(URL, *shared)).tls


def test_the_setting_takes_precedence_over_the_file(config):
    """And the login of the file is used."""
    path = config(URL, f"basic.auth.user.info=user:{SECRET}")
    settings = Settings.build(schema_registry_url="http://three:1", schema_registry_config=path)
    found = read_registry_config(settings)
    assert (found.urls, found.login[0]) == (("http://three:1",), "user")
    assert found.is_url_overridden
    assert read_registry_config(Settings.build()) is None


REFUSED = {
    "basic.auth.user.inf=user:SECRET": "is it basic.auth.user.info",
    "no.such.name=SECRET": "the supported names are schema.registry.url, basic.auth",
    "basic.auth.credentials.source=SASL_INHERIT": "basic.auth.credentials.source=USER_INFO",
    "bearer.auth.credentials.source=SASL_OAUTHBEARER_INHERIT": "bearer.auth.issuer.endpoint.url",
    "bearer.auth.custom.provider.class=com.mine.Tokens": "STATIC_TOKEN",
    "bearer.auth.credentials.source=STATIC_TOKEN": "needs bearer.auth.token",
    "bearer.auth.credentials.source=OTHER": "must be one of STATIC_TOKEN, OAUTHBEARER",
    "bearer.auth.token=SECRET": "set bearer.auth.credentials.source",
    "basic.auth.user.info=alone": "has no colon",
    "basic.auth.user.info=${USER}:${PASSWORD}": "has a placeholder",
    "schema.registry.proxy.host=p": "https_proxy",
    "ssl.truststore.location=/x.jks": "keytool",
    "schema.registry.url=https://a:b@h,https://c:d@i": "several logins",
    "schema.registry.url=ftp://user:SECRET@h": "begins with neither",
    "schema.registry.url=https://h:port": "a port that is no number",
    "schema.registry.url=https://h/?a=SECRET": "without a query",
    "schema.registry.url=": "lacks schema.registry.url",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_has_no_effect_is_refused_by_name_and_with_its_remedy(config, line):
    """No message contains a secret."""
    lines = [line.replace("SECRET", SECRET)]
    if not line.startswith("schema.registry.url"):
        lines.insert(0, URL)
    path = config(*lines)
    with pytest.raises(ConfigError) as refused:
        make_registry_config(None, path).ssl_context()
    assert REFUSED[line] in str(refused.value)
    assert path in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_file_of_another_format_is_named(config):
    """As for a Kafka config."""
    with pytest.raises(ConfigError, match=r"the schema registry config .* is JSON"):
        make_registry_config(None, config("{}"))
    with pytest.raises(ConfigError, match="cannot read the schema registry config"):
        make_registry_config(None, "no-such-file")
