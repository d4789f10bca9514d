"""The publisher without Kafka: what it makes of what its producers end with."""

import asyncio

import pytest
from aiokafka.errors import InvalidProducerIdMapping, KafkaError

from stream_rnn.errors import FencedError, ForgottenError
from stream_rnn.fold.publisher import TransactionalPublisher
from stream_rnn.settings import Settings


async def publisher() -> TransactionalPublisher:
    """Return a publisher whose producer's sender ended, since Kafka had forgotten the producer."""
    settings = Settings.build(app="app", source="events", predictions="said")
    made = TransactionalPublisher({"bootstrap_servers": "127.0.0.1:1"}, settings, 0)

    async def end() -> None:
        raise KafkaError("unexpected") from InvalidProducerIdMapping()

    task = asyncio.ensure_future(end())
    await asyncio.wait({task})
    made._producer._sender._sender_task = task
    return made


async def test_a_sender_that_ended_says_why_its_producer_fails():
    """Who comes later only sees that there is no transaction any more."""
    made = await publisher()
    with pytest.raises(ForgottenError, match="InvalidProducerIdMapping"), made._released("a"):
        raise KafkaError("no transaction")


async def test_a_producer_that_ended_says_nothing_of_another_one():
    """An owner of the version before is fenced by a producer of its own."""
    made = await publisher()
    other = made._new_producer("another")
    with pytest.raises(FencedError, match="TimeoutError"), made._released("b", other):
        raise TimeoutError
