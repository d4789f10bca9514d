"""The graph of an ONNX file: embeddings, a chain of recurrent nodes, and linear layers after them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.text import printable

# Nodes that pass on the numbers of their first input; a Gather or Slice of it chooses steps.
PASSES = {"Transpose", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast", "Dropout", "Flatten"}
CHOOSES = {"Gather", "Slice"}
# Nodes that compute shapes and initial states.
SHAPES = {"Constant", "ConstantOfShape", "Shape", "Expand", "Range", "Size"}
ENDS = {"Sigmoid", "Softmax", "LogSoftmax"}  # only after the head
ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a graph.

    Attributes:
        kind: Operator.
        name: Name of the node, or of its first output.
        inputs: Names of its inputs; empty for one that is absent.
        outputs: Names of its outputs.
        options: Its attributes by name.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Kind and name, for messages."""
        return f"the node {printable(self.kind)} {printable(self.name)}"

    def has_input(self, number: int) -> bool:
        """Return whether an input is present."""
        return number < len(self.inputs) and self.inputs[number] != ""


def _node(proto: Any, path: Path) -> Node:
    if proto.domain not in ONNX_DOMAINS:
        raise BundleError(
            f"{path}: {printable(proto.op_type)} of {printable(proto.domain)} is no operator of ONNX"
        )
    name = proto.name or (proto.output[0] if proto.output else "")
    options = {
        option.name: onnx.helper.get_attribute_value(option)
        for option in proto.attribute
        if proto.op_type != "Constant"
    }
    return Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), options)


class Graph:
    """The nodes of a graph, and which of them computes what.

    Attributes:
        notes: What was left out, as sentences.
    """

    def __init__(self, graph: Any, constants: dict[str, NDArray[Any]], path: Path) -> None:
        self._path, self._constants = path, constants
        self._nodes = [_node(proto, path) for proto in graph.node]
        self._by_output = {name: node for node in self._nodes for name in node.outputs}
        self.notes: list[str] = []

    def recurrent_layers(self, kinds: Sequence[str]) -> list[Node]:
        """Return the chain of recurrent nodes, the first layer first.

        Raises:
            BundleError: There is none, or they do not make one chain behind inputs and embeddings.
        """
        layers = [node for node in self._nodes if node.kind in kinds]
        if not layers:
            raise BundleError(
                f"{self._path} has no node RNN, GRU or LSTM: the exporter has unrolled the network; "
                "save its state dict instead, or export it with torch.onnx.export(..., dynamo=False)"
            )
        self._refuse_others(kinds)
        for before, layer in zip([None, *layers], layers, strict=False):
            sources = self._sources(layer.inputs[0])
            is_first = before is None and all(
                node is None or self._is_embedding(node) for node in sources
            )
            if layer.kind != layers[0].kind or not (is_first or sources == [before]):
                found = ", ".join(node.place for node in sources if node) or "the inputs"
                raise BundleError(
                    f"{self._path}: {layer.place} reads {found}; the network must be one chain of "
                    "layers of one kind, which reads only inputs and embeddings"
                )
        return layers

    def _refuse_others(self, kinds: Sequence[str]) -> None:
        """Refuse nodes for which the network has no place."""
        linear = {"MatMul", "Gemm", "Add"}
        known = {*kinds, *linear, *PASSES, *CHOOSES, *SHAPES, *ENDS, "Concat"}
        for node in self._nodes:
            if node.kind not in known:
                raise BundleError(
                    f"{self._path}: the network has no place for {node.place}; it consists of "
                    "embeddings, recurrent layers and one linear layer for each head"
                )

    def embeddings(self) -> dict[str, NDArray[Any]]:
        """Return the tables that are read by a Gather, by name."""
        return {
            node.inputs[0]: self._constants[node.inputs[0]]
            for node in self._nodes
            if self._is_embedding(node)
        }

    def linear_layers(self, last: Node) -> dict[str, NDArray[Any]]:
        """Return weight and bias of each linear layer, which must read the last recurrent layer.

        Raises:
            BundleError: One of them reads something else, or something reads its outputs.
        """
        tensors: dict[str, NDArray[Any]] = {}
        for node in self._nodes:
            if node.kind in ENDS:
                self._check_end(node)
            if node.kind not in ("MatMul", "Gemm"):
                continue
            if self._sources(node.inputs[0]) != [last]:
                raise BundleError(
                    f"{self._path}: {node.place} does not read the last recurrent layer; the network "
                    "has one linear layer for each head, and no others"
                )
            weight, bias, name = self._linear(node)
            tensors[f"{name}.weight"] = weight
            if bias is not None:
                tensors[f"{name}.bias"] = bias
        for node in self._nodes:
            if node.kind == "Add" and not any(
                source is not None and source.kind == "MatMul" for source in self._added(node)
            ):
                raise BundleError(f"{self._path}: {node.place} adds to something else than a head")
        return tensors

    def _check_end(self, node: Node) -> None:
        readers = [n for n in self._nodes if set(node.outputs) & set(n.inputs)]
        sources = self._sources(node.inputs[0])
        if any(n.kind not in PASSES for n in readers) or not all(
            source is not None and source.kind in ("MatMul", "Gemm", "Add") for source in sources
        ):
            raise BundleError(f"{self._path}: {node.place} is not the end of the network")
        self.notes.append(f"{node.place} is left out: the head of the spec computes it")

    def _linear(self, node: Node) -> tuple[NDArray[Any], NDArray[Any] | None, str]:
        """Return the weight (O, H), the bias (O,) and a name of a linear layer."""
        weight, bias, named = self.constant(node, 1), None, node.inputs[1]
        if weight.ndim != 2:
            raise BundleError(f"{self._path}: {node.place} multiplies by {weight.shape}, no matrix")
        if node.kind == "Gemm":
            wrong = [n for n in ("alpha", "beta") if node.options.get(n, 1.0) != 1.0]
            if wrong or node.options.get("transA"):
                raise BundleError(f"{self._path}: {node.place} has {wrong or 'transA'}")
            weight = weight if node.options.get("transB") else weight.T
            if node.has_input(2):
                bias, named = self.constant(node, 2), node.inputs[2]
        else:
            weight = weight.T
            for add in (n for n in self._nodes if n.kind == "Add" and node in self._added(n)):
                (name,) = (i for i in add.inputs if i in self._constants)
                bias, named = self._constants[name].reshape(-1), name
        parts = named.rpartition(".")
        return weight, bias, parts[0] if parts[2] in ("weight", "bias") else node.name

    def _added(self, node: Node) -> list[Node | None]:
        """Return what an Add with one constant adds to; nothing if it has none or two."""
        others = [name for name in node.inputs if name not in self._constants]
        return self._sources(others[0]) if len(others) == 1 else []

    def _is_embedding(self, node: Node) -> bool:
        table = self._constants.get(node.inputs[0]) if node.inputs else None
        is_table = table is not None and table.ndim == 2 and table.dtype.kind == "f"
        return node.kind == "Gather" and is_table and node.options.get("axis", 0) == 0

    def _sources(self, value: str) -> list[Node | None]:
        """Return the nodes that compute the numbers of a value; ``None`` for an input of the graph.

        An output of a recurrent node other than the first one is a final state: with one sequence,
        it is the last step.
        """
        found: list[Node | None] = []
        waiting, seen = [value], set()
        while waiting:
            name = waiting.pop(0)
            node = self._by_output.get(name)
            if name in seen:
                continue
            seen.add(name)
            if node is None:
                found.append(None)
            elif node.kind in PASSES or (node.kind in CHOOSES and not self._is_embedding(node)):
                waiting.append(node.inputs[0])
            elif node.kind == "Concat":
                waiting.extend(node.inputs)
            elif node.kind == "LSTM" and name in node.outputs[2:]:
                raise BundleError(
                    f"{self._path}: something reads the cell state of {node.place}; only its hidden "
                    "state can be read"
                )
            else:
                found.append(node)
        return found

    def constant(self, node: Node, number: int) -> NDArray[Any]:
        """Return an input of a node, which must be constant.

        Raises:
            BundleError: The node has no such input, or computes it.
        """
        name = node.inputs[number] if node.has_input(number) else ""
        if name not in self._constants:
            raise BundleError(
                f"{self._path}: input {number} of {node.place} is no constant; export the network in "
                "evaluation mode, with constant folding"
            )
        return self._constants[name]

    def has_other_than_zeros(self, value: str) -> bool:
        """Return whether a value is computed from a float that is not zero."""
        waiting, seen = [value], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            numbers = self._constants.get(name)
            if numbers is not None and numbers.dtype.kind == "f" and np.any(numbers):
                return True
            node = self._by_output.get(name)
            if node is not None and node.kind != "Shape":
                waiting.extend(name for name in node.inputs if name)
                fill = node.options.get("value") if node.kind == "ConstantOfShape" else None
                if fill is not None and np.any(onnx.numpy_helper.to_array(fill)):
                    return True
        return False
