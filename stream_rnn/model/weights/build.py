"""The model of matched weights."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from stream_rnn.errors import BundleError
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network, tensors_of
from stream_rnn.model.weights.inputs import input_places
from stream_rnn.model.weights.matched import MatchedWeights
from stream_rnn.model.words import Categorical

UnknownRow = Literal["first", "last"]


def build_model(
    spec: FeatureSpec,
    matched: MatchedWeights,
    inputs: Sequence[str],
    unknown_row: UnknownRow = "first",
) -> Model:
    """Build the model with its fingerprint.

    Args:
        spec: Feature spec.
        matched: Weights by the part that they are.
        inputs: Columns that the recurrent layer reads, in its order.
        unknown_row: Row of unknown words in a table with one row more than the vocabulary.

    Raises:
        BundleError: The network is too large.
    """
    try:
        cell = CellSpec(kind=matched.kind, hidden=matched.hidden, layers=matched.layers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BundleError(f"{first['loc'][0]} {first['input']}: {first['msg']}") from error
    with torch.random.fork_rng(devices=[]):
        network = Network(spec, cell)
    tensors = {name: tensor.numpy() * 0 for name, tensor in tensors_of(network).items()}
    for name, tensor in matched.cell.items():
        tensors[f"cell.{name}"] = tensor
    first_layer = np.zeros_like(tensors_of(network)["cell.weight_ih_l0"].numpy())
    first_layer[:, input_places(spec, inputs)] = matched.cell["weight_ih_l0"]
    tensors["cell.weight_ih_l0"] = first_layer
    for number, feature in enumerate(f for f in spec.features if isinstance(f, Categorical)):
        table = _table(matched.embeddings[feature.name], feature, unknown_row)
        tensors[f"embeddings.{number}.weight"] = table
    tensors["head.weight"], tensors["head.bias"] = matched.head_weight, matched.head_bias
    network.load_state_dict({n: torch.from_numpy(np.array(t)) for n, t in tensors.items()})
    network.requires_grad_(requires_grad=False)
    return with_fingerprint(Model(spec, cell, network))


def _table(
    table: NDArray[np.float32], feature: Categorical, unknown_row: UnknownRow
) -> NDArray[np.float32]:
    """Return a table (words + 1, width) whose first row is that of unknown words."""
    if len(table) == len(feature.vocabulary):
        return np.concatenate([np.zeros_like(table[:1]), table])
    return np.roll(table, 1, axis=0) if unknown_row == "last" else table
