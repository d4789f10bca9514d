"""What Kafka's client raises while predictions are read, in the package's tree of errors."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    InvalidCommitOffsetSizeError,
    KafkaError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from stream_rnn.errors import ConfigError, FencedError, StreamRNNError, UnavailableError, reason

CLIENT_ERRORS = (KafkaError, TimeoutError, OSError)

OF_RIGHTS = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
OF_SIZE = (InvalidCommitOffsetSizeError, OffsetMetadataTooLargeError)
OF_MEMBERSHIP = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

T = TypeVar("T")


def translated(error: BaseException, doing: str, within_s: float | None = None) -> StreamRNNError:
    """Return the package's error for one of Kafka's client.

    Args:
        error: one of ``CLIENT_ERRORS``.
        doing: what failed, such as ``reading delays``.
        within_s: how long was waited, where a deadline may have passed.
    """
    said = f"{doing} failed: {reason(error, within_s)}"
    if isinstance(error, OF_RIGHTS):
        return ConfigError(
            f"{said}; a reader needs Read on the predictions topic and, with a group_id, on the "
            "group: see deploy/README.md"
        )
    if isinstance(error, OF_SIZE):
        return ConfigError(f"{said}; raise the broker's offset.metadata.max.bytes")
    if isinstance(error, OF_MEMBERSHIP):
        return FencedError(said)
    return UnavailableError(said)


async def answer(call: Awaitable[T], doing: str, timeout_s: float) -> T:
    """Await an answer of Kafka within its deadline.

    Raises:
        StreamRNNError: there is none; see ``translated``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except CLIENT_ERRORS as error:
        raise translated(error, doing, timeout_s) from error
