"""What is published, and how it is cut into record batches that a broker takes."""

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


def in_batches(
    create_batch: Callable[[], BatchBuilder],
    messages: Sequence[Message],
    output: TopicPartition,
    bytes_max: int,
) -> Iterator[BatchBuilder]:
    """Yield messages in record batches, in order.

    aiokafka takes a batch's first timestamp, if it is -1, for one that was not given yet, and
    counts the other records from the next one's: so a batch that begins with -1 has nothing else.

    Args:
        create_batch: makes an empty batch that takes at most ``bytes_max``.
        messages: any number.
        output: where they go, for the error.
        bytes_max: bytes of one batch.

    Raises:
        ConfigError: one message alone does not fit.
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
        batch.append(timestamp=timestamp, key=key, value=value, headers=headers)  # of any size
        if batch.size() > bytes_max:
            raise ConfigError(
                f"an output of {batch.size()} bytes does not fit into output_batch_bytes_max "
                f"{bytes_max} of {output.topic}[{output.partition}]; raise both it and "
                "max.message.bytes"
            )
    if batch is not None:
        yield batch
