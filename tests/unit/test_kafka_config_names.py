"""Kafka configs as clouds and Java programs hand them out."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import stream_rnn
from stream_rnn.cli.verbs.tail import command as tail
from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import REFUSED
from stream_rnn.kafka.config_rules import check_names, ignored_note
from stream_rnn.kafka.connection import config_notes, connection_options, kafka_options
from stream_rnn.kafka.tokens import CachedTokens
from stream_rnn.settings import Settings
from tests.client_config_names import JAVA, LIBRDKAFKA

OAUTH = "org.apache.kafka.common.security.oauthbearer"
CONFLUENT = """
# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=broker.example.com:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='SECRET';
sasl.mechanism=PLAIN
client.dns.lookup=use_all_dns_ips
session.timeout.ms=45000
acks=all
client.id=ccloud-java-client
# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc.example.com
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=SR_KEY:SR_SECRET
"""
CLOUDS = {
    "Confluent Cloud, Java": (CONFLUENT, {"sasl_plain_username": "KEY", "client_id": "ccloud-java-client"}),
    "Confluent Cloud, librdkafka": (
        ("bootstrap.servers=a:9092\nsecurity.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\n"
        "sasl.username=KEY\nsasl.password=SECRET\nsession.timeout.ms=45000\n"),
        {"sasl_plain_username": "KEY", "sasl_plain_password": "SECRET", "sasl_mechanism": "PLAIN"},
    ),
    "MSK, SCRAM": (
        ("security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config="
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="alice" password="p";\n'),
        {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "alice"},
    ),
    "Event Hubs": (
        ("bootstrap.servers=ns.servicebus.windows.net:9093\nsecurity.protocol=SASL_SSL\n"
        "sasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain."
        'PlainLoginModule required username="$ConnectionString" password="Endpoint=sb://ns.'
        'servicebus.windows.net/;SharedAccessKeyName=N;SharedAccessKey=k3y=";\n'
        "request.timeout.ms=60000\nmetadata.max.idle.ms=180000\nlinger.ms=100\n"),
        {
            "sasl_plain_username": "$ConnectionString",
            "sasl_plain_password": "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=N;"
            "SharedAccessKey=k3y=",
        },
    ),
    "Event Hubs, Entra": (
        ("security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config="
        f'{OAUTH}.OAuthBearerLoginModule required clientId="c" clientSecret="s" '
        'scope="https://ns.servicebus.windows.net/.default";\n'
        "sasl.oauthbearer.token.endpoint.url=https://login.example.com/oauth2/v2.0/token\n"
        f"sasl.login.callback.handler.class={OAUTH}.secured.OAuthBearerLoginCallbackHandler\n"),
        {"sasl_mechanism": "OAUTHBEARER"},
    ),
    "Redpanda": (
        ("bootstrap.servers=seed.example.com:9092\nsecurity.protocol=SASL_SSL\n"
        "sasl.mechanism=SCRAM-SHA-256\nsasl.username=u\nsasl.password=p\n"),
        {"sasl_mechanism": "SCRAM-SHA-256", "bootstrap_servers": ["seed.example.com:9092"]},
    ),
    "consumer and producer": (
        ("bootstrap.servers=a:1\ngroup.id=g\nkey.deserializer=x\nvalue.deserializer=x\n"
        "auto.offset.reset=latest\nenable.auto.commit=false\nisolation.level=read_uncommitted\n"
        "retries=3\nlinger.ms=5\ncompression.type=lz4\nkey.serializer=x\ngroup.protocol=classic\n"
        "ssl.endpoint.identification.algorithm=https\n"),
        {"security_protocol": "PLAINTEXT", "bootstrap_servers": ["a:1"]},
    ),
}  # fmt: skip

GOOGLE = (
    "sasl.mechanism=OAUTHBEARER\n"
    "sasl.login.callback.handler.class=com.google.cloud.hosted.kafka.auth.GcpLoginCallbackHandler\n"
    f"sasl.jaas.config={OAUTH}.OAuthBearerLoginModule required;\n"
)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_clouds_hand_out_is_taken(config, cloud):
    """The login of each, and the brokers if the file names some."""
    text, expected = CLOUDS[cloud]
    options = kafka_options(None, config(text))
    assert {name: options.get(name) for name in expected} == expected


def test_one_note_lists_what_is_ignored_and_what_does_it_instead(config):
    """Not as many lines as names; no value of the file is in it."""
    path = config(CONFLUENT)
    (note, conflict) = config_notes(Settings.build(kafka_config=path))
    assert note == (
        f"{path}: ignored: acks (stream_rnn writes with acks=all), basic.auth.credentials.source, "
        "basic.auth.user.info, client.dns.lookup, schema.registry.url "
        "(see --schema-registry-config), session.timeout.ms (see BROKER_SESSION_TIMEOUT of Faust, in seconds)"
    )
    assert conflict is None


def test_a_file_of_what_has_an_effect_needs_no_note(config):
    """There is nothing to say."""
    assert config_notes(Settings.build(kafka_config=config("security.protocol=SSL\n"))) == (
        None,
        None,
    )
    assert config_notes(Settings.build()) == (None, None)


def test_no_client_connects_without_the_config():
    """``connection_options`` is the one way from settings to options, so a file always counts."""
    found = [
        f"{path}: {line.strip()}"
        for path in Path(stream_rnn.__file__).parent.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "settings.bootstrap_servers" in line
    ]
    assert not found


def test_brokers_that_are_set_take_precedence_over_those_of_the_file(config, monkeypatch):
    """As an option or in the environment, and a note says so; a default is no setting."""
    path = config(CONFLUENT)
    options = connection_options(Settings.build(kafka_config=path))
    assert options["bootstrap_servers"] == ["broker.example.com:9092"]
    monkeypatch.setenv("STREAM_RNN_BOOTSTRAP_SERVERS", "b:1")
    for settings in (
        Settings.build(kafka_config=path),
        Settings.build(kafka_config=path, bootstrap_servers="b:1"),
    ):
        assert connection_options(settings)["bootstrap_servers"] == ["b:1"]
        (_, conflict) = config_notes(settings)
        assert conflict == (
            f"--bootstrap-servers b:1 takes precedence over bootstrap.servers broker.example.com:9092 of {path}"
        )
    monkeypatch.setenv("STREAM_RNN_BOOTSTRAP_SERVERS", "broker.example.com:9092")
    assert config_notes(Settings.build(kafka_config=path))[1] is None


def test_a_verb_prints_the_note_once(config):
    """On standard error, before it fails for want of a broker."""
    path = config("bootstrap.servers=127.0.0.1:1\nacks=all\nretries=3\n")
    words = ["t", f"--kafka-config={path}", "--kafka-timeout-s=1"]
    result = CliRunner().invoke(tail, words, standalone_mode=False)
    assert result.stderr == f"{path}: ignored: acks (stream_rnn writes with acks=all), retries\n"
    assert "no Kafka broker answers at 127.0.0.1:1" in str(result.exception)


@pytest.mark.parametrize("name", [*REFUSED, "group.protocol"])
def test_what_contradicts_is_refused_with_the_reason(config, name):
    """Ignoring it would do something else than the file demands."""
    with pytest.raises(ConfigError, match=f"{name} (is refused: |= consumer is not supported: )"):
        kafka_options("a:1", config(f"{name}=consumer\n"))


def test_no_name_of_kafkas_clients_is_unknown():
    """Each has an effect, passes with the note, or is refused with a reason of its own."""
    assert len(JAVA) > 140
    assert len(LIBRDKAFKA) > 140
    refused = []
    for name in {*JAVA, *LIBRDKAFKA}:
        try:
            known = check_names({name: "classic"}, "f")
        except ConfigError as error:
            refused.append((name, str(error)))
        else:
            assert known or name in str(ignored_note({name: "classic"}, "f"))
    assert not [one for one in refused if not one[1].startswith(f"f: {one[0]} is refused: ")]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("share.acquire.mode", "workers read by a consumer group"),
        ("sasl.oauthbearer.assertion.private.key.file", "signs no assertion"),
        ("bootstrap.controllers", "name them with bootstrap.servers"),
        ("ssl.crl.location", "checks no revocation list"),
        ("config.providers.env.class", "mount a file"),
    ],
)
def test_a_name_that_asks_for_more_is_refused_and_an_empty_one_passes(config, name, why):
    """Programs that write down all names leave the unset ones empty."""
    with pytest.raises(ConfigError, match=f"{name} is refused: .*{why}"):
        kafka_options("a:1", config(f"{name}=x\n"))
    kafka_options("a:1", config(f"{name}=\nenable.ssl.certificate.verification=true\n"))


@pytest.mark.parametrize(
    ("protocol", "lines", "ignored"),
    [
        ("PLAINTEXT", "ssl.truststore.location=/x.jks\nssl.truststore.type=JKS", "ssl.truststore.location"),
        ("PLAINTEXT", "sasl.mechanism=GSSAPI\nsasl.jaas.config=x.Krb5LoginModule required;", "sasl.jaas.config"),
        ("PLAINTEXT", "ssl.endpoint.identification.algorithm=", None),
        ("SASL_PLAINTEXT", "sasl.username=u\nsasl.password=p\nssl.keystore.location=/k.p12", "ssl.keystore.location"),
        ("SSL", "sasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=${env:P}", "sasl.username"),
    ],
)  # fmt: skip
def test_what_the_security_protocol_does_not_use_passes_with_the_note(
    config, protocol, lines, ignored
):
    """As in Java, if the file names its protocol; a file for several environments has all of it."""
    path = config(f"security.protocol={protocol}\n{lines}\n")
    options = kafka_options("a:1", path)
    assert options["security_protocol"] == protocol
    assert ("sasl_mechanism" in options) == protocol.startswith("SASL")
    (note, _) = config_notes(Settings.build(kafka_config=path))
    if ignored is None:
        assert note is None
    else:
        assert f"{ignored} (no effect with security.protocol {protocol})" in note


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("sasl.mechanism=PLAIN\nsasl.mechanisms=SCRAM-SHA-256\n", "sasl.mechanisms and sasl.mechanism differ"),
        ("sasl.mechanism=OAUTHBEARER\n", "needs sasl.oauthbearer.token.endpoint.url"),
        ("sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://x\n", "needs clientId and clientSecret"),
        ("sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=ftp://x\n", "begins with https://"),
        ("sasl.mechanism=OAUTHBEARER\nsasl.jaas.config=x.PlainLoginModule required;\n", "must be of OAuthBearerLoginModule"),
        ("sasl.mechanism=PLAIN\nsasl.jaas.config=x.OAuthBearerLoginModule required;\n", "of PLAIN must be of PlainLoginModule"),
        ("sasl.login.callback.handler.class=com.example.Mine\n", "names a Java class that does not run here"),
        (GOOGLE, "GcpLoginCallbackHandler of Google, .*; set sasl.mechanism=PLAIN with the e-mail address of a"),
    ],
)  # fmt: skip
def test_a_login_that_lacks_something_is_refused(config, lines, said):
    """The message has the file, the name and the remedy."""
    path = config(f"security.protocol=SASL_SSL\n{lines}")
    with pytest.raises(ConfigError, match=said) as error:
        kafka_options("a:1", path)
    assert path in str(error.value)


@pytest.mark.parametrize(
    "names",
    [
        (
            "sasl.jaas.config={o}.OAuthBearerLoginModule required clientId='c' clientSecret='s3cret' "
            "scope='r w' extension_logicalCluster='lkc-1' extension_identityPoolId='pool-1';"
        ),
        (
            "sasl.oauthbearer.client.credentials.client.id=c\nsasl.oauthbearer.scope=r w\n"
            "sasl.oauthbearer.client.credentials.client.secret=s3cret\n"
            "sasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-1\n"
            "sasl.oauthbearer.jwt.retriever.class={o}.ClientCredentialsJwtRetriever"
        ),
        (
            "sasl.oauthbearer.method=oidc\nsasl.oauthbearer.client.id=c\nsasl.oauthbearer.scope=r w\n"
            "sasl.oauthbearer.client.secret=s3cret\n"
            "sasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-1"
        ),
    ],
    ids=["Java before 4.1", "Java", "librdkafka"],
)
def test_client_credentials_have_the_names_of_every_client(config, names):
    """With the SASL extensions that Confluent Cloud wants; the secret is in no representation."""
    url = "sasl.oauthbearer.token.endpoint.url=https://x/token\n"
    text = f"security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n{url}{names.format(o=OAUTH)}\n"
    provider = kafka_options("a:1", config(text))["sasl_oauth_token_provider"]
    assert isinstance(provider, CachedTokens)
    client = provider._fetch.__self__
    assert (client.client_id, client.client_secret, client.scope) == ("c", "s3cret", "r w")
    assert provider.extensions() == {"logicalCluster": "lkc-1", "identityPoolId": "pool-1"}
    assert "s3cret" not in repr(client)


@pytest.mark.parametrize("extension", ["a1=x", "auth=x", "a=x\x01b"])
def test_an_extension_that_would_break_the_message_is_refused(config, extension):
    """Names are letters (RFC 7628), and no value ends the message."""
    text = (
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.client.id=c\n"
        "sasl.oauthbearer.client.secret=s\nsasl.oauthbearer.token.endpoint.url=https://x/token\n"
        f"sasl.oauthbearer.extensions={extension}\n"
    )
    with pytest.raises(ConfigError, match="is not valid"):
        kafka_options("a:1", config(text))
