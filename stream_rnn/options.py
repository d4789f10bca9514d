"""Options with bounds, which functions and the command line share.

A group of options is a frozen dataclass of pydantic.  The type, the bounds and the default of each
field apply to the keyword of a function and to the option of the command line.
"""

import reprlib
from numbers import Real
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from stream_rnn.errors import ConfigError

T = TypeVar("T")

INT64_MAX = 2**63 - 1


def _number_to_text(value: Any) -> Any:
    return value if isinstance(value, bool) or not isinstance(value, Real) else str(value)


Seed = Annotated[int, Field(ge=0, le=INT64_MAX)]  # numpy and torch both accept this range
CELLS = ("elman", "gru", "lstm", "mingru", "rg_lru", "decay_gru")
"""Names of the recurrent cells that come with this package."""
CELL_GROUP = "stream_rnn.cells"
"""Group of the entry points by which other packages offer cells."""
HiddenSize = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=1, le=4)]
NumberOrText = Annotated[str, BeforeValidator(_number_to_text)]

BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED = 200, 1  # of the intervals of metrics


def build_options(kind: type[T], **values: Any) -> T:
    """Build a group of options from values; ``None`` stands for the default.

    Args:
        kind: Class of the group.
        values: Values of its fields.

    Raises:
        ConfigError: A value has the wrong type or is out of its bounds.

    Example:
        >>> from stream_rnn.training.training_settings import TrainingSettings
        >>> build_options(TrainingSettings, epochs=0)
        Traceback (most recent call last):
            ...
        stream_rnn.errors.ConfigError: option epochs: Input should be greater than or equal to 1, not 0
    """
    try:
        return kind(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{first['msg']}, not {reprlib.repr(first['input'])}"
        raise ConfigError(f"option {first['loc'][0]}: {message}") from error
