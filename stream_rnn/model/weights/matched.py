"""The weights of a network by the part that they are, and the names of parts."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.cells import CellKind
from stream_rnn.model.weights.found import Shape, Weights
from stream_rnn.model.words import Categorical


@dataclass(frozen=True, slots=True)
class MatchedWeights:
    """The tensors of a network by the part that they are.

    Attributes:
        kind: Kind of the recurrent cell.
        hidden: Hidden size, H.
        layers: Number of recurrent layers.
        cell: Tensors of the recurrent layers under torch's names; biases may be absent.
        embeddings: Embedding table (rows, width) by the name of the feature.
        head_weight: (O, H), in the order of the heads in the spec.
        head_bias: (O,)
        names: Name in the file by our name.
    """

    kind: CellKind
    hidden: int
    layers: int
    cell: Weights
    embeddings: Weights
    head_weight: NDArray[np.float32]
    head_bias: NDArray[np.float32]
    names: dict[str, str]

    @property
    def inputs(self) -> int:
        """Number of inputs of the first recurrent layer."""
        return int(self.cell["weight_ih_l0"].shape[1])


def table_shapes(feature: Categorical) -> set[Shape]:
    """Return the shapes of an embedding table: with a row for unknown words, or without."""
    rows = len(feature.vocabulary)
    return {(rows, feature.embedding), (rows + 1, feature.embedding)}


def is_tensor(ours: str) -> bool:
    """Return whether our name is that of a tensor, rather than of a module."""
    return ours.rpartition(".")[2].partition("_")[0] in ("weight", "bias")


def torch_name(part: str) -> str:
    """Return torch's name of a tensor of recurrent layers; that of a single cell has no layer."""
    return part if re.search(r"_l\d$", part) else f"{part}_l0"


def has_word(name: str, word: str) -> bool:
    """Return whether a name contains a word between dots, hyphens or underscores."""
    return re.search(rf"(^|[._/-]){re.escape(word)}($|[._/-])", name) is not None
