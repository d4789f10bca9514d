"""A feature of an array of numbers, each place of which is scaled by itself."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Limits
from pydantic import model_validator

from stream_rnn.model.field import Field
from stream_rnn.model.paths import PATH
from stream_rnn.model.scaled import RANGE_MIN, Fitted, Name, Transformed
from stream_rnn.model.spec_part import ARRAY

LENGTH_MAX = 2048


class Vector(Transformed):
    """An array of numbers of fixed length; an empty array is missing, a place may be null.

    Each place is scaled by its own statistics; ``scaling`` and ``clip`` hold for all.
    """

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"lag"})

    kind: Literal["vector"]
    name: Name
    path: PATH
    length: int = Limits(ge=1, le=LENGTH_MAX)
    missing: Literal["indicator", "mean", "error"] = "indicator"
    lag: bool = False
    fitted: Annotated[tuple[Fitted, ...], ARRAY] | None = None

    @model_validator(mode="after")
    def _all_places_fitted(self) -> Self:
        if self.fitted is not None and len(self.fitted) != self.length:
            raise ValueError(f"fitted has {len(self.fitted)} places, and length is {self.length}")
        return self

    @property
    def field(self) -> Field:
        """The field that the feature reads."""
        return Field(
            self.path,
            frozenset({"numbers"}),
            required=self.missing == "error",
            length=(self.length, self.length),
        )

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the columns of the places."""
        return tuple(f"{self.name}_{place}" for place in range(self.length))

    def matrix(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Return N arrays as numbers (N, L); NaN for a missing place."""
        absent = [None] * self.length
        rows = [value or absent for value in values]
        return np.array(rows, np.float64).reshape(len(rows), self.length)

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform and scale numbers (N, L) in float64; a missing place gets its mean.

        The mean is that of the training part, which is 0 if it is standardized or not fitted.
        """
        missing = np.isnan(values)
        values = self.transform(np.where(missing, 0.0, values))
        fitted = self.fitted
        if fitted is None:
            return np.where(missing, 0.0, values)
        means = np.array([place.mean for place in fitted])
        if self.scaling == "none":
            return np.where(missing, means, values)
        if self.scaling == "minmax":
            lows = np.array([place.min for place in fitted])
            spans = np.maximum(np.array([place.max for place in fitted]) - lows, RANGE_MIN)
            values = np.where(missing, means, values)
            return np.asarray((values - lows) / spans)
        deviations = np.array([place.std for place in fitted])
        return np.where(missing, 0.0, (values - means) / deviations)
