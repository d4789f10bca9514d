"""Quotation marks, comments and shell syntax in a Kafka config, which are no part of a value."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.formats.registry_config import read_registry_config
from stream_rnn.kafka.credentials import ConfigFile
from stream_rnn.settings import Settings

LOGIN = "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=u\n"
JAAS = "sasl.jaas.config=x.PlainLoginModule required username='u' password='S3cret';"
QUOTES, COMMENT = "quotation marks around its value", "a comment behind its value"


@pytest.mark.parametrize(
    ("text", "line", "name", "fault"),
    [
        ('bootstrap.servers="h:9092"\n', 1, "bootstrap.servers", QUOTES),
        ("\n# a\nsecurity.protocol='PLAINTEXT'\n", 3, "security.protocol", QUOTES),
        (f'{LOGIN}sasl.password: "S3cret"\n', 4, "sasl.password", QUOTES),
        (f"{LOGIN}sasl.password = \\\n  'S3cret'  \n", 4, "sasl.password", QUOTES),
        (f'{LOGIN}{JAAS.replace("=x", "=" + chr(34) + "x")}"\n', 4, "sasl.jaas.config", QUOTES),
        ("security.protocol=PLAINTEXT  # for S3cret\n", 1, "security.protocol", COMMENT),
        ("bootstrap.servers=h:9092 #S3cret\n", 1, "bootstrap.servers", COMMENT),
        (f"{LOGIN}sasl.password=S3cret # of dev\n", 4, "sasl.password", COMMENT),
        (f"{LOGIN}{JAAS} # of dev\n", 4, "sasl.jaas.config", COMMENT),
        ("metadata.broker.list='h:9092'\n", 1, "metadata.broker.list", QUOTES),
    ],
)
def test_quotation_marks_and_comments_are_named_instead_of_sent(config, text, line, name, fault):
    """With their line and a remedy, and without the value."""
    path = config(text)
    with pytest.raises(ConfigError) as error:
        ConfigFile.read(path)
    assert f"{path}: line {line}: {name} has {fault}" in str(error.value)
    assert "S3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("written", "password"),
    [
        (r"\u0022S3cret\u0022", '"S3cret"'),
        (r"S3 \u0023 cret", "S3 # cret"),
        ("S3#cret", "S3#cret"),
        ("#S3cret", "#S3cret"),
        ("S3 #cret", "S3 #cret"),
        ('"S3cret', '"S3cret'),
        ("S3cret\"'", "S3cret\"'"),
    ],
)
def test_a_password_may_have_the_same_signs(config, written, password):
    """An escape makes marks and signs a part of it, and so does their place."""
    config = ConfigFile.read(config(f"{LOGIN}sasl.password={written}\n"))
    assert config.settings["sasl.password"] == password


@pytest.mark.parametrize("text", ['client.rack="a"\n', "client.rack=a # of dev\n", f"{JAAS}\n"])
def test_a_name_without_an_effect_may_have_any_value(config, text):
    """As the login of a file whose protocol has none, in which quotation marks are JAAS's own."""
    ConfigFile.read(config(f"bootstrap.servers=h:9092\nsecurity.protocol=PLAINTEXT\n{text}"))


@pytest.mark.parametrize("start", ["export ", "", "set "])
def test_environment_variables_are_named(config, start):
    """Instead of a backslash that a line may lack."""
    path = config(f"{start}KAFKA_BOOTSTRAP_SERVERS=h:9092\n{start}KAFKA_SASL_PASSWORD='S3cret'\n")
    with pytest.raises(ConfigError) as error:
        ConfigFile.read(path)
    assert "has environment variables; write the names of Kafka's Java clients" in str(error.value)
    assert "S3cret" not in str(error.value)


def test_a_registry_config_names_them_too(config):
    """Its login would be sent with the quotation marks."""
    path = config('schema.registry.url=http://h\nbasic.auth.user.info="u:S3cret"\n')
    with pytest.raises(ConfigError) as error:
        read_registry_config(Settings.build(schema_registry_config=path))
    assert f"{path}: line 2: basic.auth.user.info has {QUOTES}" in str(error.value)
