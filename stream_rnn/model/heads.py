"""Heads: the questions that the network answers about each event.

A head has one or more columns of y (N, O).  ``output`` turns them into what readers get:
probabilities after sigmoid or softmax, or values in the unit of the target.  It computes in float64
and class by class, because the last bits of torch's softmax of a row depend on the place of the row
in the batch (measured with three classes in a batch of 32).  The label of a ``next`` head is the
field of the next valid event of the same key; ``training/targets.py`` decodes labels.

``surprise`` rates an event by the y of the event before it: how far the event is from what the
head predicted.
"""

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stream_rnn.model.paths import PATH
from stream_rnn.model.spec_part import ARRAY, SpecPart
from stream_rnn.model.values import read_boolean, read_number
from stream_rnn.text import quantile_name

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Word = Annotated[str, Field(max_length=256)]
END = "end"
QUANTILES_MAX = 32
FLOAT32_MAX = float(np.finfo(np.float32).max)

Columns = NDArray[np.float64]  # (C, N): a row for each of a head's columns of y
Targets = NDArray[np.float64]  # (N,): encoded as for training, NaN for none


class Target(SpecPart):
    """Mean and standard deviation of the encoded targets of a head in the training part."""

    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)


class _Head(SpecPart):
    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"surprise"})

    name: Name
    of: Literal["now", "next", "label"] = "next"
    surprise: bool = False

    @model_validator(mode="after")
    def _rates_the_next(self) -> Self:
        if self.surprise and self.of != "next":
            message = (
                f'head {self.name}: surprise = true needs of = "next": it compares each event with '
                "the prediction at the key's previous event"
            )
            raise ValueError(message)
        return self

    @property
    def types(self) -> frozenset[str]:
        """JSON types of the values that have a target."""
        return frozenset({"number"})

    @property
    def width(self) -> int:
        """Number of columns of y."""
        return 1

    @property
    def is_wide(self) -> bool:
        """Whether the output of an event has several values."""
        return False

    @property
    def parses(self) -> bool:
        """Whether texts are read as the numbers or booleans that they are."""
        return bool(getattr(self, "parse", False))

    def read(self, value: Any) -> Any:
        """Return the value of the head's field; ``None`` if ``parse`` cannot read it."""
        if not self.parses:
            return value
        try:
            return read_boolean(value) if "boolean" in self.types else read_number(value)
        except ValueError:
            return None


class _Number(_Head):
    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"parse", "surprise"})

    path: PATH
    cap: float | None = None
    parse: bool = False
    fitted: Target | None = None

    def output(self, y: Columns) -> Columns:
        """Map y (C, N) to values in the unit of the target."""
        fitted = self.fitted or Target()
        value = np.clip(y * fitted.std + fitted.mean, -FLOAT32_MAX, FLOAT32_MAX)
        return value if self.cap is None else np.minimum(value, self.cap)

    def surprise_of(self, y: Columns, target: Targets) -> Targets:
        """Return |target - prediction| (N,) in standard deviations of the target in training."""
        std = (self.fitted or Target()).std
        return np.asarray(np.abs(target - self.output(y)[0]) / std)

    def target(self, value: Any) -> float | None:
        """Encode a value of the field as a target; return ``None`` if it has no target."""
        if value is None or isinstance(value, str):
            return None
        number = value if self.cap is None else min(value, self.cap)
        return float(number) if abs(number) <= FLOAT32_MAX else None  # integers have no maximum


class Regression(_Number):
    """A number; ``cap`` is the maximum of targets and predictions."""

    kind: Literal["regression"]


class Quantile(_Number):
    """Quantiles of a number; ``cap`` is the maximum of targets and predictions."""

    kind: Literal["quantile"]
    quantiles: Annotated[
        tuple[Annotated[float, Field(ge=0.001, le=0.999)], ...],
        ARRAY,
        Field(min_length=1, max_length=QUANTILES_MAX),
    ] = (0.1, 0.5, 0.9)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(second - first <= 0 for first, second in pairwise(self.quantiles)):
            raise ValueError(f"head {self.name}: quantiles must ascend")
        if any(abs(1000 * one - round(1000 * one)) > 1e-6 for one in self.quantiles):
            raise ValueError(f"head {self.name}: a quantile has more than three decimals")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the quantiles."""
        return tuple(map(quantile_name, self.quantiles))

    @property
    def middle(self) -> int:
        """Index of the quantile that is nearest to the median."""
        return min(range(self.width), key=lambda i: abs(self.quantiles[i] - 0.5))

    @property
    def width(self) -> int:
        """Number of columns of y: one for each quantile."""
        return len(self.quantiles)

    @property
    def is_wide(self) -> bool:
        """Whether the output of an event has several values."""
        return True

    def output(self, y: Columns) -> Columns:
        """Map y (C, N) to quantiles in the unit of the target, which ascend in each event."""
        return np.sort(super().output(y), axis=0)

    def surprise_of(self, y: Columns, target: Targets) -> Targets:
        """Return twice the mean pinball loss (N,), in standard deviations of the target in training.

        This approximates the continuous ranked probability score by the quantiles of the head; with
        the median alone, it is the surprise of a regression head.
        """
        std, level = (self.fitted or Target()).std, np.array(self.quantiles)[:, None]  # (C, 1)
        error = (target - self.output(y)) / std
        losses = np.maximum(level * error, (level - 1) * error)
        # Not sum(): numpy adds pairwise for one event, but one by one for several.
        return np.asarray(2 * losses.cumsum(axis=0)[-1] / self.width)


class Binary(_Head):
    """Yes or no: a boolean field, or a number above a threshold."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"parse", "surprise"})

    kind: Literal["binary"]
    path: PATH
    above: float | None = None
    parse: bool = False

    @property
    def types(self) -> frozenset[str]:
        """Boolean, or number if the head has a threshold."""
        return frozenset({"boolean"} if self.above is None else {"number"})

    def output(self, y: Columns) -> Columns:
        """Map y (1, N) to probabilities."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-y)))

    def surprise_of(self, y: Columns, target: Targets) -> Targets:
        """Return -log p (N,) of the target, in nats."""
        known = np.isfinite(target)
        nats = np.logaddexp(0.0, np.where(target > 0, -y[0], y[0]))
        return np.where(known, nats, np.nan)

    def target(self, value: Any) -> float | None:
        """Return 1 for yes, 0 for no, and ``None`` for a missing value or a text."""
        if value is None or isinstance(value, str):
            return None
        return float(bool(value) if self.above is None else value > self.above)


class Multiclass(_Head):
    """One of several classes; ``end`` adds a class for the end of a key."""

    kind: Literal["multiclass"]
    path: PATH
    classes: tuple[Word, ...] = Field(min_length=2, max_length=100_000, strict=False)
    end: bool = False

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            message = (
                f"head {self.name}: two classes have the same name; end = true adds a class {END!r}"
            )
            raise ValueError(message)
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes, ``end`` included."""
        return (*self.classes, END) if self.end else self.classes

    @property
    def types(self) -> frozenset[str]:
        """All types whose values can name a class."""
        return frozenset({"text", "number", "boolean"})

    @property
    def width(self) -> int:
        """Number of columns of y: one for each class."""
        return len(self.labels)

    @property
    def is_wide(self) -> bool:
        """Whether the output of an event has several values."""
        return True

    def output(self, y: Columns) -> Columns:
        """Map y (C, N) to probabilities."""
        likelihood = np.exp(y - y.max(axis=0))
        # Not sum(): numpy adds pairwise for one event, but one by one for several.
        return np.asarray(likelihood / likelihood.cumsum(axis=0)[-1])

    def surprise_of(self, y: Columns, target: Targets) -> Targets:
        """Return -log p (N,) of the target, in nats."""
        known, rows = np.isfinite(target), np.arange(len(target))
        likeliest = y.argmax(axis=0)
        shifted = y - y[likeliest, rows]
        others = np.exp(shifted)
        others[likeliest, rows] = 0  # whose 1 would round off the others
        own = np.where(known, target, 0).astype(np.int64)
        nats = np.log1p(others.cumsum(axis=0)[-1]) - shifted[own, rows]
        return np.where(known, nats, np.nan)

    def target(self, value: Any) -> float | None:
        """Return the index of the class, or ``None`` if the value is not a class."""
        if value is None:
            return None
        word = ("true" if value else "false") if isinstance(value, bool) else str(value)
        return self._numbers.get(word)

    @cached_property
    def _numbers(self) -> dict[str, float]:
        return {word: float(number) for number, word in enumerate(self.classes)}


class TimeToNext(_Head):
    """Seconds until the next event of the key; the target is log(1 + seconds)."""

    kind: Literal["time_to_next"]
    of: Literal["next"] = "next"
    path: None = None
    cap: float | None = Field(None, gt=0)
    fitted: Target | None = None

    def output(self, y: Columns) -> Columns:
        """Map y (1, N) to seconds, never below 0."""
        fitted = self.fitted or Target()
        seconds = np.maximum(np.expm1(np.minimum(y * fitted.std + fitted.mean, 40.0)), 0.0)
        return seconds if self.cap is None else np.minimum(seconds, self.cap)

    def surprise_of(self, y: Columns, target: Targets) -> Targets:
        """Return |target - log(1 + prediction)| (N,) in standard deviations of the target."""
        std = (self.fitted or Target()).std
        return np.asarray(np.abs(target - np.log1p(self.output(y)[0])) / std)

    def target(self, value: Any) -> float | None:
        """Return the target for a value in seconds, or ``None`` for no value."""
        if value is None:
            return None
        seconds = max(float(value), 0.0)
        seconds = seconds if self.cap is None else min(seconds, self.cap)
        return float(np.log1p(seconds))


AnyHead = Regression | Binary | Multiclass | TimeToNext | Quantile
Head = Annotated[AnyHead, Field(discriminator="kind")]
