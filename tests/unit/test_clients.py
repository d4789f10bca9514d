"""Options of Kafka's clients: brokers, logins and certificates of a config."""

import ssl
import traceback

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from redis.asyncio import RedisCluster

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import KNOWN
from stream_rnn.kafka.connection import faust_credentials, kafka_options
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.local.processes import free_port
from stream_rnn.store.connection import connect_redis

JAAS = (
    "org.apache.kafka.common.security.scram.ScramLoginModule required "
    'username="alice" password="s3cr;et \\"=";'
)


@pytest.fixture
def config(tmp_path):
    """Write a Kafka config and return its path."""

    def write(*lines):
        path = tmp_path / "client.properties"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_without_a_config_the_connection_is_plain():
    """Brokers are separated by commas."""
    options = kafka_options("a:1, b:2,")
    assert isinstance(options.pop("credentials"), Credentials)
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_no_broker_is_refused():
    """The message names the setting."""
    with pytest.raises(ConfigError, match="bootstrap_servers is empty"):
        kafka_options(" , ")


@pytest.mark.parametrize(
    "server",
    [
        "host:abc",
        "host:0",
        "host:65536",
        "host:-1",
        "host:",
        ":9092",
        "[::1",
        "kafka://host:9092",
        "a\tb:9092",
        "a..b:9092",
    ],
)
def test_a_server_that_is_no_host_and_port_is_refused(server):
    """Before a client is made, which would raise errors of its own."""
    with pytest.raises(ConfigError, match="bootstrap_servers has ") as error:
        kafka_options(f"a:1,{server}")
    assert f"{server!r}, which is not host:port" in str(error.value)


def test_a_server_may_be_any_address():
    """A name, or an address of IPv4 or IPv6, with or without a port."""
    servers = ["host", "10.0.0.1:9092", "::1", "[::1]", "[::1]:9092", "zürich.example:1"]
    assert kafka_options(",".join(servers))["bootstrap_servers"] == servers


def test_a_java_config_is_read(config):
    """Comments, continued lines, escapes and both separators are those of java.properties."""
    path = config(
        "# a comment",
        "! another",
        "",
        "security.protocol: sasl_plaintext",
        "sasl.mechanism SCRAM-SHA-512",
        "sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required \\",
        '    username="al\\u0069ce" \\',
        '    password="p=w:#1";',
        "client.id=reader",
    )

    options = kafka_options("a:1", path)
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "alice"
    assert options["sasl_plain_password"] == "p=w:#1"
    assert options["client_id"] == "reader"


def test_a_broken_escape_is_refused_without_the_password(config):
    """The message names the file alone."""
    path = config("security.protocol=SASL_PLAINTEXT", "sasl.username=a", "sasl.password=s3\\u00g0")
    with pytest.raises(
        ConfigError, match=f"{path}: four hexadecimal digits must follow .u"
    ) as error:
        kafka_options("a:1", path)
    assert "00g0" not in "".join(traceback.format_exception(error.value))


def test_space_around_a_value_is_no_part_of_it(config):
    """Kafka's own clients trim every value."""
    path = config("security.protocol = SASL_PLAINTEXT \t", "sasl.username=a ", "sasl.password= b ")
    options = kafka_options("a:1", path)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("a", "b")


def test_a_space_that_java_keeps_is_part_of_a_value(config):
    """Java trims up to U+0020; a no-break space may end a password."""
    path = config(
        "security.protocol=SASL_PLAINTEXT", "sasl.username=a", "sasl.password= b\u00a0\u2003 "
    )
    assert kafka_options("a:1", path)["sasl_plain_password"] == "b\u00a0\u2003"


@pytest.mark.parametrize(
    ("jaas", "password"),
    [
        ("username='u' password='p\"q'", 'p"q'),
        ('username="u" password="it\'s"', "it's"),
        ("username=u password=p", "p"),
        ('username=u password="p" my.password="bad" password-hint="bad"', "p"),
        ('username=u password="p" note="password=\'bad\'"', "p"),
        ('username=u password = ""', ""),
        ("username=u password=a\u00a0b", "a\u00a0b"),
        (r'username=u password="\\t\\101\\q\\\\\\47"', "\tAq\\'"),
        (r'username=u password="\\u0041"', "u0041"),
    ],
)
def test_jaas_is_read_as_java_reads_it(config, jaas, password):
    """Its options are whole words, in either quotes or none, with the escapes of Java's tokenizer."""
    line = f"sasl.jaas.config=PlainLoginModule required {jaas};"
    options = kafka_options("a:1", config("security.protocol=SASL_PLAINTEXT", line))
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", password)


def test_a_byte_order_mark_is_no_part_of_the_first_name(config):
    """Some editors begin a file with one."""
    path = config("\ufeffsecurity.protocol=SSL")
    assert kafka_options("a:1", path)["security_protocol"] == "SSL"


def test_user_and_password_may_stand_alone(config):
    """They win over sasl.jaas.config."""
    path = config(
        "security.protocol=SASL_PLAINTEXT", "sasl.username=bob", "sasl.password=", JAAS_LINE
    )

    options = kafka_options("a:1", path)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("bob", "")
    assert options["sasl_mechanism"] == "PLAIN"


JAAS_LINE = "sasl.jaas.config=" + JAAS.replace("\\", "\\\\")


def test_a_quoted_password_is_unescaped(config):
    """A quote inside of JAAS is escaped twice: by JAAS and by the file."""
    path = config("security.protocol=SASL_PLAINTEXT", JAAS_LINE)
    assert kafka_options("a:1", path)["sasl_plain_password"] == 's3cr;et "='


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["security.protocl=SSL"], "security.protocl is not supported"),
        (["security.protocol=TLS"], "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        (["security.protocol=SASL_SSL", "sasl.mechanism=GSSAPI"], "SCRAM-SHA-512"),
        (["security.protocol=SASL_PLAINTEXT"], "needs a user and a password"),
        (["security.protocol=SASL_PLAINTEXT", "sasl.username=a"], "needs a user and a password"),
        (["sasl.username=a"], "sasl.username has no effect with security.protocol PLAINTEXT"),
        (["ssl.ca.location=x"], "ssl.ca.location has no effect"),
        (["security.protocol=SSL", "ssl.truststore.type=JKS"], "PEM"),
        (["security.protocol=SSL", "ssl.ca.location=missing.pem"], "cannot load its certificates"),
        (
            ["security.protocol=SASL_PLAINTEXT", "sasl.jaas.config=Krb5LoginModule required;"],
            "ScramLoginModule",
        ),
    ],
)
def test_a_config_that_would_not_do_what_it_says_is_refused(config, lines, said):
    """The message has the file, the name and the remedy."""
    path = config(*lines)
    with pytest.raises(ConfigError, match=said) as error:
        kafka_options("a:1", path)
    assert path in str(error.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sasl.passwort", "is it sasl.password"),
        ("sasl.mechanim", "is it sasl.mechanism"),
        ("session.timeout", "is it session.timeout.ms"),
        ("foo", ", ".join(KNOWN)),
    ],
)
def test_an_unknown_name_is_refused_with_the_near_ones(config, written, meant):
    """So that a typing error is found at once."""
    with pytest.raises(ConfigError) as error:
        kafka_options("a:1", config(f"{written}=s3cret"))
    assert f"{written} is not supported; " in str(error.value)
    assert meant in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"#" * 1_000_001])
def test_a_file_that_is_not_a_config_is_refused(tmp_path, content):
    """Missing, not text, or far too large."""
    path = tmp_path / "config"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        kafka_options("a:1", str(path))


@pytest.mark.parametrize("off", ["", "none", "None", "NONE"])
def test_tls_checks_the_host_name_unless_the_config_turns_it_off(config, off):
    """Java's clients turn it off by an empty algorithm, and librdkafka by ``none``."""
    checked = kafka_options("a:1", config("security.protocol=SSL"))["ssl_context"]
    assert checked.check_hostname
    assert checked.verify_mode is ssl.CERT_REQUIRED

    lines = ["security.protocol=SSL", f"ssl.endpoint.identification.algorithm={off}"]
    unchecked = kafka_options("a:1", config(*lines))["ssl_context"]
    assert not unchecked.check_hostname
    assert unchecked.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "url", ["rediss://a/0", "rediss+cluster://a", "rediss+sentinel://a/main/0", "kafka"]
)
async def test_certificates_are_verified_alike_on_every_python(config, url):
    """Authorities of companies often lack what RFC 5280 demands, and Python 3.13 verifies."""
    if url == "kafka":
        context = kafka_options("a:1", config("security.protocol=SSL"))["ssl_context"]
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        return
    client = connect_redis(url, 1.0)
    if isinstance(client, RedisCluster):
        places = [client.connection_kwargs]
    else:
        places = [client.connection_pool.connection_kwargs]
        sentinels = getattr(client.connection_pool, "sentinel_manager", None)
        places += [
            one.connection_pool.connection_kwargs for one in getattr(sentinels, "sentinels", [])
        ]
    for place in places:
        assert place["ssl_exclude_verify_flags"] == [ssl.VERIFY_X509_STRICT]
    await client.aclose()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_connects_as_the_other_clients_do(config, protocol):
    """What Faust makes of the credentials is what aiokafka is given elsewhere."""
    lines = [f"security.protocol={protocol}"]
    if protocol.startswith("SASL"):
        lines += ["sasl.mechanism=SCRAM-SHA-256", JAAS_LINE]
    path = config(*lines)
    ours = kafka_options("a:1", path)
    fausts = credentials_to_aiokafka_auth(faust_credentials(ours.pop("credentials")))
    for options in (ours, fausts):
        assert isinstance(options.pop("ssl_context", None), ssl.SSLContext) == (
            protocol.endswith("SSL")
        )
    assert fausts == {k: v for k, v in ours.items() if k != "bootstrap_servers"}


async def test_an_unreachable_broker_is_named_with_the_remedy():
    """And what the connection itself says, where the client only says that it found none."""
    servers = [f"127.0.0.1:{free_port()}", "b:2"]
    said = await describe_unreachable({"bootstrap_servers": servers}, TimeoutError())
    assert said.startswith(f"no Kafka broker answers at {','.join(servers)} (")
    assert "refused" in said or "Connect" in said, said
    assert said.endswith("check --bootstrap-servers and, for TLS or SASL, --kafka-config")


async def test_a_broker_that_answers_meanwhile_leaves_the_clients_own_reason(bootstrap_servers):
    """The message appears once."""
    options = {"bootstrap_servers": bootstrap_servers, "client_id": "x"}
    said = await describe_unreachable(options, ConnectionError("ConnectionError: gone"))
    assert "(ConnectionError: gone)" in said
