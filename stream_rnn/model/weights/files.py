"""Which reader takes a file of weights: its name decides, and the content must fit."""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from stream_rnn.errors import BundleError, MissingExtraError, reason
from stream_rnn.model.weights.found import DAMAGE, FILE_BYTES_MAX, FoundWeights
from stream_rnn.model.weights.safetensors_file import read_safetensors
from stream_rnn.model.weights.separate import read_in_process
from stream_rnn.model.weights.torch_file import REMEDY, read_torch
from stream_rnn.model.weights.zip_entries import open_zip

FORMATS = ".safetensors, .pt, .pth, .bin, .ckpt (a state dict of torch), .onnx, .keras and .h5"
_HASHED_BYTES = 1_000_000


def _read_onnx(path: Path) -> FoundWeights:
    return _with_extra("onnx_file", "read_onnx", "onnx")(path)


def _read_keras(path: Path) -> FoundWeights:
    _with_extra("keras_file", "read", "keras")
    size = path.stat().st_size
    if path.suffix.lower() == ".keras":
        with open_zip(path, FILE_BYTES_MAX, "a .keras file") as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    return read_in_process("keras_file", path, size)


def _with_extra(module: str, name: str, extra: str) -> Callable[[Path], FoundWeights]:
    """Import a reader whose library an extra installs.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        return getattr(import_module(f"stream_rnn.model.weights.{module}"), name)  # type: ignore[no-any-return]  # a reader
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a file of this format needs {error.name}, which is not installed: "
            f"pip install 'stream-rnn[{extra}]'"
        ) from error


READERS: dict[str, Callable[[Path], FoundWeights]] = {
    ".safetensors": read_safetensors,
    ".pt": read_torch,
    ".pth": read_torch,
    ".bin": read_torch,
    ".ckpt": read_torch,
    ".onnx": _read_onnx,
    ".keras": _read_keras,
    ".h5": _read_keras,
    ".hdf5": _read_keras,
}


def read_weights(path: Path) -> FoundWeights:
    """Read the tensors of a file.

    Raises:
        BundleError: The file is missing, too large, damaged, or of a format that is not read.
        MissingExtraError: The library of its format is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".pt2":
        raise BundleError(f"{path} is an exported program, which contains code; {REMEDY}")
    if suffix in (".pkl", ".pickle", ".joblib", ".npy"):
        raise BundleError(f"{path} is a pickle or can contain one, which runs code; {REMEDY}")
    if suffix not in READERS:
        raise BundleError(f"{path} has no known format; the formats are {FORMATS}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BundleError(f"{path} is not a file; name a file with weights")
        if size > FILE_BYTES_MAX:
            raise BundleError(f"{path} has {size} bytes, more than {FILE_BYTES_MAX}")
        return READERS[suffix](path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or reason(error)}") from error
    except DAMAGE as error:
        raise BundleError(f"{path} is damaged: {reason(error)}; save it again") from error


def digest_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_BYTES):
            digest.update(part)
    return digest.hexdigest()
