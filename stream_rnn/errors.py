"""Errors, arranged by what the worker does about them.

    StreamRNNError
    ├── ConfigError                 STOP        a person must change something
    │   ├── MissingExtraError                   a part of the package is not installed
    │   ├── BundleError                         the model directory is missing, torn or not ours
    │   ├── SpecError                           the feature spec says something impossible
    │   ├── TrainingError                       training does not come to an end that is worth keeping
    │   ├── RecoveryError                       a row of the recovery table that stops
    │   └── UnreadableError                     a record batch in Kafka is damaged, or of a newer format
    ├── RecordError                 SKIP        this record is bad: dead-letter it, go on
    │   ├── DecodeError                         its bytes are not an event
    │   └── FeatureError                        the event does not fit the feature spec
    ├── StateError                  REPOSITION  Redis or the log is not what we expect
    │   ├── MovedError                          the position is not the one the batch was computed from
    │   ├── TornError                           hidden states were added or taken away by something else
    │   ├── CorruptStateError                   the bytes of a hidden state do not decode
    │   ├── JumpedError                         the next record is not the one that was expected
    │   └── ForgottenError                      Kafka has forgotten the producer: start it anew too
    ├── UnreachableError            RELEASE     Redis or Kafka did not answer at start
    ├── FencedError                 RELEASE     another worker owns the partition, or the outcome
    │                                           of a publish is unknown: exit, the restart decides
    └── UnavailableError            RETRY       Redis did not answer in time

A class states its reaction once, and nothing else in the code decides it.
"""

import re
from enum import Enum
from typing import ClassVar


class Reaction(Enum):
    """What the processor does when it meets an error."""

    RETRY = "retry"
    SKIP = "skip"
    REPOSITION = "reposition"
    RELEASE = "release"
    STOP = "stop"


class StreamRNNError(Exception):
    """Base of every error this package raises on purpose."""

    reaction: ClassVar[Reaction] = Reaction.STOP


class ConfigError(StreamRNNError):
    """A setting, a topic, a server or a bundle must be changed by a person."""


class MissingExtraError(ConfigError, ImportError):
    """A module is missing that an extra of the package installs."""


class BundleError(ConfigError):
    """The bundle is missing, torn, oversized, non-finite or not ours."""


class SpecError(ConfigError):
    """The feature spec says something impossible."""


class TrainingError(ConfigError):
    """Training cannot go on: other settings or another spec are needed."""


class RecoveryError(ConfigError):
    """What Redis and Kafka hold does not fit together; only a person can decide."""


class UnreadableError(ConfigError):
    """A record batch in Kafka cannot be read: damaged, or in a format that is not known here.

    Attributes:
        topic: of the batch.
        partition: its number.
        offset: the first one that cannot be read.
    """

    def __init__(self, topic: str, partition: int, offset: int, message: str) -> None:
        super().__init__(f"{topic}[{partition}]: offset {offset} cannot be read: {message}")
        self.topic, self.partition, self.offset = topic, partition, offset


class RecordError(StreamRNNError):
    """This record cannot be folded.

    Attributes:
        code: one short word for headers and metrics, such as ``not_json``.
    """

    reaction = Reaction.SKIP

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DecodeError(RecordError):
    """The record's bytes are not an event."""


class FeatureError(RecordError):
    """The event does not fit the feature spec."""


class StateError(StreamRNNError):
    """Redis or the log does not hold what we expect: position anew."""

    reaction = Reaction.REPOSITION


class MovedError(StateError):
    """The position or the origin in Redis is not the one the batch was computed from."""


class TornError(StateError):
    """The number of hidden states is not the one that the last commit left."""


class CorruptStateError(StateError):
    """The bytes of a hidden state do not decode."""


class JumpedError(StateError):
    """The first record delivered is not the next one to fold, or retention made a hole."""


class ForgottenError(StateError):
    """Kafka has forgotten the partition's producer, which was idle for too long: start it anew.

    The outcome of the publish that found it out is decided as at an assignment: by the start.
    """


class UnreachableError(StreamRNNError):
    """A server does not answer at start: it is down for a while, or its address is wrong."""

    reaction = Reaction.RELEASE


class FencedError(StreamRNNError):
    """Another worker owns the partition, or the outcome of a publish is unknown."""

    reaction = Reaction.RELEASE


class UnavailableError(StreamRNNError):
    """Redis did not answer within its deadline."""

    reaction = Reaction.RETRY


TEXT_CHARACTERS_MAX = 500
CAUSES_MAX = 3


def reason(error: BaseException, within_s: float | None = None) -> str:
    """Say in words what a library raised: its type, its text, and what it was raised from.

    Many exceptions have no text, least of all a ``TimeoutError``; so a message never cites one
    without this function.  Of our own errors the text says all.

    Args:
        error: what was raised.
        within_s: how long was waited, where a deadline may have passed.

    Example:
        >>> reason(TimeoutError(), 30)
        'TimeoutError: no answer within 30 s'
        >>> reason(ConnectionRefusedError(111, "Connection refused"))
        'ConnectionRefusedError: [Errno 111] Connection refused'
    """
    said: list[str] = []
    raised: BaseException | None = error
    for _ in range(CAUSES_MAX + 1):  # errors can be each other's causes
        if raised is None:
            break
        text = _text(raised, within_s)
        # A deadline is kept by a cancellation, which says nothing of its own.
        if (not said or isinstance(raised, Exception)) and not any(text in one for one in said):
            said.append(text)
        is_hidden = raised.__suppress_context__ or str(raised).strip()
        raised = raised.__cause__ or (None if is_hidden else raised.__context__)
    return ", because of ".join(said)


def _text(error: BaseException, within_s: float | None) -> str:
    """Return one exception's type and text."""
    name = type(error).__name__
    # Kafka's errors begin with their own name, some twice.
    text = re.sub(rf"(^|\] )({name}:\s*)+", r"\1", str(error).strip())[:TEXT_CHARACTERS_MAX]
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join(_text(one, within_s) for one in error.exceptions[:CAUSES_MAX])
    if isinstance(error, StreamRNNError) and text:
        return text
    if text in ("", name) or text == f"{name}()":
        # By its name: those of Kafka's and Redis's clients are not Python's.
        if name.endswith("TimeoutError") and within_s is not None:
            text = f"no answer within {within_s:g} s"
        else:
            text = _documented(error)
    elif text.endswith(f"] {name}"):  # of Kafka's, whose text is number and name
        text = f"{text.removesuffix(name).strip()} {_documented(error)}".strip()
    return f"{name}: {text}" if text else f"{name} (it says no more)"


def _documented(error: BaseException) -> str:
    """Return what an error's class says of itself: Kafka's have a description."""
    description = getattr(error, "description", "")
    return " ".join(description.split()) if isinstance(description, str) else ""
