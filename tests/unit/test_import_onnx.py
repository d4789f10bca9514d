"""ONNX files: what torch exports has the outputs of torch, and other formulas are refused."""

import sys
import warnings

import numpy as np
import pytest
import torch

from stream_rnn import import_weights
from stream_rnn.errors import BundleError, MissingExtraError
from stream_rnn.model.weights import onnx_tensors
from stream_rnn.model.weights.files import read_weights
from tests import plain_networks

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
H, IN = 4, 5


def export(network, path, *, dynamo):
    """Export a network as people do, with one of torch's two exporters."""
    plain, carrier = plain_networks.encoded(plain_networks.events(1, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (plain[None], carrier[None]), path, dynamo=dynamo)


def imported(folder):
    """Import the network of a folder, and compare its outputs with the reference."""
    return import_weights(
        folder / "spec.toml",
        folder / "network.onnx",
        folder / "bundle",
        check=folder / "reference.npz",
    )


@pytest.mark.parametrize("hidden", [5, 16])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "dynamo"),
    [("GRU", True), ("GRU", False), ("LSTM", True), ("LSTM", False), ("RNN", False)],
)
def test_what_torch_exports_has_its_outputs(tmp_path, kind, dynamo, layers, hidden):
    """With both exporters, one of which writes numbers to a file beside."""
    if dynamo:
        pytest.importorskip("onnxscript")
    network = plain_networks.write(tmp_path, kind, hidden, layers)
    export(network, tmp_path / "network.onnx", dynamo=dynamo)
    bundle = imported(tmp_path)
    assert bundle.comparison.compared == 96
    assert bundle.model.cell.layers == layers


@pytest.mark.parametrize(("kind", "hidden"), [("LSTM", 50), ("GRU", 100), ("LSTM", 100)])
def test_what_torch_exports_of_large_weights_has_its_outputs(tmp_path, kind, hidden):
    """Its exporter leaves their gates to be reordered by nodes of the graph."""
    pytest.importorskip("onnxscript")
    network = plain_networks.write(tmp_path, kind, hidden, 2)
    export(network, tmp_path / "network.onnx", dynamo=True)
    graph = onnx.load(tmp_path / "network.onnx").graph
    assert "Slice" in {node.op_type for node in graph.node}
    bundle = imported(tmp_path)
    assert bundle.comparison.compared == 96
    assert bundle.comparison.largest <= 1e-5


@pytest.mark.parametrize("opset", [9, 17])
def test_gates_reordered_by_nodes_are_read(tmp_path, opset):
    """Of a file without constant folding; older versions of the standard have other attributes."""
    network = plain_networks.write(tmp_path, "LSTM", 5, 2)
    plain, carrier = plain_networks.encoded(plain_networks.events(1, 6))
    options = {"dynamo": False, "do_constant_folding": False, "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (plain[None], carrier[None]), tmp_path / "n.onnx", **options)
    assert "Slice" in {node.op_type for node in onnx.load(tmp_path / "n.onnx").graph.node}
    bundle = import_weights(
        tmp_path / "spec.toml",
        tmp_path / "n.onnx",
        tmp_path / "bundle",
        check=tmp_path / "reference.npz",
    )
    assert bundle.comparison.compared == 96


def test_constants_that_nodes_multiply_are_refused(tmp_path, monkeypatch):
    """Before they take memory."""
    monkeypatch.setattr(onnx_tensors, "NUMBERS_MAX", 1000)
    doubled = [node("Concat", [f"W{i}"] * 2, [f"W{i + 1}"], axis=0) for i in range(40)]
    model = graph(inputs=["x", "W0", "R", "B"], constants={"W0": np.zeros((1, 12, 5))})
    for number, more in enumerate(doubled):
        model.graph.node.insert(number, more)
    with pytest.raises(BundleError, match="joins constants of more than 1000 numbers"):
        read_weights(saved(tmp_path, model))


def test_an_unrolled_network_is_refused(tmp_path):
    """The newer exporter writes an nn.RNN step by step."""
    pytest.importorskip("onnxscript")
    export(plain_networks.Plain("RNN", 8), tmp_path / "network.onnx", dynamo=True)
    with pytest.raises(BundleError, match="the exporter has unrolled the network"):
        read_weights(tmp_path / "network.onnx")


def graph(
    kind="GRU", *, more=(), constants=(), inputs=("x", "W", "R", "B"), end="MatMul", **options
):
    """Return an ONNX model of one recurrent layer and one head.

    Args:
        kind: Operator of the layer.
        more: Nodes before the head.
        constants: More constants by name, or others.
        inputs: Inputs of the layer.
        end: Operator of the head.
        options: Attributes of the layer.
    """
    draw, gates = np.random.default_rng(1), GATES[kind]
    arrays = {
        "W": draw.normal(size=(1, gates * H, IN)),
        "R": draw.normal(size=(1, gates * H, H)),
        "B": draw.normal(size=(1, 2 * gates * H)),
        "fc.weight": draw.normal(size=(H, 2) if end == "MatMul" else (2, H)),
        "fc.bias": draw.normal(size=2),
    } | dict(constants)
    options = {"hidden_size": H, **({"linear_before_reset": 1} if kind == "GRU" else {}), **options}
    head = [helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["y"], transB=1)]
    if end == "MatMul":
        head = [
            helper.make_node("MatMul", ["flat", "fc.weight"], ["product"]),
            helper.make_node("Add", ["product", "fc.bias"], ["y"]),
        ]
    nodes = [
        helper.make_node(kind, inputs, ["h4"], name="layer", **options),
        helper.make_node("Squeeze", ["h4", "axis"], ["flat"]),
        *more,
        *head,
    ]
    tensors = [numpy_helper.from_array(np.float32(a), n) for n, a in arrays.items()]
    tensors.append(numpy_helper.from_array(np.array([1]), "axis"))
    values = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, None, IN]),
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None),
    ]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], tensors))


def saved(folder, model):
    """Write a model, and return its path."""
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("end", ["MatMul", "Gemm"])
@pytest.mark.parametrize("kind", GATES)
def test_a_graph_has_the_outputs_of_the_standard(tmp_path, kind, end):
    """As the reference evaluator of ONNX computes them; Gemm takes the rows of one step."""
    model = graph(kind, end=end)
    axes = [1] if end == "MatMul" else [0, 1]
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array(axes), "axis"))
    steps = 7 if end == "MatMul" else 1
    x = np.random.default_rng(2).normal(size=(steps, 1, IN)).astype(np.float32)
    found = read_weights(saved(tmp_path, model)).tensors
    rnn = getattr(torch.nn, kind)(IN, H)
    rnn.load_state_dict({n[4:]: torch.tensor(t) for n, t in found.items() if n[:3] == "rnn"})
    ours = rnn(torch.tensor(x))[0].detach().numpy() @ found["fc.weight"].T + found["fc.bias"]
    (theirs,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    assert np.allclose(ours, theirs.reshape(ours.shape), atol=1e-5)


def node(kind, inputs, outputs, **options):
    """Return a node."""
    return helper.make_node(kind, inputs, outputs, name=kind.lower(), **options)


def changed(model, change):
    """Return a model after a change."""
    change(model.graph)
    return model


def far_away(place, offset=0):
    """Return a model whose numbers are in another file."""
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    tensor.external_data.add(key="offset", value=str(offset))
    return model


ZEROS = np.zeros((1, 1, H))
REFUSED = {
    "reset before": (lambda: graph(linear_before_reset=0), "linear_before_reset = 0"),
    "reverse": (lambda: graph(direction="reverse"), "direction reverse"),
    "both": (lambda: graph("LSTM", direction="bidirectional"), "direction bidirectional"),
    "relu": (lambda: graph("RNN", activations=["Relu"]), "activations relu"),
    "clip": (lambda: graph(clip=1.0), "has clip"),
    "coupled": (lambda: graph("LSTM", input_forget=1), "has input_forget"),
    "peepholes": (
        lambda: graph(
            "LSTM",
            inputs=["x", "W", "R", "B", "", "", "", "P"],
            constants={"P": np.ones((1, 3 * H))},
        ),
        "has peepholes",
    ),
    "initial state": (
        lambda: graph(inputs=["x", "W", "R", "B", "", "h0"], constants={"h0": ZEROS + 1}),
        "hidden state that is not zero",
    ),
    "weights": (lambda: graph(constants={"W": np.ones((2, 12, IN))}), "not those of one direction"),
    "relu after": (lambda: graph(more=[node("Relu", ["h4"], ["r"])]), "no place for the node Relu"),
    "skip": (
        lambda: changed(
            graph(more=[node("Concat", ["h4", "x"], ["c"], axis=-1)]),
            lambda g: g.node[3].input.__setitem__(0, "c"),
        ),
        "does not read the last recurrent layer",
    ),
    "sigmoid before": (
        lambda: changed(
            graph(more=[node("Sigmoid", ["flat"], ["s"])]),
            lambda g: g.node[3].input.__setitem__(0, "s"),
        ),
        "is not the end",
    ),
    "computed": (lambda: graph(inputs=["x", "x", "R", "B"]), "is no constant"),
    "domain": (
        lambda: changed(graph(), lambda g: setattr(g.node[0], "domain", "acme")),
        "no operator of ONNX",
    ),
    "no rnn": (lambda: changed(graph(), lambda g: g.node.pop(0)), "unrolled"),
    "int8": (
        lambda: changed(
            graph(),
            lambda g: g.initializer[0].CopyFrom(numpy_helper.from_array(np.int8([1]), "W")),
        ),
        "quantized",
    ),
    "elsewhere": (lambda: far_away("../secrets"), "no file beside it"),
    "absolute": (lambda: far_away(str(np.__file__)), "no file beside it"),
    "absent": (lambda: far_away("absent.data"), "no file beside it"),
    "short": (lambda: far_away("network.onnx", 10_000), "too short"),
    "terabytes": (
        lambda: changed(graph(), lambda g: g.initializer[0].dims.__setitem__(1, 2**40)),
        "200000000 are read",
    ),
    "negative": (
        lambda: changed(graph(), lambda g: g.initializer[0].dims.__setitem__(1, -1)),
        "negative size",
    ),
    "cut": (
        lambda: graph(
            more=[node("Slice", ["fc.bias"], ["cut"], starts=[0], ends=[1], axes=[7])],
        ),
        "is damaged",
    ),
    "torn": (
        lambda: changed(graph(), lambda g: setattr(g.initializer[0], "raw_data", b"1234")),
        "is damaged",
    ),
}


@pytest.mark.parametrize(("make", "expected"), REFUSED.values(), ids=REFUSED)
def test_another_formula_is_refused(tmp_path, make, expected):
    """By a sentence with the path and the node."""
    with pytest.raises(BundleError) as refused:
        read_weights(saved(tmp_path, make()))
    assert expected in str(refused.value)
    assert "network.onnx" in str(refused.value)


def test_what_the_head_computes_is_left_out(tmp_path):
    """A sigmoid or softmax at the end, with a note; zeros as initial state are allowed."""
    model = graph(inputs=["x", "W", "R", "B", "", "h0"], constants={"h0": ZEROS})
    model.graph.node.append(node("Sigmoid", ["y"], ["p"]))
    found = read_weights(saved(tmp_path, model))
    assert "the head of the spec computes it" in found.notes[0]
    assert set(found.tensors) >= {"fc.weight", "fc.bias", "rnn.bias_hh_l0"}


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "stream_rnn.model.weights.onnx_file", raising=False)
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'stream-rnn\[onnx\]'"):
        read_weights(tmp_path / "w.onnx")
