"""Translation of aiokafka's errors into the package's, for the reader of predictions."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    IllegalSaslStateError,
    InvalidCommitOffsetSizeError,
    KafkaError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnsupportedSaslMechanismError,
)

from stream_rnn.errors import ConfigError, FencedError, StreamRNNError, UnavailableError, reason
from stream_rnn.kafka.tokens import TokenRefusedError, TokenRejectedError

CLIENT_ERRORS = (KafkaError, TimeoutError, OSError)

RIGHTS_ERRORS = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
LOGIN_ERRORS = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TokenRefusedError,
    TokenRejectedError,
    UnsupportedSaslMechanismError,
)
SIZE_ERRORS = (InvalidCommitOffsetSizeError, OffsetMetadataTooLargeError)
MEMBERSHIP_ERRORS = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

T = TypeVar("T")


def translate_error(
    error: BaseException, doing: str, within_s: float | None = None
) -> StreamRNNError:
    """Return the package's error for an error of aiokafka.

    Args:
        error: One of ``CLIENT_ERRORS``.
        doing: Operation that failed, such as ``reading delays``.
        within_s: Deadline in seconds, for an error after a deadline.
    """
    message = f"{doing} failed: {reason(error, within_s)}"
    if isinstance(error, RIGHTS_ERRORS):
        return ConfigError(
            f"{message}; a reader needs Read on the predictions topic and, with a group_id, on the "
            "group: see deploy/README.md"
        )
    if isinstance(error, LOGIN_ERRORS):  # a worker, too, is started again after it (status 4)
        return UnavailableError(
            f"{message}; Kafka refuses the login, not a right: correct the login or its tokens, which "
            "are read again for each connection"
        )
    if isinstance(error, SIZE_ERRORS):
        return ConfigError(f"{message}; raise the broker's offset.metadata.max.bytes")
    if isinstance(error, MEMBERSHIP_ERRORS):
        return FencedError(message)
    return UnavailableError(message)


async def await_answer(call: Awaitable[T], doing: str, timeout_s: float) -> T:
    """Await an answer of Kafka within a deadline.

    Raises:
        StreamRNNError: Kafka does not answer; see :func:`translate_error`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except CLIENT_ERRORS as error:
        raise translate_error(error, doing, timeout_s) from error
