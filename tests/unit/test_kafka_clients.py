"""The end of a client of Kafka: in time, and with no connection left, whatever it waits for."""

import asyncio
import logging
import ssl
import time

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_rnn.kafka import clients as kafka_clients
from stream_rnn.kafka.clients import new_admin, new_consumer, stop_admin, stop_consumer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.local.processes import free_port
from tests.integration.certificates import make_certificates


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Give nothing much time."""
    monkeypatch.setattr(kafka_clients, "CLOSE_WITHIN_S", 0.2)


@pytest.fixture
async def silent():
    """Return the address of a server that never answers, and how many connections it has."""
    held = []

    async def accept(reader, writer):
        held.append(writer)
        while await reader.read(100):
            pass
        held.remove(writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", held
    server.close()
    for writer in held:
        writer.close()


async def start_in_vain(client):
    """Start a client, whose server does not answer."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.start()


async def no_more_of(held):
    """Wait until a server has no connection any more."""
    async with asyncio.timeout(5):
        while held:
            await asyncio.sleep(0.01)


async def test_an_admin_client_whose_start_was_cut_off_keeps_no_connection(silent):
    """Whatever its start had opened; aiokafka's own ``close`` does nothing then."""
    address, held = silent
    admin = new_admin(bootstrap_servers=address)
    await start_in_vain(admin)
    assert held
    await stop_admin(admin, 0.2)
    await no_more_of(held)


async def test_a_consumer_whose_start_was_cut_off_keeps_no_connection(silent):
    """Its ``stop`` sees to it."""
    address, held = silent
    consumer = new_consumer(bootstrap_servers=address)
    await start_in_vain(consumer)
    await stop_consumer(consumer, 0.2)
    await no_more_of(held)


class Closed:
    """Something to be closed."""

    def __init__(self):
        self.is_closed = False

    async def close(self):
        """Be closed."""
        self.is_closed = True


class Stuck:
    """A client that never comes to its end, or fails on the way.

    Args:
        error: that its end raises; without one it waits for ever.
    """

    def __init__(self, error=None):
        self.error = error
        self._fetcher, self._client = Closed(), Closed()

    async def stop(self):
        """Wait for a broker."""
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()

    close = stop


@pytest.mark.parametrize("error", [None, KafkaConnectionError("cut"), OSError(9, "gone")])
async def test_a_consumer_that_cannot_end_is_given_up(error):
    """In time; it fetches nothing more, and keeps no connection."""
    consumer, began = Stuck(error), time.monotonic()
    async with asyncio.timeout(10):
        await stop_consumer(consumer, 0.2)
    assert (time.monotonic() - began >= 0.2) is (error is None)
    assert consumer._fetcher.is_closed
    assert consumer._client.is_closed


async def test_an_admin_client_that_cannot_end_is_given_up():
    """In time; it keeps no connection."""
    admin = Stuck()
    async with asyncio.timeout(10):
        await stop_admin(admin, 0.2)
    assert admin._client.is_closed


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\x04abcd", b"\0\0\0\x01a"])
async def test_a_start_without_a_broker_is_an_error_and_no_log(answer, caplog):
    """Nobody listens, or something else does: the error has the reason, aiokafka logs nothing."""

    async def reply(reader, writer):
        writer.write(answer)
        await reader.read()  # until the client closes; a server of Python 3.12 waits for it
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1] if answer else free_port()
        connection = {"bootstrap_servers": [f"127.0.0.1:{port}"]}
        consumer = new_consumer(**connection, request_timeout_ms=2000)
        with pytest.raises(KafkaConnectionError) as error:
            await consumer.start()
        await stop_consumer(consumer, 1.0)
        message = await describe_unreachable(connection, error.value)
    assert message.startswith(f"no Kafka broker answers at 127.0.0.1:{port} (")
    assert [record.getMessage() for record in caplog.records] == []
    logging.getLogger("aiokafka").error("the broker went away")
    assert [record.getMessage() for record in caplog.records] == ["the broker went away"]


async def test_a_broker_whose_certificate_is_not_trusted_is_no_missing_broker(tmp_path):
    """The message says that TLS fails, and what to correct."""
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    config = tmp_path / "client.properties"
    config.write_text("security.protocol=SSL\n")

    async def close(_reader, writer):
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=context) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = kafka_options(address, str(config))
        message = await describe_unreachable(connection, KafkaConnectionError("none answers"))
    assert message.startswith(f"TLS with the Kafka broker at {address} fails (SSLCert")
    assert message.endswith("correct security.protocol, the trust store or the certificate in --kafka-config")  # fmt: skip
