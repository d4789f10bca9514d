"""The reader of state dicts that ``torch.save`` wrote, with ``weights_only=True`` and nothing else."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  # torch raises it; nothing is unpickled here
from typing import Any

import torch

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.weights.found import (
    DAMAGE,
    FILE_BYTES_MAX,
    HEADER_BYTES_MAX,
    FoundWeights,
    as_weights,
    check_shapes,
)
from stream_rnn.model.weights.zip_entries import open_zip

NESTED = ("state_dict", "model_state_dict", "model")
REMEDY = 'save the state dict: torch.save(network.state_dict(), "weights.pt"), or as safetensors'


def read_torch(path: Path) -> FoundWeights:
    """Read a state dict.

    Raises:
        BundleError: The file is too large, is not from ``torch.save``, or contains other objects
            than tensors.
    """
    _check_entries(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file, which torch asks people to report
            content = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  # see above
    except UnpicklingError as error:
        raise BundleError(
            f"{path} contains other objects than tensors, which are not loaded, because they can run "
            f"code; {REMEDY}"
        ) from error
    except DAMAGE as error:
        raise BundleError(
            f"{path} is damaged or not a state dict of torch: {reason(error)}; {REMEDY}"
        ) from error
    tensors = _state_dict(path, content)
    check_shapes(str(path), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    weights = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise BundleError(
                f"{path}: {name} contains {tensor.dtype}, not dense floats; {REMEDY} of a network "
                "that is not quantized"
            )
        weights[name] = as_weights(str(path), name, tensor.detach().float().numpy())
    return FoundWeights("torch", weights)


def _state_dict(path: Path, content: Any) -> Mapping[str, torch.Tensor]:
    """Return the state dict in the content of a file: all of it, or the value of a usual name."""
    if isinstance(content, Mapping):
        inner = next((content[name] for name in NESTED if name in content), content)
        content = inner if isinstance(inner, Mapping) else content
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        raise BundleError(f"{path} contains no state dict, which maps names to tensors; {REMEDY}")
    return content


def _check_entries(path: Path) -> None:
    """Check the kind and the sizes of the entries, before torch reads one of them."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise BundleError(
                f"{path} is not the zip file that torch.save writes since torch 1.6; {REMEDY}"
            )
    with open_zip(path, FILE_BYTES_MAX, "a file of torch.save") as archive:
        names = [entry.filename.partition("/")[2] for entry in archive.infolist()]
        if any(name.startswith("code/") or name == "constants.pkl" for name in names):
            raise BundleError(f"{path} is TorchScript, which contains code; {REMEDY}")
        whole = [entry.filename for entry in archive.infolist()]
        if any("archive_format" in name or "exported_program" in name for name in whole):
            raise BundleError(f"{path} is an exported program, which contains code; {REMEDY}")
        if "data.pkl" not in names:
            raise BundleError(f"{path} was not written by torch.save; {REMEDY}")
        for entry in archive.infolist():
            if entry.compress_type or (
                entry.filename.endswith("/data.pkl") and entry.file_size > HEADER_BYTES_MAX
            ):
                raise BundleError(f"{path}: {entry.filename} is compressed or too large; {REMEDY}")
