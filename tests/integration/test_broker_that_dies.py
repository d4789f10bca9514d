"""Verbs that write to Kafka while its broker goes away: they end, in time and with the reason."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from stream_rnn.errors import FencedError, UnreachableError
from stream_rnn.kafka.clients import new_admin, stop_admin
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.operate.key_states import publish_forgets
from stream_rnn.replay.logs import Range
from stream_rnn.replay.send import SendOptions, send
from stream_rnn.settings import Settings
from tests.shared_servers import freeze as freeze_server
from tests.shared_servers import run_server
from tests.shared_servers import unfreeze as unfreeze_server

TOPIC = "t"
WITHIN_S = 20


@pytest.fixture(scope="module")
def broker():
    """A broker that may be frozen."""
    with run_server(LocalKafka()) as kafka:
        yield kafka


@pytest.fixture
async def freeze(broker):
    """Return what freezes the broker until the test is over."""
    admin = new_admin(bootstrap_servers=broker.bootstrap_servers)
    async with asyncio.timeout(30):
        await admin.start()
        if TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        await stop_admin(admin, 5)
    yield lambda: freeze_server(broker)
    unfreeze_server(broker)


@pytest.fixture
def settings(broker):
    """Settings that wait for two seconds."""
    return Settings.build(
        source=TOPIC,
        bootstrap_servers=broker.bootstrap_servers,
        kafka_timeout_s=2,
        revoke_timeout_s=1,
    )


class Log:
    """A log of three records, between which something happens."""

    def __init__(self, meanwhile):
        self._meanwhile = meanwhile

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        pass

    async def ranges(self):
        """Return the only one."""
        return [Range(0, 0, 3)]

    async def batches(self, _wanted):
        """Yield the records."""
        record = SimpleNamespace(key=b"k", value=b"{}")
        yield [record]
        await asyncio.sleep(0.5)  # it is acknowledged
        self._meanwhile()
        yield [record, record]


async def test_sending_to_a_broker_that_dies_is_4_in_time(freeze, settings):
    """Without a deadline the producer would wait for the broker for ever."""
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="does not acknowledge records of topic t"):
        async with asyncio.timeout(WITHIN_S):
            await send(Log(freeze), settings, SendOptions(TOPIC), lambda _sent: None)
    assert time.monotonic() - began < WITHIN_S


async def test_erasing_at_a_broker_that_dies_ends_in_time(freeze, settings, monkeypatch):
    """What became of the record is unknown, and it may be sent again."""
    whole = AIOKafkaProducer.send_and_wait

    async def meanwhile(self, *words, **options):
        freeze()
        return await whole(self, *words, **options)

    monkeypatch.setattr(AIOKafkaProducer, "send_and_wait", meanwhile)
    with pytest.raises(FencedError, match=r"Kafka did not acknowledge: .*send it again"):
        async with asyncio.timeout(WITHIN_S):
            await publish_forgets(SimpleNamespace(settings=settings), b"k", [0])
