"""Errors, arranged by what the worker does about them.

    StreamRNNError
    ├── ConfigError                 STOP        a person must change something
    │   ├── BundleError                         the model directory is missing, torn or not ours
    │   ├── SpecError                           the feature spec says something impossible
    │   ├── TrainingError                       training does not come to an end that is worth keeping
    │   └── RecoveryError                       section "where to start" of the README: rows that stop
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


class BundleError(ConfigError):
    """The bundle is missing, torn, oversized, non-finite or not ours."""


class SpecError(ConfigError):
    """The feature spec says something impossible."""


class TrainingError(ConfigError):
    """Training cannot go on: other settings or another spec are needed."""


class RecoveryError(ConfigError):
    """What Redis and Kafka hold does not fit together; only a person can decide."""


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
