"""Values of a Kafka config that a template or an example has not filled in."""

from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_rules import check_names, check_placeholders
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.properties import read_properties


@pytest.fixture
def config(tmp_path):
    """Write a Kafka config and return its path."""

    def write(text):
        path = tmp_path / "client.properties"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


JAAS = "x.PlainLoginModule required username='u' password="


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
    ["a<b>c", "$ecret", "x{1}", "$5{", "<3", "${1}", "${}", "ab${x}c", "a{{b}}c", "${a}${b}"],
)
def test_a_password_may_have_the_signs_of_a_placeholder(config, password):
    """Random ones do, and there is no way to escape them."""
    login = f"sasl.username=u\nsasl.password={password}\n"
    for lines in (login, f"sasl.jaas.config={JAAS}'{password}';\n"):
        text = f"security.protocol=SASL_PLAINTEXT\n{lines}"
        assert kafka_options("a:1", config(text))["sasl_plain_password"] == password


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
