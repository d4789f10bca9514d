"""What a reader makes of the errors of Kafka's client: one of ours, with its reason said once."""

import asyncio

import aiokafka.errors as kafka
import pytest

from stream_rnn.errors import ConfigError, FencedError, UnavailableError
from stream_rnn.kafka.client_errors import await_answer, translate_error
from stream_rnn.kafka.tokens import TokenRejectedError


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (kafka.KafkaConnectionError("cut"), UnavailableError, "KafkaConnectionError: cut"),
        (TimeoutError(), UnavailableError, "TimeoutError: no answer within 3 s"),
        (ConnectionResetError(104, "reset"), UnavailableError, "ConnectionResetError: [Errno 104] reset"),
        (kafka.UnknownMemberIdError("g"), FencedError, "UnknownMemberIdError: [Error 25] g"),
        (
            kafka.TopicAuthorizationFailedError("delays"), ConfigError,
            "TopicAuthorizationFailedError: [Error 29] delays; a reader needs Read on the predict",
        ),
        (
            TokenRejectedError("b:1 refuses the token"), UnavailableError,
            "TokenRejectedError: b:1 refuses the token; Kafka refuses the login, not a right: corr",
        ),
        (
            kafka.SaslAuthenticationFailed("b:1 refuses the login"), UnavailableError,
            "SaslAuthenticationFailed: [Error 58] b:1 refuses the login; Kafka refuses the login, n",
        ),
        (
            kafka.OffsetMetadataTooLargeError("g"), ConfigError,
            "OffsetMetadataTooLargeError: [Error 12] g; raise the broker's offset.metadata.max",
        ),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)  # fmt: skip
def test_an_error_says_its_name_once_and_how_long_was_waited(error, kind, said):
    """Kafka's errors begin with their own name, some twice, and a timeout has no text."""
    found = translate_error(error, "reading delays", 3)
    assert type(found) is kind
    assert str(found).startswith(f"reading delays failed: {said}")
    assert str(found).count(type(error).__name__) == 1


async def test_an_answer_that_does_not_come_says_how_long_it_was_waited_for():
    """It is the deadline of the answer."""
    with pytest.raises(UnavailableError, match=r"asking failed: TimeoutError: .* within 0\.01 s"):
        await await_answer(asyncio.Event().wait(), "asking", 0.01)
