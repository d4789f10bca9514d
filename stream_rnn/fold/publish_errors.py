"""The package's errors for the errors of a producer of outputs."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerIdMapping,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownProducerId,
    UnsupportedForMessageFormatError,
)

from stream_rnn.errors import ConfigError, StreamRNNError, reason
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.clients import retrieve_error, transaction_error
from stream_rnn.kafka.topics import JAVA_LONG_MAX
from stream_rnn.settings import FoldSettings

FORGOTTEN = (InvalidProducerIdMapping, UnknownProducerId)
"""Errors that the transaction coordinator or a leader returns if it has forgotten the producer."""
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSED = (InvalidTimestampError, UnsupportedForMessageFormatError, *TOO_LARGE)
"""Errors of a topic that refuses outputs because of its configuration, at every repetition."""
TIME_MS_MAX = 253_402_300_799_999  # the year 9999


def original_error(error: BaseException, producer: AIOKafkaProducer) -> BaseException:
    """Return the broker's error, where the client's error only follows from it.

    The client's sender task ends with the broker's error.  A call that waits for the task gets
    that error as a cause; a later call only gets an error about a missing transaction.
    """
    sender = producer._sender.sender_task  # noqa: SLF001  # no public way
    ended = (None if sender is None else retrieve_error(sender)) or error
    candidates = [error, error.__cause__, ended, ended.__cause__]
    forgotten = (known for known in candidates if isinstance(known, FORGOTTEN))
    return next(forgotten, transaction_error(error, producer))


def refusal(
    error: BaseException,
    output: TopicPartition,
    messages: Sequence[Message],
    settings: FoldSettings,
) -> StreamRNNError:
    """Return the error for a topic that refuses outputs because of its configuration.

    Args:
        error: One of ``REFUSED``.
        output: Partition that refuses them.
        messages: Outputs of the publish.
        settings: Settings of the fold.
    """
    topic, place = output.topic, f"{output.topic}[{output.partition}]"
    if isinstance(error, InvalidTimestampError):
        return ConfigError(_describe_timestamp(messages, topic, place, settings.source))
    if isinstance(error, TOO_LARGE):
        return ConfigError(
            f"{place} refuses record batches of output_batch_bytes_max "
            f"{settings.output_batch_bytes_max} ({reason(error)}); raise max.message.bytes on "
            f"{topic}, or the limit of your provider, or lower output_batch_bytes_max"
        )
    return ConfigError(
        f"{place} has a message format before Kafka 0.11, without headers and producer ids "
        f"({reason(error)}); set message.format.version=0.11.0 or later on {topic}"
    )


def _describe_timestamp(messages: Sequence[Message], topic: str, place: str, source: str) -> str:
    """Describe the timestamp that is the farthest from now, and name the limit to raise."""
    now_ms = time.time() * 1000  # noqa: TID251  # only for the message
    worst = max(messages, key=lambda message: abs(message.timestamp - now_ms))
    side = "after" if worst.timestamp > now_ms else "before"
    offset = dict(worst.headers).get("sr-offset", b"?").decode()
    setting = f"message.timestamp.{side}.max.ms={JAVA_LONG_MAX}"
    return (
        f"{place} refuses the timestamp of the output for {source}[{place.rpartition('[')[2]} offset "
        f"{offset}: {_describe_time(worst.timestamp)}; an output has the timestamp of its source "
        f"record, so set {setting} on {topic} (before Kafka 3.6 "
        f"message.timestamp.difference.max.ms), and correct the producer if its clock or unit is "
        "wrong"
    )


def _describe_time(timestamp_ms: int) -> str:
    """Return a timestamp and its date, or the unit that it seems to have.

    Example:
        >>> _describe_time(1_767_225_600_000)
        '1767225600000 ms (2026-01-01)'
        >>> _describe_time(1_767_225_600_000_000)
        '1767225600000000 ms, which looks like microseconds'
    """
    if 0 <= timestamp_ms <= TIME_MS_MAX:
        return f"{timestamp_ms} ms ({datetime.fromtimestamp(timestamp_ms / 1000, UTC):%Y-%m-%d})"
    if timestamp_ms < 0:
        return f"{timestamp_ms} ms, which is before 1970"
    unit = "microseconds" if timestamp_ms < 10**17 else "nanoseconds"  # the year 3168948 in ms
    return f"{timestamp_ms} ms, which looks like {unit}"
