"""Errors, arranged by what the worker does about them.

    StreamRNNError
    ├── ConfigError                 STOP        a person must change something
    │   ├── MissingExtraError                   a part of the package is not installed
    │   ├── BundleError                         the model directory is missing, incomplete or foreign
    │   ├── CellError                           a cell of a package is missing or breaks its contract
    │   ├── SpecError                           the feature spec is contradictory or incomplete
    │   │   └── PathError                       a path of a field is no path
    │   ├── TrainingError                       training does not lead to a usable model
    │   ├── RecoveryError                       the recovery table requires a decision
    │   └── UnreadableError                     a record batch in Kafka is damaged, or of a newer format
    ├── RecordError                 SKIP        the record is bad: publish a dead letter and continue
    │   ├── DecodeError                         the bytes of the record are not an event
    │   └── FeatureError                        the event does not fit the feature spec
    ├── StateError                  REPOSITION  Redis or the log has unexpected contents
    │   ├── MovedError                          the position changed since the batch was loaded
    │   ├── TornError                           another program has added or deleted hidden states
    │   ├── CorruptStateError                   the bytes of a hidden state do not decode
    │   ├── JumpedError                         the next record is not at the expected offset
    │   ├── TooLargeError                       Redis takes no request of this size: use smaller ones
    │   ├── ForgottenError                      Kafka has forgotten the producer: start it again, too
    │   └── TooSlowError                        a publish took too long: repeat it in smaller parts
    ├── UnreachableError            RELEASE     Redis or Kafka did not answer at start
    ├── FencedError                 RELEASE     another worker owns the partition, or the outcome of
    │                                           a publish is unknown: exit; recovery decides
    └── UnavailableError            RETRY       Redis cannot serve requests now
        └── NoAnswerError                       Redis did not answer, or closed the connection

Each class states its reaction, and no other code decides it.
"""

import re
from enum import Enum
from typing import ClassVar


class Reaction(Enum):
    """The reaction of the processor to an error."""

    RETRY = "retry"
    SKIP = "skip"
    REPOSITION = "reposition"
    RELEASE = "release"
    STOP = "stop"


class StreamRNNError(Exception):
    """Base class of all errors that this package raises on purpose."""

    reaction: ClassVar[Reaction] = Reaction.STOP


class ConfigError(StreamRNNError):
    """A person must change a setting, a topic, a server or a bundle."""


class MissingExtraError(ConfigError, ImportError):
    """A module is missing that an extra of the package installs.

    Looking up a public name raises it, in ``hasattr``, too; ``dir(stream_rnn)`` and
    ``from stream_rnn import *`` contain only the names that are available.
    """


class BundleError(ConfigError):
    """The bundle is missing, incomplete, oversized, non-finite or foreign."""


class CellError(ConfigError):
    """A cell is not installed, cannot be made, or breaks the contract of its interface.

    Attributes:
        check: Name of the check that it fails; empty for other reasons.
    """

    def __init__(self, message: str, check: str = "") -> None:
        super().__init__(message)
        self.check = check


class SpecError(ConfigError):
    """The feature spec is contradictory or incomplete."""


class PathError(SpecError, ValueError):
    """A path of a field has an empty name, or a quotation mark that is not closed."""


class TrainingError(ConfigError):
    """Training cannot continue; it needs other settings or another feature spec."""


class RecoveryError(ConfigError):
    """The contents of Redis and Kafka contradict each other; a person must decide."""


class UnreadableError(ConfigError):
    """A record batch in Kafka is damaged, or its format is unknown.

    Attributes:
        topic: Topic of the batch.
        partition: Number of the partition.
        offset: First unreadable offset.
    """

    def __init__(self, topic: str, partition: int, offset: int, message: str) -> None:
        super().__init__(f"{topic}[{partition}]: offset {offset} cannot be read: {message}")
        self.topic, self.partition, self.offset = topic, partition, offset


class RecordError(StreamRNNError):
    """A record cannot be folded.

    Attributes:
        code: Short word for headers and metrics, such as ``not_json``.
    """

    reaction = Reaction.SKIP

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DecodeError(RecordError):
    """The bytes of the record are not an event."""


class FeatureError(RecordError):
    """The event does not fit the feature spec."""


class StateError(StreamRNNError):
    """Redis or the log has unexpected contents; the partition must be positioned again."""

    reaction = Reaction.REPOSITION
    restarts_producer: ClassVar[bool] = False


class MovedError(StateError):
    """The position or the origin in Redis has changed since the batch was loaded."""


class TornError(StateError):
    """The number of hidden states differs from the number after the last commit."""


class CorruptStateError(StateError):
    """The bytes of a hidden state do not decode."""


class JumpedError(StateError):
    """The first record delivered is not the next record to fold, or retention has made a gap."""


class TooLargeError(StateError):
    """Redis, or a proxy before it, does not take a request of this size.

    The partition is positioned again, and folds the same records in smaller micro-batches.
    """


class ForgottenError(StateError):
    """Kafka has forgotten the partition's producer after a long idle time.

    The producer must be started again.  Recovery decides whether the failed publish succeeded, as
    it does at an assignment.
    """

    restarts_producer = True


class TooSlowError(StateError):
    """A publish took so long that Kafka aborts it, or did not end within its deadline.

    The producer must be started again, which decides the outcome of the publish.
    """

    restarts_producer = True


class UnreachableError(StreamRNNError):
    """A server does not answer at start: it is down, or its address is wrong."""

    reaction = Reaction.RELEASE


class FencedError(StreamRNNError):
    """Another worker owns the partition, or the outcome of a publish is unknown."""

    reaction = Reaction.RELEASE


class UnavailableError(StreamRNNError):
    """Redis cannot serve requests now."""

    reaction = Reaction.RETRY


class NoAnswerError(UnavailableError):
    """Redis did not answer within its deadline, or the connection was closed."""


TEXT_CHARACTERS_MAX = 500
CAUSES_MAX = 3


def reason(error: BaseException, within_s: float | None = None) -> str:
    """Describe an exception of a library by its type, its text and its causes.

    Many exceptions have no text, for example most ``TimeoutError``, so every message that cites an
    exception uses this function.  Errors of this package are described by their text alone.

    Args:
        error: Exception to describe.
        within_s: Deadline that may have passed, in seconds; ``None`` if there was none.

    Example:
        >>> reason(TimeoutError(), 30)
        'TimeoutError: no answer within 30 s'
        >>> reason(ConnectionRefusedError(111, "Connection refused"))
        'ConnectionRefusedError: [Errno 111] Connection refused'
    """
    texts: list[str] = []
    raised: BaseException | None = error
    for _ in range(CAUSES_MAX + 1):  # errors can be each other's causes
        if raised is None:
            break
        text = _text(raised, within_s)
        # The cause of a TimeoutError may be a CancelledError, which adds no information.
        is_relevant = not texts or isinstance(raised, Exception)
        if is_relevant and not any(text in earlier for earlier in texts):
            texts.append(text)
        is_hidden = raised.__suppress_context__ or str(raised).strip()
        raised = raised.__cause__ or (None if is_hidden else raised.__context__)
    return ", because of ".join(texts)


def _text(error: BaseException, within_s: float | None) -> str:
    """Return the type and the text of one exception."""
    name = type(error).__name__
    # The text of Kafka's errors begins with the name of the class, sometimes twice.
    # Later paragraphs describe the library, such as the hints of polars.
    text = str(error).strip().partition("\n\n")[0]
    text = re.sub(rf"(^|\] )({name}:\s*)+", r"\1", text)[:TEXT_CHARACTERS_MAX]
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join(_text(one, within_s) for one in error.exceptions[:CAUSES_MAX])
    if (isinstance(error, StreamRNNError) or name.startswith("_")) and text:
        return text
    if text in ("", name) or text == f"{name}()":
        # Compare names: the timeout errors of the Kafka and Redis clients are classes of their own.
        if name.endswith("TimeoutError") and within_s is not None:
            text = f"no answer within {within_s:g} s"
        else:
            text = _documented(error)
    elif text.endswith(f"] {name}"):  # an error of Kafka whose text is its number and name
        text = f"{text.removesuffix(name).strip()} {_documented(error)}".strip()
    return f"{name}: {text}" if text else f"{name} (no message)"


def _documented(error: BaseException) -> str:
    """Return the description of an error's class, which Kafka's errors have; otherwise empty."""
    description = getattr(error, "description", "")
    return " ".join(description.split()) if isinstance(description, str) else ""
