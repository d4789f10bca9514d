"""The schema of a prediction: what stands in each value of the predictions topic."""

import base64
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_rnn.errors import DecodeError

FORMAT = 1
VALUE_BYTES_MAX = 16_000_000

Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Number(_Part):
    """Of a regression, in the target's own unit; of the time to the next event, in seconds."""

    value: float


class YesNo(_Part):
    """Of a binary head."""

    probability: Probability


class Choice(_Part):
    """Of a multi-class head.

    Attributes:
        label: the likeliest class; ``class`` in JSON.
        probability: of that class.
        top: the likeliest classes and their probabilities, falling.
    """

    label: str = Field(alias="class")
    probability: Probability
    top: tuple[Annotated[tuple[str, Probability], Field(strict=False)], ...] = Field(
        min_length=1, strict=False
    )


Output = Number | YesNo | Choice


class Source(_Part):
    """The record that a prediction answers."""

    topic: str
    partition: Count
    offset: Count


class Prediction(_Part):
    """What the network answered to one event.

    Attributes:
        key: the record's key, if it is UTF-8.
        key_base64: the record's key, if it is not.
        outputs: by name of the head.
        model: the name of the model.
        fingerprint: the first 16 hex digits of the bundle's.
        numerics: how the worker computes; equal numerics give equal bits.
        source: the record.
        event_time_ms: when the event happened, milliseconds since 1970.
        steps: events in the memory that made this prediction, this one included.
        cold: whether this was the first event in the memory.
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

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_base64 is None):
            raise ValueError("exactly one of key and key_base64 must be given")
        if self.cold != (self.steps == 1):
            raise ValueError("cold must be true exactly where steps is 1")
        return self

    @property
    def key_bytes(self) -> bytes:
        """The record's key as it stands in Kafka."""
        if self.key is not None:
            return self.key.encode()
        return base64.b64decode(self.key_base64 or "")

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Read a value of the predictions topic.

        Raises:
            DecodeError: it is not a prediction of this format.  The message has no content of it.
        """
        if len(value) > VALUE_BYTES_MAX:
            raise DecodeError("too_large", f"{len(value)} bytes are more than {VALUE_BYTES_MAX}")
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise DecodeError("not_a_prediction", _describe(first["loc"], first["msg"])) from None


def _describe(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    said = re.sub(r" at line \d+ column \d+", "", message)
    return f"{where}: {said}" if where else said
