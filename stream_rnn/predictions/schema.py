"""The schema of a prediction: the JSON value of a record in the predictions topic."""

import base64
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from stream_rnn.errors import DecodeError

FORMAT = 1
VALUE_BYTES_MAX = 16_000_000

Count = Annotated[int, Field(ge=0)]
QuantileName = Annotated[str, Field(pattern=r"^p\d{1,2}(_\d)?$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NumberOutput(_Model):
    """Output of a regression head, in the unit of the target, or of a time head, in seconds."""

    value: float


class BinaryOutput(_Model):
    """Output of a binary head: the probability of the positive class."""

    probability: Probability


class ClassOutput(_Model):
    """Output of a multi-class head.

    Attributes:
        label: Likeliest class; ``class`` in JSON.
        probability: Probability of that class.
        top: Likeliest classes with their probabilities, in descending order.
    """

    label: str = Field(alias="class")
    probability: Probability
    top: tuple[Annotated[tuple[str, Probability], Field(strict=False)], ...] = Field(
        min_length=1, strict=False
    )


class QuantileOutput(RootModel[dict[QuantileName, float]]):
    """Output of a quantile head: its quantiles by name, such as ``p10``, in ascending order."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    root: dict[QuantileName, float] = Field(min_length=1)

    def __getitem__(self, name: str) -> float:
        """Return the quantile of a name."""
        return self.root[name]


Surprise = Annotated[float, Field(ge=0)] | None

Output = NumberOutput | BinaryOutput | ClassOutput | QuantileOutput


class Source(_Model):
    """Location of the source record of a prediction."""

    topic: str
    partition: Count
    offset: Count


class Prediction(_Model):
    """The prediction for one event.

    Attributes:
        key: Key of the record, if it is UTF-8.
        key_base64: Key of the record in base64, if it is not UTF-8.
        outputs: Output of each head, by the name of the head.
        model: Name of the model.
        fingerprint: First 16 hex digits of the fingerprint of the bundle.
        numerics: Identifier of torch build, numpy version and CPU type of the worker; workers with
            equal numerics compute equal bits.
        source: Topic, partition and offset of the source record.
        event_time_ms: Time of the event, in milliseconds since 1970 UTC.
        steps: Number of events in the hidden state that made this prediction, this one included.
        cold: Whether this was the first event in the hidden state.
        surprise: How far this event was from the key's previous prediction, by the name of each head
            that has a surprise: -log p in nats for binary and multi-class heads, else an error in
            standard deviations.  Its value is ``None`` at the first event in the hidden state, and
            for an event without a target.  ``None`` if no head has one.
    """

    format: Literal[1]
    key: str | None = None
    key_base64: str | None = None
    outputs: dict[str, Output]
    model: str
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    numerics: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    source: Source
    event_time_ms: int
    steps: Annotated[int, Field(ge=1)]
    cold: bool
    surprise: dict[str, Surprise] | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.key is None) == (self.key_base64 is None):
            raise ValueError("exactly one of key and key_base64 must be given")
        if self.cold != (self.steps == 1):
            raise ValueError("cold must be true exactly where steps is 1")
        return self

    @property
    def key_bytes(self) -> bytes:
        """Key of the record as bytes, as in Kafka."""
        if self.key is not None:
            return self.key.encode()
        return base64.b64decode(self.key_base64 or "")

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Parse a value of the predictions topic.

        Raises:
            DecodeError: The value is not a prediction of this format.  The message does not
                contain any of the value.
        """
        if len(value) > VALUE_BYTES_MAX:
            raise DecodeError("too_large", f"{len(value)} bytes are more than {VALUE_BYTES_MAX}")
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            raise describe_problem(error) from None


def describe_problem(error: ValidationError) -> DecodeError:
    """Return why a value is not a prediction, without any of the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    return DecodeError("not_a_prediction", _describe(first["loc"], first["msg"]))


def _describe(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    reason = re.sub(r" at line \d+ column \d+", "", message)
    return f"{where}: {reason}" if where else reason
