"""The publisher without Kafka: the errors that it raises after its producer has ended."""

import asyncio

import pytest
from aiokafka.errors import InvalidProducerIdMapping, KafkaError

from stream_rnn.errors import FencedError, ForgottenError
from stream_rnn.fold.publisher import TransactionalPublisher
from stream_rnn.settings import Settings


async def publisher_of_a_forgotten_producer() -> TransactionalPublisher:
    """Return a publisher whose sender task has ended, because Kafka has forgotten the producer."""
    settings = Settings.build(app="app", source="events", predictions="predictions")
    publisher = TransactionalPublisher({"bootstrap_servers": "127.0.0.1:1"}, settings, 0)

    async def end() -> None:
        raise KafkaError("unexpected") from InvalidProducerIdMapping()

    task = asyncio.ensure_future(end())
    await asyncio.wait({task})
    publisher._producer._sender._sender_task = task
    return publisher


async def test_the_error_of_an_ended_sender_explains_a_later_failure():
    """The later call only gets an error about a missing transaction."""
    publisher = await publisher_of_a_forgotten_producer()
    with (
        pytest.raises(ForgottenError, match="InvalidProducerIdMapping"),
        publisher._translate_errors("a"),
    ):
        raise KafkaError("no transaction")


async def test_the_error_of_an_ended_sender_does_not_explain_another_producer():
    """The owner of the previous version is fenced by a separate producer."""
    publisher = await publisher_of_a_forgotten_producer()
    other = publisher._new_producer("another")
    with pytest.raises(FencedError, match="TimeoutError"), publisher._translate_errors("b", other):
        raise TimeoutError
