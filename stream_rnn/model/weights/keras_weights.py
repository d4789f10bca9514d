"""The weights in an HDF5 file of Keras; links to other files are refused."""

import math
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.model.weights.found import NUMBERS_MAX
from stream_rnn.model.weights.keras_layers import KerasLayer
from stream_rnn.text import printable

WEIGHTS_MAX = 3  # of a layer: kernel, recurrent kernel, bias


class KerasWeights(Protocol):
    """The weights of a file, by layer."""

    def of(self, layer: KerasLayer) -> list[NDArray[Any]]:
        """Return the weights of a layer in the order of Keras: kernel, recurrent kernel, bias."""


class _Reader:
    """An open HDF5 file, and the number of numbers that are read from it."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path, self._numbers = file, path, 0

    def follow(self, place: str) -> Any:
        """Return the group or data set at a place; ``None`` if there is none.

        Raises:
            BundleError: A part of the place is a link, which may lead to another file.
        """
        node = self._file
        for part in place.split("/"):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise BundleError(
                    f"{self._path}: {printable(place)} is a link, which is not followed"
                )
            node = node[part]
        return node

    def read(self, place: str) -> NDArray[Any]:
        """Read a data set, whose size is checked first."""
        data = self.follow(place)
        if not isinstance(data, h5py.Dataset):
            raise BundleError(f"{self._path} contains no {printable(place)}; save the model again")
        if data.external or data.is_virtual:
            raise BundleError(f"{self._path}: {printable(place)} is in another file")
        self._numbers += math.prod(data.shape)
        if data.dtype.kind != "f" or self._numbers > NUMBERS_MAX:
            raise BundleError(
                f"{self._path}: {printable(place)} has {data.shape} numbers of {data.dtype}; "
                f"{NUMBERS_MAX} floats are read from a file"
            )
        return np.asarray(data[()])


class HierarchicalWeights(_Reader):
    """The file ``model.weights.h5`` in a ``.keras`` file, with a group for each layer."""

    def of(self, layer: KerasLayer) -> list[NDArray[Any]]:
        """Return the weights of a layer."""
        inner = "/layer" if layer.is_wrapped else "/cell" if layer.kind in _CELLS else ""
        groups = (f"layers/{name}{inner}/vars" for name in (layer.group, layer.saved))
        group = next((name for name in groups if self.follow(name) is not None), None)
        if group is None:
            raise BundleError(
                f"{self._path} contains no weights of the layer {printable(layer.name)}; save the "
                'model again with Keras 3: model.save("network.keras")'
            )
        count = min(len(self.follow(group)), WEIGHTS_MAX)
        return [self.read(f"{group}/{number}") for number in range(count)]


class NamedWeights(_Reader):
    """An ``.h5`` file of a whole model, with the names of the weights of each layer."""

    def of(self, layer: KerasLayer) -> list[NDArray[Any]]:
        """Return the weights of a layer."""
        group = self.follow(f"model_weights/{layer.saved}")
        names = [] if group is None else list(group.attrs.get("weight_names", ()))
        if not names or len(names) > WEIGHTS_MAX:
            raise BundleError(
                f"{self._path} contains {len(names)} weights of the layer {printable(layer.name)}; "
                'save the model again: model.save("network.keras")'
            )
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        return [self.read(f"model_weights/{layer.saved}/{name}") for name in texts]


_CELLS = ("SimpleRNN", "GRU", "LSTM")
