"""The reader of Keras files (``.keras`` and ``.h5``), which needs no Keras; see ``separate.py``.

Keras has transposed matrices, and the gates of a GRU in the order z, r, h; torch has r, z, n.  The
gates of an LSTM have the same order in both.
"""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.weights.found import (
    DAMAGE,
    FILE_BYTES_MAX,
    FoundWeights,
    Weights,
    as_weights,
)
from stream_rnn.model.weights.keras_layers import RECURRENT, KerasLayer, find_layers
from stream_rnn.model.weights.keras_weights import HierarchicalWeights, KerasWeights, NamedWeights
from stream_rnn.model.weights.zip_entries import open_zip, read_entry

CONFIG_BYTES_MAX = 16_000_000
ORDER = {
    "SimpleRNN": (0,),
    "GRU": (1, 0, 2),
    "LSTM": (0, 1, 2, 3),
}  # Keras's gates in torch's order
REMEDY = 'save the whole model: model.save("network.keras")'


def read(path: Path) -> FoundWeights:
    """Read a Keras file with embeddings, recurrent layers and Dense layers.

    Raises:
        BundleError: The file is damaged, or the network computes something else.
    """
    try:
        if path.suffix.lower() == ".keras":
            with open_zip(path, FILE_BYTES_MAX, "a .keras file") as archive:
                config = _parse(path, read_entry(archive, "config.json", path))
                weights = io.BytesIO(read_entry(archive, "model.weights.h5", path))
            with h5py.File(weights, "r") as file:
                return _convert(path, config, HierarchicalWeights(file, path))
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config", "")
            weights_by_name = NamedWeights(file, path)
            if not text or weights_by_name.follow("model_weights") is None:
                raise BundleError(f"{path} contains no network, but only weights; {REMEDY}")
            return _convert(path, _parse(path, text), weights_by_name)
    except DAMAGE as error:
        raise BundleError(f"{path} is damaged or not a Keras file: {reason(error)}") from error


def _parse(path: Path, text: str | bytes) -> dict[str, Any]:
    if len(text) > CONFIG_BYTES_MAX:
        raise BundleError(f"{path}: the description of the network is too large; {REMEDY}")
    try:
        config = json.loads(text)
    except RecursionError:
        raise BundleError(f"{path}: the description of the network is nested too deeply") from None
    if not isinstance(config, dict):
        raise BundleError(f"{path} does not describe a network; {REMEDY}")
    return config


def _convert(path: Path, config: dict[str, Any], weights: KerasWeights) -> FoundWeights:
    """Return the tensors of the layers under torch's names."""
    layers, notes = find_layers(path, config)
    tensors: Weights = {}
    recurrent = 0
    for layer in layers:
        arrays = weights.of(layer)
        names = [f"{layer.name}.weight", f"{layer.name}.bias"]
        if layer.kind in RECURRENT:
            names = [f"rnn.{name}_l{recurrent}" for name in _RNN_NAMES]
            arrays = _recurrent(path, layer, arrays)
            recurrent += 1
        elif layer.kind == "Dense":
            arrays = [arrays[0].T, *arrays[1:]]
        for name, values in zip(names, arrays, strict=False):
            if name in tensors:
                raise BundleError(
                    f"{path} has two layers {layer.name}; name each layer differently"
                )
            tensors[name] = as_weights(str(path), name, values)
    return FoundWeights("keras", tensors, is_tanh=True, notes=tuple(notes))


_RNN_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _recurrent(path: Path, layer: KerasLayer, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the tensors of a recurrent layer, in the order of ``_RNN_NAMES``."""
    order = ORDER[layer.kind]
    kernel, own, *biases = arrays
    shapes = [array.shape for array in arrays]
    width = len(order) * layer.units
    if shapes[:2] != [(kernel.shape[0], width), (layer.units, width)] or kernel.ndim != 2:
        raise BundleError(f"{path}: the layer {layer.name} has weights {shapes}")
    both = np.zeros((2, width), kernel.dtype)
    if biases:
        bias = biases[0]
        if bias.shape not in ((width,), (2, width)):
            raise BundleError(f"{path}: the layer {layer.name} has a bias {bias.shape}")
        both[: len(np.atleast_2d(bias))] = bias
    return [_reorder(tensor, order) for tensor in (kernel.T, own.T, both[0], both[1])]


def _reorder(tensor: NDArray[Any], order: tuple[int, ...]) -> NDArray[Any]:
    gates = np.split(tensor, len(order))
    return np.concatenate([gates[gate] for gate in order])
