"""Output messages, and their split into record batches that a broker accepts."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_rnn.errors import ConfigError

NO_TIMESTAMP = -1


class Message(NamedTuple):
    """A prediction or a dead letter on its way to Kafka."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


def split_into_batches(
    create_batch: Callable[[], BatchBuilder],
    messages: Sequence[Message],
    output: TopicPartition,
    bytes_max: int,
) -> Iterator[BatchBuilder]:
    """Yield record batches that contain the messages in order.

    aiokafka computes wrong timestamps if a batch begins with timestamp -1 and goes on with another
    timestamp.  So a batch that begins with -1 contains no other timestamp.

    Args:
        create_batch: Function that creates an empty batch of at most ``bytes_max`` bytes.
        messages: Messages to publish.
        output: Partition of the output, for the error message.
        bytes_max: Maximum bytes of a batch.

    Raises:
        ConfigError: A single message does not fit.
    """
    batch, is_timeless = None, False
    for key, value, timestamp, headers in messages:
        if (
            batch is not None
            and not (is_timeless and timestamp != NO_TIMESTAMP)
            and batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None
        ):
            continue
        if batch is not None:
            yield batch
        batch, is_timeless = create_batch(), timestamp == NO_TIMESTAMP
        # The first message of a batch is accepted whatever its size.
        batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        if batch.size() > bytes_max:
            raise ConfigError(
                f"an output of {batch.size()} bytes does not fit into output_batch_bytes_max "
                f"{bytes_max} of {output.topic}[{output.partition}]; raise "
                "output_batch_bytes_max and the topic's max.message.bytes"
            )
    if batch is not None:
        yield batch
