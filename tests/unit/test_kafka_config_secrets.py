"""Messages about a Kafka config contain no part that may be a secret."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.connection import kafka_options, parse_servers


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
    assert "line 5 does not begin with a name; the line before may lack a backslash" in message
    assert "S3cret" not in message


def test_all_unknown_names_are_listed_at_once(refuse):
    message = refuse("sasl.passwort=S3cret\nfoo=S3cret\n'S3cret'\n")
    assert "sasl.passwort is not supported; is it sasl.password" in message
    assert "foo is not supported; " in message
    assert "line 3 " in message
    assert "S3cret" not in message
