"""What is published, and how it is cut into record batches that a broker takes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_rnn.errors import ConfigError


class Message(NamedTuple):
    """A prediction or a dead letter on its way to Kafka."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


def in_batches(
    create_batch: Callable[[], BatchBuilder],
    messages: Sequence[Message],
    output: TopicPartition,
    bytes_max: int,
) -> Iterator[BatchBuilder]:
    """Yield messages in record batches, in order.

    Args:
        create_batch: makes an empty batch that takes at most ``bytes_max``.
        messages: any number.
        output: where they go, for the error.
        bytes_max: bytes of one batch.

    Raises:
        ConfigError: one message alone does not fit.
    """
    batch = create_batch()
    for key, value, timestamp, headers in messages:
        if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None:
            continue
        yield batch
        batch = create_batch()
        if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
            raise ConfigError(
                f"an output of {len(value or b'')} bytes does not fit into output_batch_bytes_max "
                f"{bytes_max} of {output.topic}[{output.partition}]; raise both it and "
                "max.message.bytes"
            )
    if batch.record_count():
        yield batch
