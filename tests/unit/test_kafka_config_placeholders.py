"""Values of a Kafka config that a template or an example has not filled in."""

from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_rules import check_names
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.placeholders import check_placeholders
from stream_rnn.kafka.properties import read_properties

TOKEN_URL = "sasl.oauthbearer.token.endpoint.url"
JAAS = "x.PlainLoginModule required username='u' password="


def event_hubs(namespace, key):
    """Return a login with a connection string of Event Hubs."""
    host = f"Endpoint=sb://{namespace}.servicebus.windows.net/"
    return f'sasl.jaas.config={JAAS}"{host};SharedAccessKeyName=app;SharedAccessKey={key}";'


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"sasl.jaas.config={JAAS}'${{env:PASSWORD}}';", "${...}"),
        (f"sasl.jaas.config={JAAS}'${{file:/run/secrets/kafka:password}}';", "${...}"),
        (f"sasl.jaas.config={JAAS}'${{secretsmanager:kafka:password}}';", "${...}"),
        (f"sasl.jaas.config={JAAS}'<API_SECRET>';", "<...>"),
        ("sasl.password=${KAFKA_PASSWORD:secret}", "${...}"),
        ("sasl.password={{ .Values.password }}", "{{ ... }}"),
        ("sasl.username=<CLUSTER_API_KEY>", "<...>"),
        ("bootstrap.servers=a:1,<BOOTSTRAP_SERVER>:9092", "<...>"),
        ("ssl.truststore.location=${directory:/etc/tls:ca.pem}", "${...}"),
        ("ssl.truststore.location=/etc/${HOST}.pem", "${...}"),
        ("sasl.jaas.config=${file:/run/secrets/kafka:jaas}", "${...}"),
        (f"sasl.jaas.config={JAAS}{{{{ .Values.password }}}};", "{{ ... }}"),
        (
            "sasl.jaas.config=x.PlainLoginModule required username='${USER}-1' password='p';",
            "${...}",
        ),
        (f'sasl.jaas.config={JAAS}"{{YOUR.EVENTHUBS.CONNECTION.STRING}}";', "{...}"),
        ("bootstrap.servers={YOUR.EVENTHUBS.FQDN}:9093 # e.g. n.servicebus.windows.net", "{...}"),
        (f"{TOKEN_URL}=https://login.microsoftonline.com/{{tenant-id}}/oauth2/v2.0/token", "{...}"),
        (event_hubs("<NAMESPACE>", "k1="), "<...>"),
        (event_hubs("n", "XXXXXX"), "xxx"),
        ("bootstrap.servers=<NAMESPACE>.servicebus.windows.net:9093", "<...>"),
        ("ssl.truststore.location=<path/to/client.truststore.pem>", "<...>"),
        ("sasl.username=< CLIENT ID >", "<...>"),
        (f"sasl.jaas.config={JAAS}'$KAFKA_PASSWORD';", "$NAME"),
        ("sasl.password=$PASSWORD", "$NAME"),
        ("sasl.password=$(KAFKA_PASSWORD)", "$(...)"),
        ("sasl.password=#{Kafka.Password}#", "#{...}"),
        ("sasl.password=#{KAFKA_PASSWORD}", "#{...}"),
        ("sasl.password=%KAFKA_PASSWORD%", "%...%"),
        ("sasl.password=@kafka.password@", "@...@"),
        ("sasl.username=[API_KEY]", "[...]"),
        ("sasl.password=YOUR_API_SECRET", "YOUR_..."),
        ("bootstrap.servers=YOUR-BROKER:9092", "YOUR_..."),
        ("sasl.password=********", "xxx"),
    ],
)
def test_a_placeholder_is_refused_with_its_line(config, line, kind):
    """Sent as it stands, it would be a wrong password, without a word of the cause."""
    path = config(f"security.protocol=SASL_SSL\n{line}\n")
    with pytest.raises(ConfigError) as error:
        kafka_options("a:1", path)
    name = line.partition("=")[0]
    assert str(error.value).startswith(f"{path}: line 2: {name} has a placeholder, {kind}, which")
    assert "write the value itself" in str(error.value)
    assert "KAFKA_PASSWORD" not in str(error.value)


@pytest.mark.parametrize(
    "password",
    [
        *("a<b>c", "$ecret", "x{1}", "$5{", "<3", "${1}", "${}", "ab${x}c", "a{{b}}c", "${a}${b}"),
        *("{aB3x}", "[Qw-7]", "%Zz9%", "@k1@", "#{h4}", "$X9K2", "$(rT5)", "xxxx1", "a%PASSWORD%"),
    ],
)
def test_a_password_may_have_the_signs_of_a_placeholder(config, password):
    """Random ones do, and there is no way to escape them."""
    login = f"sasl.username=u\nsasl.password={password}\n"
    for lines in (login, f"sasl.jaas.config={JAAS}'{password}';\n"):
        text = f"security.protocol=SASL_PLAINTEXT\n{lines}"
        assert kafka_options("a:1", config(text))["sasl_plain_password"] == password


@pytest.mark.parametrize(
    "line",
    [
        "bootstrap.servers=[fe80::1]:9093,[::1]:9092",
        'sasl.jaas.config=x.PlainLoginModule required username="$ConnectionString" password="p";',
        f"{TOKEN_URL}=https://h/realms/caf%C3%A9%C3%A4/token?a=%20b%20",
        "sasl.username=svc@corp@EXAMPLE.COM",
        event_hubs("n", "ab{c}d$(e)="),
    ],
)
def test_what_resembles_a_placeholder_passes(config, line):
    """An IPv6 address, the user of Event Hubs, an encoded URL, a user with two at signs."""
    path = config(f"{line}\n")
    properties = read_properties(path)
    check_placeholders(properties, [*properties], path)


def test_the_line_of_a_placeholder_is_that_of_the_value_that_counts(config):
    """The last one counts; a file that is replaced meanwhile has no such line, or no lines."""
    path = config("sasl.password=first\nsasl.username=u\nsasl.password=${X}\n")
    properties = read_properties(path)
    texts = ("line 3: sasl.password has", "sasl.password has", "sasl.password has")
    for text, content in zip(texts, (None, "sasl.username=u\n", "x=\\u12"), strict=True):
        if content is not None:
            Path(path).write_text(content)
        with pytest.raises(ConfigError) as error:
            check_placeholders(properties, ["sasl.password"], path)
        assert str(error.value).startswith(f"{path}: {text} a placeholder, ${{...}}, which")
    Path(path).unlink()
    with pytest.raises(ConfigError, match="has changed while it was read; start again"):
        check_names({"sasl.pasword": "x"}, path)
