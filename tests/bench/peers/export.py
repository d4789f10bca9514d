"""Exports a bundle for the Java contenders: ``gru.bin``, and ``gru.onnx`` if onnx is installed."""

import struct
from pathlib import Path

import numpy as np

from stream_rnn.model.bundle import load_bundle

HEADER = struct.Struct("<4i")
OPSET = 17


def export(bundle: Path, directory: Path) -> None:
    """Write the tensors of a one-layer GRU with one embedding and one binary head.

    Raises:
        ImportError: The onnx package is not installed; ``gru.bin`` is written nevertheless.
    """
    tensors = {n: t.numpy() for n, t in load_bundle(bundle).network.state_dict().items()}
    embeddings, weights = tensors["embeddings.0.weight"], tensors["cell.weight_ih_l0"]
    hidden = weights.shape[0] // 3
    directory.mkdir(parents=True, exist_ok=True)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    cell = [tensors[f"cell.{name}"] for name in names]
    parts = [embeddings, *cell, tensors["head.weight"], tensors["head.bias"]]
    raw = b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts)
    sizes = HEADER.pack(*embeddings.shape, weights.shape[1], hidden)
    (directory / "gru.bin").write_bytes(sizes + raw)
    _write_onnx(directory / "gru.onnx", cell, tensors["head.weight"], tensors["head.bias"])


def _write_onnx(path: Path, cell: list[np.ndarray], head, bias) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def reordered(tensor: np.ndarray) -> np.ndarray:
        """Reorder torch's gates (reset, update, new) to those of ONNX (update, reset, new)."""
        reset, update, new = np.split(tensor, 3)
        return np.concatenate([update, reset, new])

    inputs, hidden = cell[0].shape[1], cell[1].shape[1]
    biases = np.concatenate([reordered(cell[2]), reordered(cell[3])])
    constants = {
        "W": reordered(cell[0])[None],
        "R": reordered(cell[1])[None],
        "B": biases[None],
        "head": head.T,
        "bias": bias,
        "row": np.array([1, hidden]),
    }
    nodes = [
        helper.make_node(
            "GRU",
            ["x", "W", "R", "B", "", "before"],
            ["", "after"],
            hidden_size=hidden,
            linear_before_reset=1,
        ),
        helper.make_node("Reshape", ["after", "row"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "gru",
        [
            helper.make_tensor_value_info("x", float32, [1, 1, inputs]),
            helper.make_tensor_value_info("before", float32, [1, 1, hidden]),
        ],
        [
            helper.make_tensor_value_info("probability", float32, [1, 1]),
            helper.make_tensor_value_info("after", float32, [1, 1, hidden]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
