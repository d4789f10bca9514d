"""The reader of ONNX files, with a node for each recurrent layer.

ONNX has the gates of a GRU in the order z, r, n, and those of an LSTM in the order i, o, f, g; torch
has r, z, n and i, f, g, o.  The tensors that are returned have the names and the layout of torch.

Source: operators GRU, LSTM and RNN of the ONNX standard, versions 7 to 22.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.weights.found import FoundWeights, Weights, as_weights, check_shapes
from stream_rnn.model.weights.onnx_graph import Graph, Node
from stream_rnn.model.weights.onnx_tensors import add_rearranged, read_constants
from stream_rnn.text import printable

# For each kind: ONNX's gates in torch's order, and the default activations.
KINDS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "RNN": ((0,), ("tanh",)),
    "GRU": ((1, 0, 2), ("sigmoid", "tanh")),
    "LSTM": ((0, 2, 3, 1), ("sigmoid", "tanh", "tanh")),
}
W, R, B, INITIAL_H, INITIAL_C, PEEPHOLES = 1, 2, 3, 5, 6, 7  # inputs of a recurrent node


def read_onnx(path: Path) -> FoundWeights:
    """Read an ONNX file with embeddings, a chain of recurrent nodes, and linear layers after them.

    Raises:
        BundleError: The file is damaged, or the graph computes something else.
    """
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
        constants = read_constants(model.graph, path)
        shapes = {name: values.shape for name, values in constants.items()}
        add_rearranged(model.graph, constants, path)
    except (DecodeError, LookupError, ValueError, TypeError) as error:
        raise BundleError(f"{path} is damaged or not ONNX: {reason(error)}") from error
    check_shapes(str(path), shapes)
    graph = Graph(model.graph, constants, path)
    layers = graph.recurrent_layers(tuple(KINDS))
    tensors: Weights = {}
    for number, node in enumerate(layers):
        for name, values in _layer(node, graph, path).items():
            tensors[f"rnn.{name}_l{number}"] = as_weights(str(path), printable(node.name), values)
    for name, values in (graph.embeddings() | graph.linear_layers(layers[-1])).items():
        tensors[name] = as_weights(str(path), name, values)
    return FoundWeights("onnx", tensors, is_tanh=True, notes=tuple(graph.notes))


def _layer(node: Node, graph: Graph, path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a recurrent node under torch's names, without the layer."""
    order, _ = KINDS[node.kind]
    _check_options(node, path)
    if node.has_input(PEEPHOLES):
        raise BundleError(f"{path}: {node.place} has peepholes, which an nn.LSTM does not have")
    for number in (INITIAL_H, INITIAL_C):
        if node.has_input(number) and graph.has_other_than_zeros(node.inputs[number]):
            raise BundleError(
                f"{path}: {node.place} begins with a hidden state that is not zero; here each key "
                "begins with zeros"
            )
    weight_ih, weight_hh = graph.constant(node, W), graph.constant(node, R)
    hidden = weight_hh.shape[-1]
    shapes = (1, len(order) * hidden)
    if weight_ih.ndim != 3 or weight_ih.shape[:2] != shapes or weight_hh.shape != (*shapes, hidden):
        raise BundleError(
            f"{path}: {node.place} has weights {weight_ih.shape} and {weight_hh.shape}, which are "
            "not those of one direction"
        )
    tensors = {
        "weight_ih": _reorder(weight_ih[0], order),
        "weight_hh": _reorder(weight_hh[0], order),
    }
    if node.has_input(B):
        bias = graph.constant(node, B).reshape(2, -1)
        tensors |= {
            n: _reorder(b, order) for n, b in zip(("bias_ih", "bias_hh"), bias, strict=True)
        }
    return tensors


def _reorder(tensor: NDArray[Any], order: tuple[int, ...]) -> NDArray[Any]:
    gates = np.split(tensor, len(order))
    return np.concatenate([gates[gate] for gate in order])


def _check_options(node: Node, path: Path) -> None:
    """Check that a recurrent node computes the formula of torch's module."""
    options, (_, activations) = node.options, KINDS[node.kind]
    stated = tuple(name.decode().lower() for name in options.get("activations", ()))
    if stated and stated != activations:
        raise BundleError(
            f"{path}: {node.place} has the activations {', '.join(stated)}; those that can be "
            f"imported are {', '.join(activations)}"
        )
    if options.get("direction", b"forward") != b"forward":
        raise BundleError(
            f"{path}: {node.place} reads in the direction {options['direction'].decode()}; events "
            "that have not happened yet cannot be read"
        )
    if node.kind == "GRU" and options.get("linear_before_reset", 0) != 1:
        raise BundleError(
            f"{path}: {node.place} has linear_before_reset = 0, another formula than torch's GRU: "
            "it applies the reset gate before the product; export it with linear_before_reset = 1 "
            "(Keras: reset_after=True) and train it so"
        )
    for option in ("clip", "input_forget"):
        if options.get(option):
            raise BundleError(f"{path}: {node.place} has {option}, which torch does not have")
