"""Numbers as features: clipping, the logarithm, and scaling by what training has fitted."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Limits
from pydantic import model_validator

from stream_rnn.model.spec_part import ARRAY, SpecPart

Name = Annotated[str, Limits(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Scaling = Literal["standard", "minmax", "log", "none"]
RANGE_MIN = 1e-12


def _check_order(what: str, low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"{what}: {low:g} is above {high:g}")


class Fitted(SpecPart):
    """Statistics of a feature in the training part, after clipping and the logarithm, if any."""

    mean: float = 0.0
    std: float = Limits(default=1.0, gt=0)
    min: float = 0.0
    max: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_order("fitted", self.min, self.max)
        return self


class Transformed(SpecPart):
    """Numbers that are clipped, and of which a feature may take the logarithm."""

    scaling: Scaling = "standard"
    clip: Annotated[tuple[float, float], ARRAY] | None = None

    @model_validator(mode="after")
    def _clip_ordered(self) -> Self:
        if self.clip is not None:
            _check_order("clip", *self.clip)
        return self

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Clip the values and take the logarithm, as the spec says; do not scale."""
        if self.clip is not None:
            values = np.clip(values, *self.clip)
        return np.copysign(np.log1p(np.abs(values)), values) if self.scaling == "log" else values


class Scaled(Transformed):
    """Numbers that are scaled."""

    fitted: Fitted | None = None

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform and scale in float64, so that the bits of a row do not depend on other rows."""
        values = self.transform(values)
        fitted = self.fitted
        if fitted is None or self.scaling == "none":
            return values
        if self.scaling == "minmax":
            return (values - fitted.min) / max(fitted.max - fitted.min, RANGE_MIN)
        return (values - fitted.mean) / fitted.std
