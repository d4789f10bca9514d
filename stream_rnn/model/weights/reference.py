"""Reference outputs: sequences with the outputs of the network's own code, in an ``.npz`` file.

y       outputs of the head, before sigmoid, softmax or a change of unit; NaN is not compared
x       (N, T, P) inputs: the columns of ``--inputs``, a category as its row in the table; then
        y is (N, T, O), or (N, O) for the last step of each sequence
events  (N,) JSON texts, instead of x: raw events, in the order of the log; then y is (N, O)
"""

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.weights.inputs import column_widths
from stream_rnn.model.weights.matched import MatchedWeights
from stream_rnn.model.weights.zip_entries import open_zip
from stream_rnn.model.words import Categorical

REFERENCE_BYTES_MAX = 500_000_000
REMEDY = "write it with numpy.savez(FILE, x=x, y=y) or numpy.savez(FILE, events=events, y=y)"


@dataclass(frozen=True, slots=True)
class Reference:
    """The content of a reference file; either ``x`` or ``events``.

    Attributes:
        y: Outputs (N, T, O) or (N, O).
        x: Inputs (N, T, P).
        events: N events as JSON texts.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64] | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """N sequences of T steps.

    Attributes:
        x: Columns of the encoder, (N, T, F).
        y: Outputs of the network's own code, (N, T, O); NaN is not compared.
        index: Number of the first sequence; for events, the number of each event, (T,).
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    index: int | NDArray[np.int64] = 0


def read_reference(path: Path, outputs: int) -> Reference:
    """Read a reference file.

    Args:
        path: Path of the file.
        outputs: Number of outputs, O.

    Raises:
        BundleError: The file is missing, damaged or too large, or its arrays have other shapes.
    """
    try:
        with open_zip(path, REFERENCE_BYTES_MAX, "an .npz file") as archive:
            names = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            arrays = {}
            for name in sorted({"x", "y", "events"} & names.keys()):
                with archive.open(names[name]) as file:
                    arrays[name] = _read_array(file, names[name].file_size)
    except OSError as error:
        message = f"--check {path} cannot be read: {error.strerror or reason(error)}"
        raise BundleError(message) from error
    except (ValueError, SyntaxError, zipfile.error) as error:
        raise BundleError(f"--check {path} is damaged: {reason(error)}; {REMEDY}") from error
    if "y" not in arrays or len({"x", "events"} & arrays.keys()) != 1:
        raise BundleError(f"--check {path} must contain y, and either x or events; {REMEDY}")
    return _checked(path, arrays, outputs)


def _read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array whose bytes are there, and which contains no pickle."""
    major, minor = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if (major, minor) not in read:
        raise ValueError(f"an array has the format {major}.{minor}")
    shape, is_fortran, dtype = read[major, minor](file)
    if dtype.hasobject:
        raise ValueError("an array contains objects of Python; save texts with dtype=str")
    count = math.prod(shape)
    if count * dtype.itemsize > size - file.tell():
        raise ValueError("an array is shorter than its shape")
    values = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _checked(path: Path, arrays: dict[str, NDArray[Any]], outputs: int) -> Reference:
    y = _floats(path, "y", arrays["y"])
    if "events" in arrays:
        events = arrays["events"]
        if events.ndim != 1 or events.dtype.kind not in "US" or y.shape != (len(events), outputs):
            raise BundleError(
                f"--check {path}: events {events.shape} of {events.dtype} and y {y.shape} must be "
                f"(N,) texts of JSON and (N, {outputs})"
            )
        reference = Reference(y, events=_texts(path, events))
    else:
        x = _floats(path, "x", arrays["x"])
        fits = x.ndim == 3 and y.shape in {(*x.shape[:2], outputs), (len(x), outputs)}
        if not fits or not x.size:
            raise BundleError(
                f"--check {path}: x {x.shape} and y {y.shape} must be (N, T, columns) and "
                f"(N, T, {outputs}), or (N, {outputs}) for the last step of each sequence"
            )
        if not np.isfinite(x).all():
            raise BundleError(f"--check {path}: x contains a number that is not finite")
        reference = Reference(y, x=x)
    if not np.isfinite(y).any():
        raise BundleError(f"--check {path}: y contains no number, so there is nothing to compare")
    return reference


def _floats(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiub":
        raise BundleError(f"--check {path}: {name} contains {values.dtype}, not numbers")
    return values.astype(np.float64)


def _texts(path: Path, events: NDArray[Any]) -> tuple[str, ...]:
    try:
        return tuple(e.decode() if isinstance(e, bytes) else e for e in events.tolist())
    except UnicodeDecodeError as error:
        raise BundleError(f"--check {path}: events is not UTF-8: {reason(error)}") from error


def steps_of_inputs(
    spec: FeatureSpec,
    reference: Reference,
    matched: MatchedWeights,
    inputs: Sequence[str],
    unknown_row: Literal["first", "last"],
) -> Steps:
    """Return the sequences of a reference with ``x`` as columns of the encoder.

    Raises:
        BundleError: ``x`` has another number of columns, or an index that is no row of its table.
    """
    assert reference.x is not None
    x, names = reference.x, tuple(column_widths(spec))
    if x.shape[2] != len(inputs):
        raise BundleError(
            f"--check: x has {x.shape[2]} columns, but the network reads {len(inputs)}: "
            f"{', '.join(inputs)} (a category is one column, its row in the table)"
        )
    columns = np.zeros((*x.shape[:2], len(names)), np.float32)
    tables = {f.name: f for f in spec.features if isinstance(f, Categorical)}
    for at, name in enumerate(inputs):
        values = x[..., at]
        if name in tables:
            rows, words = len(matched.embeddings[name]), len(tables[name].vocabulary)
            if (values != np.floor(values)).any() or (values < 0).any() or (values >= rows).any():
                raise BundleError(
                    f"--check: column {at} of x, {name}, must be a row of its table, 0 to {rows - 1}"
                )
            if rows == words or unknown_row == "last":
                values = (values + 1) % (words + 1)
        columns[..., names.index(name)] = values
    y = reference.y
    if y.ndim == 2:  # the last step of each sequence
        whole = np.full((*x.shape[:2], y.shape[1]), np.nan)
        whole[:, -1] = y
        y = whole
    return Steps(columns, y)
