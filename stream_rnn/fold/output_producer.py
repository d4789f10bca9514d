"""The producer of an output topic: its options, and record batches until all are acknowledged."""

import asyncio
from asyncio import FIRST_EXCEPTION
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from stream_rnn.fold.output_batches import Message, split_into_batches
from stream_rnn.fold.publish_errors import REFUSED, refusal
from stream_rnn.kafka.clients import new_producer, retrieve_error
from stream_rnn.settings import FoldSettings


def new_output_producer(
    connection: Mapping[str, Any], settings: FoldSettings, transactional_id: str | None = None
) -> AIOKafkaProducer:
    """Return a producer that is not started.

    Args:
        connection: Options of every Kafka client.
        settings: Bounds and deadlines.
        transactional_id: Transactional id; ``None`` for a producer without transactions.
    """
    options: dict[str, Any] = {}
    if transactional_id is not None:
        options["transactional_id"] = transactional_id
        options["transaction_timeout_ms"] = settings.transaction_timeout_ms
    return new_producer(
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=settings.output_batch_bytes_max,
        max_request_size=settings.output_batch_bytes_max + 65_536,
        compression_type=None if settings.compression == "none" else settings.compression,
        request_timeout_ms=int(settings.kafka_timeout_s * 1000),
        **options,
        **connection,
    )


async def send_messages(
    producer: AIOKafkaProducer,
    output: TopicPartition,
    messages: Sequence[Message],
    settings: FoldSettings,
    on_batch: Callable[[], None] = lambda: None,
) -> None:
    """Send messages in record batches, and await the acknowledgements; sets no deadline.

    Args:
        producer: Producer that has started.
        output: Partition of the output topic.
        messages: Messages in the order of their partition.
        settings: Settings with the size of a record batch.
        on_batch: Function to call after each record batch.

    Raises:
        ConfigError: The topic refuses a message because of its configuration.
        KafkaError: The outcome is unknown.
    """
    sent: list[asyncio.Future[Any]] = []
    limit = settings.output_batch_bytes_max
    for batch in split_into_batches(producer.create_batch, messages, output, limit):
        sent.append(await producer.send_batch(batch, output.topic, partition=output.partition))
        sent[-1].add_done_callback(retrieve_error)  # after a deadline, nobody awaits it
        on_batch()
    try:
        # A wait that is cancelled does not cancel the acknowledgements.
        done, _ = await asyncio.wait(sent, return_when=FIRST_EXCEPTION) if sent else ((), ())
        for acknowledged in done:
            acknowledged.result()
    except REFUSED as error:
        raise refusal(error, output, messages, settings) from error
