"""Clients whose security protocol is not that of the listener: each message names the remedy."""

import pytest

from stream_rnn.cli.program import full_message
from stream_rnn.errors import StreamRNNError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import Settings

SASL = "sasl.mechanism=SCRAM-SHA-512\nsasl.username=u\nsasl.password=S3cret\n"


async def message_of(bootstrap_servers, tmp_path, text) -> str:
    """Return the message of a client with a Kafka config."""
    path = tmp_path / "client.properties"
    path.write_text(text)
    settings = Settings.build(
        bootstrap_servers=bootstrap_servers, kafka_config=str(path), kafka_timeout_s=5
    )
    with pytest.raises(StreamRNNError) as error:
        async with KafkaCluster.of(settings):
            pass
    assert "S3cret" not in str(error.value)
    return full_message(error.value)


async def test_a_login_where_the_listener_has_none_names_the_protocol(bootstrap_servers, tmp_path):
    """There is nothing to correct in the login."""
    said = await message_of(
        bootstrap_servers, tmp_path, f"security.protocol=SASL_PLAINTEXT\n{SASL}"
    )
    assert f"{bootstrap_servers}, which has no SASL" in said
    assert "set security.protocol=PLAINTEXT" in said
    assert "correct the login" not in said


@pytest.mark.parametrize(("protocol", "more"), [("SSL", ""), ("SASL_SSL", SASL)])
async def test_tls_to_a_port_without_tls_says_so(bootstrap_servers, tmp_path, protocol, more):
    """The broker closes the connection without a word."""
    said = await message_of(bootstrap_servers, tmp_path, f"security.protocol={protocol}\n{more}")
    assert "the port may have no TLS" in said
    assert "(no message)" not in said
