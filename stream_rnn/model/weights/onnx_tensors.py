"""The constants of an ONNX graph, whose sizes are checked before they are read."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.model.weights.found import FILE_BYTES_MAX, NUMBERS_MAX, TENSORS_MAX
from stream_rnn.text import printable

NODES_MAX = 20_000
TYPES = {
    onnx.TensorProto.FLOAT: "<f4",
    onnx.TensorProto.DOUBLE: "<f8",
    onnx.TensorProto.FLOAT16: "<f2",
    onnx.TensorProto.INT64: "<i8",
    onnx.TensorProto.INT32: "<i4",
    onnx.TensorProto.BOOL: "|b1",
}


def read_constants(graph: Any, path: Path) -> dict[str, NDArray[Any]]:
    """Read the initializers and the constants of a graph, by name.

    Numbers outside of the file are read from a file in the same directory only.

    Raises:
        BundleError: They are too many or too large, or of a type that no weights have.
        ValueError: A constant has fewer numbers than its shape.
    """
    nodes = [node for node in graph.node if node.op_type == "Constant"]
    if len(graph.node) > NODES_MAX or len(graph.initializer) + len(nodes) > NODES_MAX:
        raise BundleError(f"{path} has more than {NODES_MAX} nodes or constants")
    protos = {proto.name: proto for proto in graph.initializer}
    for node in nodes:
        for option in node.attribute:
            if option.name == "value":
                protos[node.output[0]] = option.t
    count = sum(_count(proto, path) for proto in protos.values())
    large = sum(_count(proto, path) > 1 for proto in protos.values())
    if count > NUMBERS_MAX or large > TENSORS_MAX:
        raise BundleError(
            f"{path} contains {large} tensors with {count} numbers; {TENSORS_MAX} and {NUMBERS_MAX} "
            "are read"
        )
    return {name: _read(proto, path) for name, proto in protos.items()}


def _count(proto: Any, path: Path) -> int:
    if any(size < 0 for size in proto.dims):
        raise BundleError(f"{path}: {printable(proto.name)} has a negative size")
    return math.prod(proto.dims)


def _read(proto: Any, path: Path) -> NDArray[Any]:
    if proto.data_type not in TYPES:
        raise BundleError(
            f"{path}: {printable(proto.name)} has the type "
            f"{onnx.TensorProto.DataType.Name(proto.data_type)}; save the network as float32 (a "
            "quantized network cannot be imported)"
        )
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        return _read_external(proto, path)
    return np.asarray(onnx.numpy_helper.to_array(proto))


def _read_external(proto: Any, path: Path) -> NDArray[Any]:
    """Read numbers from another file, which must stand beside the ONNX file."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    name = entries.get("location", "")
    place = path.parent / name
    if not name or Path(name).name != name or place.is_symlink() or not place.is_file():
        raise BundleError(
            f"{path}: the numbers of {printable(proto.name)} are in {printable(name)!r}, which is no "
            "file beside it; export with external_data=False, or copy the file there"
        )
    dtype = np.dtype(TYPES[proto.data_type])
    count = math.prod(proto.dims)
    offset, size = int(entries.get("offset", 0)), place.stat().st_size
    if offset < 0 or offset + count * dtype.itemsize > min(size, FILE_BYTES_MAX):
        raise BundleError(f"{place} is too short for {printable(proto.name)}; copy it again")
    with place.open("rb") as file:
        file.seek(offset)
        return np.frombuffer(file.read(count * dtype.itemsize), dtype).reshape(tuple(proto.dims))


def add_rearranged(graph: Any, constants: dict[str, NDArray[Any]], path: Path) -> None:
    """Add what nodes cut, join or turn of constants alone, as exporters leave large weights.

    torch's exporter reorders the gates by such nodes, and computes them itself only for small
    weights.

    Raises:
        BundleError: The joined constants have too many numbers.
        ValueError, IndexError: A node does not fit its constants.
    """
    count = 0
    for node in graph.node:
        rearrange, names = _REARRANGE.get(node.op_type), [name for name in node.input if name]
        if rearrange is None or not names or any(name not in constants for name in names):
            continue
        if node.op_type == "Concat":
            count += sum(constants[name].size for name in names)
            if count > NUMBERS_MAX:
                raise BundleError(
                    f"{path} joins constants of more than {NUMBERS_MAX} numbers; save the state "
                    "dict of the network instead"
                )
        options = {o.name: onnx.helper.get_attribute_value(o) for o in node.attribute}
        inputs = [constants.get(name) for name in node.input]
        constants[node.output[0]] = rearrange(inputs, options)


def _slice(inputs: list[Any], options: dict[str, Any]) -> NDArray[Any]:
    """Cut; the bounds are inputs, before version 10 of the standard attributes."""
    data, *bounds = inputs
    given = dict(zip(("starts", "ends", "axes", "steps"), bounds, strict=False)) or options
    found = {name: np.asarray(numbers) for name, numbers in given.items() if numbers is not None}
    starts, ends = found["starts"], found["ends"]
    axes = found.get("axes", np.arange(len(starts)))
    steps = found.get("steps", np.ones_like(starts))
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[axis] = slice(int(start), int(end), int(step))
    return np.asarray(data[tuple(where)])


def _unsqueeze(inputs: list[Any], options: dict[str, Any]) -> NDArray[Any]:
    """Add axes of length 1; they are an input, before version 13 of the standard an attribute."""
    axes = inputs[1] if len(inputs) > 1 else options["axes"]
    return np.expand_dims(inputs[0], tuple(int(axis) for axis in axes))


_REARRANGE: dict[str, Callable[[list[Any], dict[str, Any]], NDArray[Any]]] = {
    "Concat": lambda inputs, options: np.concatenate(inputs, options["axis"]),
    "Identity": lambda inputs, _: inputs[0],
    "Slice": _slice,
    "Transpose": lambda inputs, options: np.transpose(inputs[0], options.get("perm")),
    "Unsqueeze": _unsqueeze,
}
