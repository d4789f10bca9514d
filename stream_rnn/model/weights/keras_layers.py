"""The layers of a Keras network, from its description as JSON."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_rnn.errors import BundleError
from stream_rnn.text import printable

RECURRENT = ("SimpleRNN", "GRU", "LSTM")
PASSES = ("Dropout", "Concatenate", "SpatialDropout1D", "GaussianNoise", "Masking")
ENDS = ("Activation", "Softmax")
LAYERS_MAX = 1_000
LINEAR, AFTER_HEAD = "linear", ("sigmoid", "softmax")


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer with weights.

    Attributes:
        kind: Class of the layer, or of the layer in a ``TimeDistributed``.
        name: Its name.
        units: Number of its units; 0 for an embedding.
        group: Name of its weights in a ``.keras`` file, as the class with a number.
        saved: Name of its weights in an ``.h5`` file.
        is_wrapped: Whether it stands in a ``TimeDistributed``.
    """

    kind: str
    name: str
    units: int
    group: str
    saved: str
    is_wrapped: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the description: class, options, name and the names of the layers that it reads."""

    kind: str
    options: dict[str, Any]
    name: str
    reads: tuple[str, ...]


def find_layers(path: Path, config: dict[str, Any]) -> tuple[list[KerasLayer], list[str]]:
    """Return the layers with weights in their order, and notes on what is left out.

    Raises:
        BundleError: The network has a layer for which there is no place, or another formula.
    """
    if config.get("class_name") not in ("Sequential", "Functional", "Model"):
        raise BundleError(
            f"{path} contains a {printable(str(config.get('class_name')))}; a Sequential or Functional "
            "network can be imported"
        )
    entries = list(_entries(path, config))
    notes: list[str] = []
    found, used = [], dict[str, int]()
    for entry in entries:
        snake = _snake(entry.kind)
        group = f"{snake}_{used[snake]}" if used.get(snake) else snake
        used[snake] = used.get(snake, 0) + 1
        inner = _unwrapped(path, entry)
        _check(path, inner, notes)
        if inner.kind in (*RECURRENT, "Dense", "Embedding"):
            units = int(inner.options.get("units", 0))
            layer = KerasLayer(
                kind=inner.kind,
                name=inner.name,
                units=units,
                group=group,
                saved=entry.name,
                is_wrapped=inner is not entry,
            )
            found.append(layer)
    _check_order(path, entries, found)
    return found, notes


def _entries(path: Path, config: dict[str, Any]) -> Iterator[_Entry]:
    layers = config["config"]["layers"]
    if len(layers) > LAYERS_MAX:
        raise BundleError(f"{path} has {len(layers)} layers, more than {LAYERS_MAX}")
    before: tuple[str, ...] = ()
    for layer in layers:
        options = layer["config"]
        name = str(layer.get("name") or options.get("name"))
        reads = tuple(_reads(layer.get("inbound_nodes"))) if "inbound_nodes" in layer else before
        yield _Entry(str(layer["class_name"]), options, name, reads)
        before = (name,)


def _reads(nodes: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names of layers in ``inbound_nodes``, as Keras 2 and Keras 3 write it."""
    if depth > 20:
        return
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        if isinstance(history, list):
            yield str(history[0])
            return
        nodes = list(nodes.values())
    if isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0]
            return
        for node in nodes:
            yield from _reads(node, depth + 1)


def _unwrapped(path: Path, entry: _Entry) -> _Entry:
    if entry.kind == "Bidirectional":
        raise BundleError(
            f"{path}: the layer {printable(entry.name)} is bidirectional, so it reads events that "
            "have not happened yet; train it in one direction"
        )
    if entry.kind != "TimeDistributed":
        return entry
    inner = entry.options["layer"]
    options = inner["config"]
    return _Entry(str(inner["class_name"]), options, str(options.get("name")), entry.reads)


def _check(path: Path, entry: _Entry, notes: list[str]) -> None:
    """Check the class and the options of a layer."""
    options, place = entry.options, f"{path}: the layer {printable(entry.name)}"
    if entry.kind in RECURRENT:
        _check_recurrent(place, entry)
    elif entry.kind in ("Dense", *ENDS):
        activation = "softmax" if entry.kind == "Softmax" else options.get("activation", LINEAR)
        if activation in AFTER_HEAD:
            notes.append(
                f"the {activation} of {printable(entry.name)} is left out: the head of the spec "
                "computes it"
            )
        elif activation != LINEAR:
            raise BundleError(
                f"{place} has the activation {printable(str(activation))}; a head is linear, or ends "
                "with sigmoid or softmax"
            )
    elif entry.kind == "Masking" or options.get("mask_zero"):
        notes.append(
            f"the mask of {printable(entry.name)} is left out: every event is a step, also one that "
            "the mask would skip"
        )
    elif entry.kind not in ("InputLayer", "Embedding", *PASSES):
        raise BundleError(
            f"{place} is a {printable(entry.kind)}, for which there is no place; a network consists "
            "of Embedding, SimpleRNN, GRU or LSTM, and one Dense for each head"
        )


def _check_recurrent(place: str, entry: _Entry) -> None:
    options = entry.options
    activations = {"activation": "tanh"}
    if entry.kind != "SimpleRNN":
        activations["recurrent_activation"] = "sigmoid"
    for option, expected in activations.items():
        if options.get(option, expected) != expected:
            raise BundleError(
                f"{place} has the {option} {printable(str(options[option]))}; it can be imported "
                f"with {expected}"
            )
    if options.get("go_backwards"):
        raise BundleError(f"{place} goes backwards; events that have not happened cannot be read")
    if entry.kind == "GRU" and not options.get("reset_after", False):
        raise BundleError(
            f"{place} has reset_after=False, another formula than torch's GRU: it applies the reset "
            "gate before the product; train it with reset_after=True, the default of Keras"
        )


def _check_order(path: Path, entries: Sequence[_Entry], found: Sequence[KerasLayer]) -> None:
    """Check that the network is a chain: inputs, recurrent layers, heads."""
    kinds = {layer.saved: layer.kind for layer in found}
    reads = {entry.name: entry.reads for entry in entries}
    inputs = {entry.name for entry in entries if entry.kind == "InputLayer"} | {
        layer.saved for layer in found if layer.kind == "Embedding"
    }
    ends = {entry.name for entry in entries if entry.kind in ENDS}  # nothing may read these
    chain = [layer for layer in found if layer.kind in RECURRENT]
    if not chain or len({layer.kind for layer in chain}) > 1:
        raise BundleError(f"{path} needs recurrent layers of one kind: SimpleRNN, GRU or LSTM")
    last = ""
    for layer in (*chain, *(layer for layer in found if layer.kind == "Dense")):
        sources = _sources(layer.saved, reads, {*kinds, *inputs, *ends})
        is_first = layer is chain[0] and sources <= inputs
        if not is_first and sources != {last}:
            raise BundleError(
                f"{path}: the layer {printable(layer.name)} reads "
                f"{printable(', '.join(sorted(sources)))}; a network is one chain of recurrent "
                "layers that reads only inputs and embeddings, and Dense layers that read the last "
                "of them"
            )
        if layer in chain:
            last = layer.saved


def _sources(name: str, reads: dict[str, tuple[str, ...]], ends: set[str]) -> set[str]:
    """Return the layers behind a layer that have weights, or are inputs."""
    found, waiting, seen = set(), [*reads.get(name, ())], set[str]()
    while waiting:
        one = waiting.pop()
        if one in ends:
            found.add(one)
        elif one not in seen:
            seen.add(one)
            waiting.extend(reads.get(one, ()))
    return found


def _snake(name: str) -> str:
    """Return the name of a class as Keras writes it in a file.

    Example:
        >>> _snake("SimpleRNN"), _snake("TimeDistributed"), _snake("GRU")
        ('simple_rnn', 'time_distributed', 'gru')
    """
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
