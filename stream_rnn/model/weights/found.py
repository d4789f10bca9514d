"""What a file of weights contains, in the layout of torch, and the limits of such a file."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.text import printable

FILE_BYTES_MAX = 2_000_000_000
HEADER_BYTES_MAX = 4_000_000
TENSORS_MAX = 1_000
NUMBERS_MAX = 200_000_000  # in all tensors of a file
SHOWN_MAX = 40  # tensors in a message
# What readers and their libraries raise for the bytes of a damaged file.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)
FLOATS = ("float16", "bfloat16", "float32", "float64")

Shape = tuple[int, ...]
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FoundWeights:
    """The tensors of a file.

    Attributes:
        format: Format of the file, such as ``safetensors``.
        tensors: Tensors by name, in the layout and with the gate order of torch.
        is_tanh: Whether the file states that a cell without gates has the nonlinearity tanh.
        notes: What the reader assumes, as sentences for people.
    """

    format: str
    tensors: Weights
    is_tanh: bool = False
    notes: tuple[str, ...] = ()


def check_shapes(place: str, shapes: Mapping[str, Shape]) -> None:
    """Check the number and the sizes of tensors, before they are allocated.

    Raises:
        BundleError: There is none, or there are too many.
    """
    if not shapes:
        raise BundleError(f"{place} contains no tensor; save the state dict of the network")
    if len(shapes) > TENSORS_MAX:
        raise BundleError(
            f"{place} contains {len(shapes)} tensors, more than {TENSORS_MAX}; save only the "
            "embeddings, the recurrent layers and the head"
        )
    total = sum(math.prod(shape) for shape in shapes.values())
    if total > NUMBERS_MAX:
        raise BundleError(
            f"{place} contains {total} numbers, more than {NUMBERS_MAX}; save only the embeddings, "
            "the recurrent layers and the head"
        )


def as_weights(place: str, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the numbers of a tensor as float32.

    Raises:
        BundleError: They are no floats, or one of them is not finite as float32.
    """
    if values.dtype.kind != "f":
        raise BundleError(
            f"{place}: {printable(name)} contains {values.dtype}, not floats; save the network as "
            "float32 (a quantized network cannot be imported)"
        )
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(weights).all():
        raise BundleError(f"{place}: {printable(name)} contains a number that is not finite")
    return weights


def listed(shapes: Mapping[str, Shape]) -> str:
    """Return names with shapes for a message, at most ``SHOWN_MAX`` of them.

    Example:
        >>> listed({"gru.weight_ih_l0": (24, 3), "fc.bias": (2,)})
        'gru.weight_ih_l0 (24, 3), fc.bias (2)'
    """
    shown = [
        f"{printable(name)} ({', '.join(map(str, shape))})"
        for name, shape in list(shapes.items())[:SHOWN_MAX]
    ]
    more = len(shapes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "none"


def shapes_of(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Shape]:
    """Return the shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
