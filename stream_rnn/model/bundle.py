"""Bundles: a model as a directory with ``bundle.json`` and ``model.safetensors``.

A bundle contains no pickle and no import path, and all sizes are checked before a tensor is
allocated.  The *fingerprint* is the sha256 of the canonical content: spec, cell, heads and tensors,
but not provenance or metrics.  Loading fails if the fingerprint does not match the content.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from stream_rnn.errors import BundleError, CellError, reason
from stream_rnn.model.cells import AnyCell, CellContent
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network, tensors_of
from stream_rnn.model.package_cells.contract import Probe, check_contract

FORMAT = 1
JSON_BYTES_MAX = 16_000_000
PARAMETERS_MAX = 200_000_000
HEADER_BYTES_MAX = 1_000_000
JSON_NAME, TENSORS_NAME = "bundle.json", "model.safetensors"
CELL_TAGS = (
    "torch",
    "class",
)  # of the kinds of cells; pydantic puts them into the place of an error

Tensors = Mapping[str, NDArray[np.float32]]


class BundleFile(BaseModel):
    """The content of ``bundle.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    spec: FeatureSpec
    cell: CellContent
    provenance: dict[str, JsonValue] = {}
    metrics: dict[str, JsonValue] = {}


def fingerprint_of(spec: FeatureSpec, cell: AnyCell, tensors: Tensors) -> str:
    """Return the fingerprint, 64 hex digits, of everything that determines predictions.

    The version of a cell's distribution is not covered: it is part of the fold id.
    """
    digest = hashlib.sha256()
    content = {"format": FORMAT, "spec": spec.model_dump(mode="json"), "cell": cell.identity}
    digest.update(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name], "<f4")
        digest.update(f"{name} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def with_fingerprint(model: Model) -> Model:
    """Return the model with the fingerprint of its bundle."""
    tensors = {name: tensor.numpy() for name, tensor in tensors_of(model.network).items()}
    return Model(
        model.spec, model.cell, model.network, fingerprint_of(model.spec, model.cell, tensors)
    )


def save_bundle(
    model: Model,
    directory: str | Path,
    provenance: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Model:
    """Write a bundle.

    The tensors are written first, so that a torn bundle is never valid.

    Args:
        model: Model to write.
        directory: Directory of the bundle; created if it does not exist.
        provenance: Provenance for ``bundle.json``, such as versions and training settings.
        metrics: Metrics for ``bundle.json``.

    Returns:
        The model with its fingerprint.
    """
    model = with_fingerprint(model)
    tensors = {name: tensor.numpy() for name, tensor in tensors_of(model.network).items()}
    content = BundleFile(
        fingerprint=model.fingerprint,
        spec=model.spec,
        cell=model.cell,
        provenance=dict(provenance or {}),
        metrics=dict(metrics or {}),
    )
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    (target / TENSORS_NAME).write_bytes(save_tensors(tensors))
    (target / JSON_NAME).write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return model


def read_bundle(directory: str | Path) -> BundleFile:
    """Read and validate ``bundle.json``, without the tensors.

    Raises:
        BundleError: The file is missing or too large, or its content is not valid.
    """
    path = Path(directory) / JSON_NAME
    raw = _read(path, JSON_BYTES_MAX)
    try:
        content = json.loads(raw)
        version = content.get("format") if isinstance(content, dict) else None
        if version != FORMAT:
            message = f"{path}: format {version!r} is not {FORMAT}; train the bundle again"
            raise BundleError(message)
        return BundleFile.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in CELL_TAGS)
        raise BundleError(
            f"{path}: {where}: {first['msg']}; stream-rnn train did not write this file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path} is not JSON: {reason(error)}; it is torn or not a bundle"
        ) from error


def load_bundle(directory: str | Path) -> Model:
    """Load a bundle.

    Args:
        directory: Directory of the bundle.

    Returns:
        The model, ready to step.

    Raises:
        BundleError: The bundle is missing, torn or too large, another program wrote it, or one of
            its numbers is not finite.
    """
    content = read_bundle(directory)
    try:
        return _load(content, Path(directory) / TENSORS_NAME)
    except CellError as error:
        raise BundleError(f"{Path(directory) / JSON_NAME}: {error}") from error


def _load(content: BundleFile, path: Path) -> Model:
    with torch.device("meta"):  # only shapes, because nothing may be allocated before the checks
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in Network(content.spec, content.cell).state_dict().items()
        }
    parameters = sum(math.prod(shape) for shape in shapes.values())
    if parameters > PARAMETERS_MAX:
        raise BundleError(
            f"{path} has {parameters} parameters, more than the maximum of {PARAMETERS_MAX}; train "
            "a smaller network"
        )
    raw = _read(path, 4 * parameters + HEADER_BYTES_MAX)
    _check_header(path, raw)
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError) as error:
        raise BundleError(
            f"{path} is torn or not safetensors: {reason(error)}; copy it again"
        ) from error
    except KeyError as error:  # a data type that numpy lacks, such as BF16
        raise BundleError(
            f"{path}: tensors of type {error.args[0]!r} are not float32; save it again"
        ) from error
    _check_tensors(path, tensors, shapes)
    fingerprint = fingerprint_of(content.spec, content.cell, tensors)
    if fingerprint != content.fingerprint:
        raise BundleError(
            f"{path} has the fingerprint {fingerprint[:16]}, but {JSON_NAME} has "
            f"{content.fingerprint[:16]}: the two files do not belong together; copy the whole "
            "directory again"
        )
    network = Network(content.spec, content.cell)
    network.load_state_dict(
        {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    )
    network.requires_grad_(requires_grad=False)
    model = Model(content.spec, content.cell, network, fingerprint)
    if content.cell.package is not None:  # tests check the cells of this package
        check_contract(Probe.of_network(model))
    return model


def describe(directory: str | Path) -> dict[str, Any]:
    """Load a bundle, and return its description for ``stream-rnn bundle show``."""
    content, model = read_bundle(directory), load_bundle(directory)
    return {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "cell": content.cell.model_dump(),
        "cell_description": content.cell.description,
        "parameters": sum(tensor.numel() for tensor in model.network.state_dict().values()),
        "state_bytes_per_key": 16 + 4 * model.state_size_floats,
        "features": {
            f.name: f.model_dump(mode="json", exclude={"name"}, exclude_none=True)
            for f in content.spec.features
        },
        "columns": list(model.encoder.names),
        "heads": {
            h.name: h.model_dump(mode="json", exclude={"name"}, exclude_none=True)
            for h in content.spec.heads
        },
        "provenance": content.provenance,
        "metrics": content.metrics,
    }


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > bytes_max:
            raise BundleError(
                f"{path} has {size} bytes, more than the maximum of {bytes_max} for this bundle"
            )
        return path.read_bytes()
    except OSError as error:
        message = f"no bundle at {path}: {error.strerror or reason(error)}; make one with stream-rnn train"
        raise BundleError(message) from error


def _check_header(path: Path, raw: bytes) -> None:
    """Check the size that the header declares, before safetensors allocates it."""
    declared = struct.unpack("<Q", raw[:8])[0] if len(raw) >= 8 else len(raw) + 1
    if declared > min(len(raw) - 8, HEADER_BYTES_MAX):
        raise BundleError(
            f"{path} is torn or not safetensors: its header does not fit its size; copy it again"
        )


def _check_tensors(path: Path, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if set(tensors) != set(shapes):
        names = ", ".join(sorted(set(tensors) ^ set(shapes))[:5])
        raise BundleError(f"{path}: its tensors are not those of the spec: {names}")
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name] or tensor.dtype != np.float32:
            raise BundleError(
                f"{path}: {name} is {tensor.dtype} {tensor.shape}, the spec implies float32 "
                f"{shapes[name]}"
            )
        if not np.isfinite(tensor).all():
            raise BundleError(
                f"{path}: {name} contains a number that is not finite; train the bundle again"
            )
