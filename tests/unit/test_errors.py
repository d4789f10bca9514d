"""The text of an exception in a message, which is never empty."""

import asyncio

import aiokafka.errors as kafka
import pytest
import redis.exceptions as redis

from stream_rnn.errors import CAUSES_MAX, TEXT_CHARACTERS_MAX, FencedError, reason


def raised_from(error, cause):
    """Return an error as `raise error from cause` leaves it."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError: no answer within 30 s"),
        (kafka.KafkaTimeoutError(), "KafkaTimeoutError: no answer within 30 s"),
        (redis.TimeoutError(), "TimeoutError: no answer within 30 s"),
        (redis.TimeoutError("Timeout reading"), "TimeoutError: Timeout reading"),
        (ConnectionError(" \n"), "ConnectionError (no message)"),
        (AssertionError(), "AssertionError (no message)"),
        (FileNotFoundError(2, "No such file", "x"), "FileNotFoundError: [Errno 2] No such file: 'x'"),
        (kafka.KafkaError(), "KafkaError (no message)"),
        (kafka.KafkaError("gone"), "KafkaError: gone"),
        (kafka.UnknownError(), "UnknownError: [Error -1] An unexpected server error."),
        (kafka.TopicAuthorizationFailedError("t"), "TopicAuthorizationFailedError: [Error 29] t"),
        (FencedError("events[0]: fenced"), "events[0]: fenced"),
        (FencedError(), "FencedError (no message)"),
        (
            raised_from(kafka.KafkaError("Unexpected error"), kafka.UnknownProducerId()),
            "KafkaError: Unexpected error, because of UnknownProducerId: [Error 59] This exception",
        ),
        (raised_from(OSError("a: b"), ValueError("b")), "OSError: a: b, because of ValueError: b"),
        (
            ExceptionGroup("two", [ValueError("a"), TimeoutError()]),
            "ExceptionGroup: ValueError: a; TimeoutError: no answer within 30 s",
        ),
    ],
)  # fmt: skip
def test_a_reason_has_a_type_and_a_text(error, said):
    """Of a code what it means; of a deadline how long it was; of a cause the same."""
    assert reason(error, 30).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "OSError (no message), because of KeyError: 'k'"), ("x", "OSError: x")],
)
def test_what_an_error_came_up_in_is_said_where_it_has_no_text(text, said):
    """Else its own text is enough."""
    error = OSError(text)
    error.__context__ = KeyError("k")
    assert reason(error) == said


async def test_a_deadline_does_not_say_that_it_is_kept_by_a_cancellation():
    """It would be no reason to anybody."""
    with pytest.raises(TimeoutError) as error:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert reason(error.value, 0.5) == "TimeoutError: no answer within 0.5 s"
    assert reason(error.value) == "TimeoutError (no message)"


def test_a_reason_is_bounded():
    """Neither a long text nor a ring of causes fills a log."""
    assert len(reason(ValueError("x" * 10_000))) <= TEXT_CHARACTERS_MAX + len("ValueError: ")
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert reason(one) == "ValueError: one, because of ValueError: other"
    chain = ValueError("0")
    for number in range(1, 50):
        chain = raised_from(ValueError(f"no {number}."), chain)
    assert reason(chain).count("because of") == CAUSES_MAX


@pytest.mark.parametrize(
    "kind", sorted(kafka.kafka_errors.values(), key=lambda kind: kind.__name__)
)
def test_every_error_of_a_broker_says_something(kind):
    """Its number, its name and what it means."""
    assert len(reason(kind())) > len(kind.__name__) + 5


def test_a_reason_has_no_name_of_a_private_class():
    """A person cannot look it up."""

    class _HiddenError(ValueError):
        pass

    assert reason(_HiddenError("the file ends in it")) == "the file ends in it"
    assert reason(_HiddenError()) == "_HiddenError (no message)"
