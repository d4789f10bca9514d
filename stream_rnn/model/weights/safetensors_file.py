"""The reader of safetensors."""

import json
import struct
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.weights.found import (
    HEADER_BYTES_MAX,
    FoundWeights,
    as_weights,
    check_shapes,
)


def read_safetensors(path: Path) -> FoundWeights:
    """Read safetensors; float16, bfloat16 and float64 become float32.

    Raises:
        BundleError: The file is damaged, too large, or contains other numbers than floats.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, HEADER_BYTES_MAX):
            raise BundleError(
                f"{path} is damaged or not safetensors: its header does not fit its size"
            )
        try:
            header = json.loads(file.read(length))
            shapes = {
                name: tuple(int(width) for width in entry["shape"])
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(f"{path} has no header of safetensors: {reason(error)}") from error
    check_shapes(str(path), shapes)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise BundleError(f"{path} is damaged or not safetensors: {reason(error)}") from error
    weights = {}
    for name, tensor in sorted(tensors.items()):
        if not tensor.is_floating_point():
            raise BundleError(f"{path}: {name} contains {tensor.dtype}, not floats")
        weights[name] = as_weights(str(path), name, tensor.float().numpy())
    return FoundWeights("safetensors", weights)
