"""Options of Kafka's and Redis' clients."""

import ssl
import traceback

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.kafka.config_names import KNOWN
from stream_rnn.kafka.connection import faust_credentials, kafka_options
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.local.processes import free_port
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis, safe_url
from stream_rnn.store.server_checks import check_redis

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


async def test_redis_is_asked_for_raw_bytes_with_a_deadline_and_no_retry():
    """Hidden states are bytes, and our own code retries."""
    client = connect_redis("rediss://alice:s3cret@cache:6380/2?ssl_ca_certs=ca.pem", 1.5)
    options = client.connection_pool.connection_kwargs
    assert isinstance(client, Redis)
    assert (options["host"], options["port"], options["db"]) == ("cache", 6380, 2)
    assert (options["username"], options["password"]) == ("alice", "s3cret")
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1.5, 1.5)
    assert not options["decode_responses"]
    assert options["retry"].get_retries() == 0
    assert client.connection_pool.timeout == 1.5
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://u:s3cret@a:7000", {"a:7000"}),
        ("redis://u:s3cret@a:7000,b:7001/0", {"a:7000", "b:7001"}),
        ("redis+cluster://u:s3cret@[::1]:7000,b,[::2]:7001/0", {"::1:7000", "b:6379", "::2:7001"}),
    ],
)
async def test_several_hosts_are_a_cluster(url, nodes):
    """Each of them is asked until one answers; an address of IPv6 may be among them."""
    client = connect_redis(url, 1.0)
    assert isinstance(client, RedisCluster)
    assert client.connection_kwargs["password"] == "s3cret"
    assert client.connection_kwargs["socket_timeout"] == 1.0
    assert {*client.nodes_manager.startup_nodes} == nodes
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "sentinels"),
    [
        ("redis+sentinel://u:s3cret@a:26380,b,[::1]:7/main/2", [("a", 26380), ("b", 26379), ("::1", 7)]),
        ("redis+sentinel://u:s3cret@a/main/2?sentinel_password=other", [("a", 26379)]),
    ],
)  # fmt: skip
async def test_sentinels_are_asked_for_the_primary(url, sentinels):
    """With their own password; the primary gets the URL's user and database."""
    client = connect_redis(url, 1.5)
    pool = client.connection_pool
    assert (pool.service_name, pool.is_master) == ("main", True)
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("u", "s3cret", 2)
    assert (options["socket_timeout"], options["retry"].get_retries()) == (1.5, 0)
    asked = [s.connection_pool.connection_kwargs for s in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == sentinels
    assert {one.get("password") for one in asked} == {"other" if "other" in url else None}
    assert {one["socket_timeout"] for one in asked} == {1.5}
    await client.aclose()


async def test_sentinels_and_primary_are_reached_over_tls():
    """An authority of the URL's query is for both."""
    client = connect_redis("rediss+sentinel://a/main?ssl_ca_certs=/ca.pem", 1.0)
    pool = client.connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
    (sentinel,) = pool.sentinel_manager.sentinels
    assert sentinel.connection_pool.connection_class is SSLConnection
    await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@cache",
        "redis+sentinel://u:s3cret@a:26379",
        "redis+sentinel://u:s3cret@a:26379/?ssl_ca_certs=x",
        "redis+sentinel://u:s3cret@a,/main",
        "redis+sentinel://u:s3cret@a:port/main",
        "redis+sentinel://u:s3cret@a/main/0?no_such_option=1",
        "cache:6379",
        "redis://",
        "redis://u:s3cret/x@cache:6379",
        "redis://u:s3cret@cache:port",
        "redis://u:s3cret@cache:6379/0?no_such_option=1",
        "redis+cluster://u:s3cret@cache:6379/3",
        "redis://:s3cret#x@cache:6379",
    ],
)
def test_a_url_that_is_none_of_redis_is_refused_without_its_password(url):
    """Not in the message, and not in what it was raised from."""
    with pytest.raises(ConfigError, match="redis_url") as error:
        connect_redis(url, 1.0)
    shown = error.value
    while shown is not None:
        assert "s3cret" not in str(shown)
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)


@given(
    st.sampled_from(["redis", "rediss", "redis+cluster", "redis+sentinel"]),
    st.text("ab1", max_size=5),
    st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: "xyz" not in text),
)
def test_a_safe_url_has_no_password(scheme, user, password):
    """Whatever characters it has."""
    url = f"{scheme}://{user}:xyz{password}xyz@cache:6379/0"
    assert safe_url(url) == f"{scheme}://{user}:***@cache:6379/0"


def test_a_password_in_the_query_is_hidden_too():
    """Redis' client takes it there."""
    assert safe_url("unix:///s?password=s3cret&db=1") == "unix:///s?password=***&db=***"


def test_a_url_without_a_login_is_shown_whole():
    """There is nothing to hide."""
    assert safe_url("redis://cache:6379/0") == "redis://cache:6379/0"


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


@pytest.mark.parametrize("kind", ["redis", "redis+cluster", "redis+sentinel"])
async def test_a_redis_of_any_kind_that_does_not_answer_is_named(kind):
    """Whatever its client raises."""
    url = f"{kind}://u:s3cret@127.0.0.1:{free_port()}" + ("/main" if "sentinel" in kind else "")
    client = connect_redis(url, 2.0)
    with pytest.raises(UnreachableError, match="does not answer") as error:
        await check_redis(client, Settings.build(redis_url=url))
    assert "s3cret" not in str(error.value)
    await client.aclose()
