"""The function ``import_weights``: a bundle from the weights of a network that was trained elsewhere."""

import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from stream_rnn.errors import BundleError, ConfigError, reason
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.weights.build import UnknownRow
from stream_rnn.model.weights.causes import Encode, ImportedNetwork, find_cause
from stream_rnn.model.weights.compare import TOLERANCE, Comparison, compare
from stream_rnn.model.weights.files import digest_of, read_weights
from stream_rnn.model.weights.found import FoundWeights
from stream_rnn.model.weights.inputs import choose_inputs, column_widths, describe_inputs
from stream_rnn.model.weights.match import match_weights
from stream_rnn.model.weights.reference import Steps, read_reference, steps_of_inputs
from stream_rnn.model.weights.scalings import check_scalings
from stream_rnn.model.words import Categorical

Nonlinearity = Literal["tanh", "relu"]


@dataclass(frozen=True, slots=True)
class ImportedBundle:
    """A bundle that was made of imported weights.

    Attributes:
        out: Directory of the bundle.
        model: The model, with the fingerprint of the bundle.
        names: Name in the file of each part of the network.
        notes: What the import assumes, as sentences.
        comparison: Comparison with the reference outputs; ``None`` without ``check``.
    """

    out: Path
    model: Model
    names: dict[str, str]
    notes: tuple[str, ...]
    comparison: Comparison | None


def import_weights(
    spec: str | Path | FeatureSpec,
    weights: str | Path,
    out: str | Path,
    *,
    mapping: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ignore: Sequence[str] = (),
    inputs: Sequence[str] = (),
    unknown_row: UnknownRow = "first",
    nonlinearity: Nonlinearity | None = None,
    check: str | Path | None = None,
) -> ImportedBundle:
    """Make a bundle of the weights of a network that was trained elsewhere.

    Args:
        spec: Feature spec, or the path of its TOML file; it states each scaling as ``fitted``.
        weights: Path of a state dict of torch, of safetensors, or of an ONNX or Keras file.
        out: Directory of the bundle, which must not exist.
        mapping: Name in the file by our name, for parts that their names and shapes leave open.
        ignore: Names in the file that are no part of the network.
        inputs: Columns that the recurrent layer reads, in its order; empty for all columns of the
            spec in the order of the spec.
        unknown_row: Row of unknown words in a table with one row more than the vocabulary.
        nonlinearity: Nonlinearity of an ``nn.RNN``, which a state dict does not contain.
        check: Path of an ``.npz`` file with reference outputs; nothing is written if the outputs of
            the model differ by more than 1e-5.

    Raises:
        BundleError: The file cannot be read, a part of the network is missing or ambiguous, or the
            outputs differ.
        SpecError: The spec is invalid, or does not state a scaling.
        ConfigError: ``out`` exists or cannot be written.
    """
    path, directory = Path(weights), Path(out)
    spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.read(spec)
    check_scalings(spec)
    _check_absent(directory)
    found = read_weights(path)
    pairs = list(mapping.items() if isinstance(mapping, Mapping) else mapping)
    matched = match_weights(found.tensors, spec, pairs, ignore, str(path))
    _check_nonlinearity(path, matched.kind, found, nonlinearity, has_check=check is not None)
    chosen = choose_inputs(spec, inputs, matched.inputs, str(path))
    network = ImportedNetwork(spec, matched, chosen, unknown_row)
    model = network.build()
    comparison = None if check is None else _check(network, model, Path(check))
    provenance = _provenance(path, found, network, comparison)
    _write(model, directory, provenance)
    notes = (*found.notes, *_notes(network))
    return ImportedBundle(directory, model, matched.names, notes, comparison)


def _check_nonlinearity(
    path: Path,
    kind: str,
    found: FoundWeights,
    nonlinearity: Nonlinearity | None,
    *,
    has_check: bool,
) -> None:
    """Check that a cell without gates has tanh, which a state dict does not say."""
    if nonlinearity == "relu":
        raise BundleError(
            f"{path}: an nn.RNN with relu cannot be imported, because its hidden state has no bound; "
            'train it with nonlinearity="tanh"'
        )
    if kind == "elman" and not (found.is_tanh or nonlinearity or has_check):
        raise BundleError(
            f"{path} contains an nn.RNN, and a state dict does not say whether it computes tanh or "
            "relu; state --nonlinearity tanh, or prove it with --check"
        )


def _check(network: ImportedNetwork, model: Model, path: Path) -> Comparison:
    """Compare the model with reference outputs.

    Raises:
        BundleError: The outputs differ by more than the tolerance.
    """
    reference = read_reference(path, model.output_count)
    encode: Encode | None = None
    if reference.events:
        from stream_rnn.notebook.reference_events import steps_of_events  # noqa: PLC0415  # needs polars

        def encode(spec: FeatureSpec) -> list[Steps]:
            return steps_of_events(spec, reference, path)

        all_steps = encode(network.spec)
    else:
        all_steps = [
            steps_of_inputs(
                network.spec, reference, network.matched, network.inputs, network.unknown_row
            )
        ]
    comparison = compare(model, all_steps)
    if comparison.first:
        raise BundleError(
            f"the outputs differ from {path} by up to {comparison.largest:.2g}, more than "
            f"{TOLERANCE:g}; the first is {comparison.first}. The likely cause: "
            f"{find_cause(network, all_steps, encode)}. Nothing was written"
        )
    return comparison


def _provenance(
    path: Path, found: FoundWeights, network: ImportedNetwork, comparison: Comparison | None
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "stream_rnn": version("stream-rnn"),
        "torch": torch.__version__,
        "imported": path.name,
        "sha256": digest_of(path),
        "format": found.format,
        "mapping": network.matched.names,
        "inputs": list(network.inputs),
        "unknown_row": network.unknown_row,
    }
    if comparison is not None:
        checked = {"outputs": comparison.compared, "largest_difference": comparison.largest}
        content["check"] = checked
    return content


def _notes(network: ImportedNetwork) -> list[str]:
    """Return what the import assumes."""
    spec, matched = network.spec, network.matched
    notes = [
        f"inputs of the recurrent layer, in its order: {describe_inputs(spec, network.inputs)}"
    ]
    if left := [name for name in column_widths(spec) if name not in network.inputs]:
        notes.append(f"columns without influence: {', '.join(left)}")
    for feature in spec.features:
        if not isinstance(feature, Categorical):
            continue
        words = len(feature.vocabulary)
        if len(matched.embeddings[feature.name]) == words:
            notes.append(
                f"the table of {feature.name} has no row for unknown words: they are zeros"
            )
        else:
            notes.append(
                f"row {0 if network.unknown_row == 'first' else words} of the table of "
                f"{feature.name} is that of unknown words"
            )
    return notes


def _check_absent(directory: Path) -> None:
    if directory.name in ("", ".."):
        raise ConfigError(f"--out {directory} does not end with the name of a directory; give one")
    try:
        if directory.is_symlink() or directory.exists():
            raise ConfigError(
                f"--out {directory} exists, and an import replaces nothing; name another directory, "
                "or remove it"
            )
    except OSError as error:
        raise _cannot_write(directory, error) from error


def _write(model: Model, directory: Path, provenance: Mapping[str, Any]) -> None:
    """Write the bundle under a temporary name, then rename it."""
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        save_bundle(model, temporary, provenance)
        _check_absent(directory)
        temporary.rename(directory)
    except OSError as error:
        raise _cannot_write(directory, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {directory}: {error.strerror or reason(error)}")
