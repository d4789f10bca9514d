"""The order of the inputs of the recurrent layer.

By default it is that of the columns of the spec, with an embedding in the place of its feature.  The
network of this package orders them otherwise: plain columns, then embeddings, then zeros.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.model.features import FeatureSpec, column_names
from stream_rnn.model.words import Categorical
from stream_rnn.text import printable


def column_widths(spec: FeatureSpec) -> dict[str, int]:
    """Return the number of inputs of each column, in the order of the spec."""
    return {
        name: feature.embedding if isinstance(feature, Categorical) else 1
        for feature in spec.features
        for name in column_names(feature)
    }


def choose_inputs(
    spec: FeatureSpec, named: Sequence[str], count: int, place: str = "the weights"
) -> tuple[str, ...]:
    """Return the columns that the recurrent layer reads, in its order.

    Args:
        spec: Feature spec.
        named: Columns in another order than that of the spec, or fewer; empty for all columns.
        count: Number of inputs that the recurrent layer has.
        place: Name of the file, for messages.

    Raises:
        BundleError: A column does not exist or is named twice, or the number of inputs differs.
    """
    widths = column_widths(spec)
    inputs = tuple(named) or tuple(widths)
    if unknown := [name for name in inputs if name not in widths]:
        raise BundleError(
            f"--inputs {printable(unknown[0])} is no column of the spec; its columns are "
            f"{_listed(widths, tuple(widths))}"
        )
    if len(set(inputs)) < len(inputs):
        raise BundleError("--inputs names a column twice; name each column once")
    total = sum(widths[name] for name in inputs)
    if total != count:
        raise BundleError(
            f"the recurrent layer of {place} reads {count} inputs, but the columns "
            f"{_listed(widths, inputs)} are {total}. The columns of the spec are "
            f"{_listed(widths, tuple(widths))}; name those that the network reads, in its order, "
            "with --inputs NAME,NAME (a column that is left out has no influence), or change the spec"
        )
    return inputs


def input_places(spec: FeatureSpec, inputs: Sequence[str]) -> NDArray[np.int64]:
    """Return for each input of the recurrent layer its place in the network of this package."""
    widths = column_widths(spec)
    embedded = {f.name for f in spec.features if isinstance(f, Categorical)}
    ours = [name for name in widths if name not in embedded]
    ours += [name for name in widths if name in embedded]
    starts, at = {}, 0
    for name in ours:
        starts[name] = at
        at += widths[name]
    return np.array([starts[name] + i for name in inputs for i in range(widths[name])], np.int64)


def describe_inputs(spec: FeatureSpec, inputs: Sequence[str]) -> str:
    """Return the inputs for people, each with its number of inputs if it is not 1."""
    return _listed(column_widths(spec), inputs)


def _listed(widths: dict[str, int], names: Sequence[str]) -> str:
    """Return names with their widths.

    Example:
        >>> _listed({"x": 1, "carrier": 4}, ["x", "carrier"])
        'x, carrier (4)'
    """
    return ", ".join(name if widths[name] == 1 else f"{name} ({widths[name]})" for name in names)
