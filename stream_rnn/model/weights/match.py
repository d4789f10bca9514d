"""Which tensor of a file is which part of the network, by its name, its shape, or a mapping.

Our names are ``cell.weight_ih_l0`` and the other names of torch for recurrent layers,
``embeddings.FEATURE.weight``, and ``head.weight`` and ``head.bias``, or ``head.NAME.weight`` for
each head of the spec.  A part that is neither named nor the only one of its shape is never guessed.
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import BundleError
from stream_rnn.model.cells import CellKind
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.weights.found import Shape, Weights, listed, shapes_of
from stream_rnn.model.weights.matched import (
    MatchedWeights,
    has_word,
    is_tensor,
    table_shapes,
    torch_name,
)
from stream_rnn.model.words import Categorical
from stream_rnn.text import printable

LAYERS_MAX = 4
GATES: dict[int, CellKind] = {1: "elman", 3: "gru", 4: "lstm"}
_RECURRENT = re.compile(r"(?P<prefix>.*?)(?P<kind>(?:weight|bias)_(?:ih|hh))(?:_l(?P<layer>\d))?")
_OURS = re.compile(
    r"cell(\.(weight|bias)_(ih|hh)_l[0-3])?|embeddings\.[\w-]+(\.weight)?"
    r"|head(\.[\w-]+)?(\.(weight|bias))?"
)


def match_weights(
    tensors: Weights,
    spec: FeatureSpec,
    mapping: Iterable[tuple[str, str]] = (),
    ignored: Iterable[str] = (),
    place: str = "the weights",
) -> MatchedWeights:
    """Find the part of each tensor.

    Args:
        tensors: Tensors by name.
        spec: Feature spec, which determines embeddings and heads.
        mapping: Pairs of our name and the name in the file; both may be names of modules.
        ignored: Names in the file, of tensors or modules, that are no part of the network.
        place: Name of the file, for messages.

    Raises:
        BundleError: A part is missing or ambiguous, or a tensor is no part.
    """
    matcher = _Matcher(tensors, spec, place)
    matcher.ignore(ignored)
    matcher.take_mapped(mapping)
    kind, hidden, layers = matcher.take_cell()
    matcher.take_named_embeddings()
    matcher.take_heads(hidden)
    matcher.take_other_embeddings()
    matcher.check_rest()
    names = matcher.names
    taken = {ours: tensors[theirs] for ours, theirs in names.items()}
    weight, bias = matcher.joined_head(hidden)
    return MatchedWeights(
        kind=kind,
        hidden=hidden,
        layers=layers,
        cell={o.removeprefix("cell."): t for o, t in taken.items() if o.startswith("cell.")},
        embeddings={o.split(".")[1]: t for o, t in taken.items() if o.startswith("embeddings.")},
        head_weight=weight,
        head_bias=bias,
        names=dict(names),
    )


class _Matcher:
    """The names that are matched so far, and the tensors that are still free."""

    def __init__(self, tensors: Weights, spec: FeatureSpec, place: str) -> None:
        self._tensors, self._spec, self._place = tensors, spec, place
        self._free = shapes_of(tensors)
        self._categorical = [f for f in spec.features if isinstance(f, Categorical)]
        self.names: dict[str, str] = {}
        self._needed: dict[str, Shape] = {}

    def ignore(self, ignored: Iterable[str]) -> None:
        """Leave tensors out, by their names or the name of their module."""
        for name in ignored:
            gone = [n for n in self._free if n == name or n.startswith(f"{name}.")]
            if not gone:
                raise self._error(f"--ignore {printable(name)} names no tensor")
            for one in gone:
                del self._free[one]

    def take_mapped(self, mapping: Iterable[tuple[str, str]]) -> None:
        """Take the tensors that the user has named."""
        for ours, theirs in mapping:
            if not _OURS.fullmatch(ours):
                raise BundleError(
                    f"--map {printable(ours)}: the parts of a network are cell, cell.weight_ih_l0 "
                    "and so on, embeddings.FEATURE, head, and head.NAME for each of several heads"
                )
            self._check_known(ours)
            if theirs in self._free:
                self._take(ours if is_tensor(ours) else f"{ours}.weight", theirs)
                continue
            inside = [name for name in self._free if name.startswith(f"{theirs}.")]
            if ours == "cell":
                self._refuse_variants(inside)
            if not inside or is_tensor(ours):
                raise self._error(f"--map {printable(ours)}={printable(theirs)} names no tensor")
            for name in inside:
                part = name.removeprefix(f"{theirs}.")
                self._take(f"{ours}.{torch_name(part) if ours == 'cell' else part}", name)

    def take_cell(self) -> tuple[CellKind, int, int]:
        """Take the recurrent layers; return the kind of the cell, H and the number of layers."""
        found = {name: _RECURRENT.fullmatch(name) for name in self._free}
        by_prefix: dict[str, list[str]] = {}
        for name, match in found.items():
            if match:
                by_prefix.setdefault(match["prefix"], []).append(name)
        if not any(ours.startswith("cell.") for ours in self.names):
            self._refuse_variants(self._free)
            if len(by_prefix) != 1:
                options = [f"--map cell={prefix.rstrip('.')}" for prefix in by_prefix if prefix]
                raise self._error(
                    "several modules can be the recurrent layers; name one of them: "
                    + ", ".join(map(printable, options))
                    if by_prefix
                    else "there is no recurrent layer, with tensors such as weight_ih_l0; name it "
                    "with --map cell=MODULE"
                )
            for prefix, names in by_prefix.items():
                for name in names:
                    self._take(f"cell.{torch_name(name.removeprefix(prefix))}", name)
        return self._check_cell()

    def _check_known(self, ours: str) -> None:
        """Check that the spec has the feature or the head of our name."""
        part, _, name = ours.removesuffix(".weight").removesuffix(".bias").partition(".")
        features = [feature.name for feature in self._categorical]
        heads = [head.name for head in self._spec.heads]
        known = {"embeddings": features, "head": heads}.get(part, [name])
        if name and name not in known:
            kind = "head" if part == "head" else "categorical feature"
            raise BundleError(
                f"--map {printable(ours)}: the spec has no {kind} {printable(name)}; it has "
                f"{', '.join(known) or 'none'}"
            )

    def _refuse_variants(self, names: Iterable[str]) -> None:
        for name in names:
            if re.search(r"_l\d_reverse$", name):
                raise BundleError(
                    f"{self._place}: {printable(name)} belongs to a bidirectional network, which "
                    "reads events that have not happened yet; train it in one direction"
                )
            if re.search(r"weight_hr_l\d$", name):
                raise BundleError(
                    f"{self._place}: {printable(name)} belongs to an LSTM with a projection "
                    "(proj_size), which is not supported; train it without one"
                )

    def _check_cell(self) -> tuple[CellKind, int, int]:
        """Check that the tensors of the recurrent layers fit together."""
        shapes = {
            ours.removeprefix("cell."): tuple(self._tensors[theirs].shape)
            for ours, theirs in self.names.items()
            if ours.startswith("cell.")
        }
        own = shapes.get("weight_hh_l0", ())
        gates = own[0] // own[1] if len(own) == 2 and own[1] else 0
        if gates not in GATES or own[0] != gates * own[1]:
            raise self._error(
                f"weight_hh_l0 has the shape {own}; it must be (H, H) for nn.RNN, (3 H, H) for "
                "nn.GRU or (4 H, H) for nn.LSTM"
            )
        hidden = own[1]
        layers = 1 + max(int(name[-1]) for name in shapes)
        if layers > LAYERS_MAX:
            raise self._error(f"the network has {layers} recurrent layers, more than {LAYERS_MAX}")
        inputs = shapes.get("weight_ih_l0", (0, 0))
        for layer in range(layers):
            width = inputs[-1] if layer == 0 else hidden
            self._needed[f"cell.weight_ih_l{layer}"] = (gates * hidden, width)
            self._needed[f"cell.weight_hh_l{layer}"] = (gates * hidden, hidden)
            if any(name.startswith("bias_") for name in shapes):
                self._needed[f"cell.bias_ih_l{layer}"] = (gates * hidden,)
                self._needed[f"cell.bias_hh_l{layer}"] = (gates * hidden,)
        for ours, shape in self._needed.items():
            self._check_shape(ours, {shape})
        return GATES[gates], hidden, layers

    def take_named_embeddings(self) -> None:
        """Take the embedding tables whose names contain the name of their feature."""
        for feature in self._categorical:
            ours, shapes = f"embeddings.{feature.name}.weight", table_shapes(feature)
            self._needed[ours] = max(shapes)
            named = [name for name in self._matrices() if has_word(name, feature.name)]
            if ours not in self.names and len(named) == 1 and len(feature.name) > 1:
                self._take(ours, named[0])
            if ours in self.names:
                self._check_shape(ours, shapes)

    def take_other_embeddings(self) -> None:
        """Take the embedding tables that are the only free ones of their shape."""
        missing = [f for f in self._categorical if f"embeddings.{f.name}.weight" not in self.names]
        for feature in missing:
            shapes = table_shapes(feature)
            fitting = [name for name, shape in self._matrices().items() if shape in shapes]
            rivals = [f for f in missing if table_shapes(f) & shapes]
            if len(fitting) != 1 or len(rivals) != 1:
                raise self._error(
                    f"the table of {feature.name} is not clear: {len(fitting)} tensors have the shape "
                    f"{' or '.join(map(str, sorted(shapes)))}; name it with "
                    f"--map embeddings.{feature.name}=MODULE, and check vocabulary and embedding"
                )
            self._take(f"embeddings.{feature.name}.weight", fitting[0])

    def take_heads(self, hidden: int) -> None:
        """Take one linear layer for all heads, or one for each."""
        heads = self._spec.heads
        whole = (sum(head.width for head in heads), hidden)
        has_parts = any(re.match(r"head\.[^.]+\.(weight|bias)$", ours) for ours in self.names)
        if not has_parts and "head.weight" not in self.names:
            fitting = self._linear(whole)
            if len(heads) > 1 and len(fitting) != 1:
                has_parts = True
            elif len(fitting) != 1:
                self._needed["head.weight"] = whole
                raise self._error(
                    f"the head is not clear: {len(fitting)} matrices have the shape {whole}; name it "
                    "with --map head=MODULE, and check the heads of the spec"
                )
            else:
                self._take("head.weight", fitting[0])
        if not has_parts:
            self._take_bias("head", whole)
            return
        for head in heads:
            self._take_part(head.name, (head.width, hidden), whole)

    def _take_part(self, head: str, shape: Shape, whole: Shape) -> None:
        """Take the linear layer of one of several heads."""
        ours = f"head.{head}.weight"
        if ours not in self.names:
            fitting = self._linear(shape)
            named = [name for name in fitting if has_word(name, head)]
            fitting = named or fitting
            alike = [h for h in self._spec.heads if h.width == shape[0]]
            if len(fitting) != 1 or (len(alike) > 1 and not named):
                self._needed[ours] = shape
                raise self._error(
                    f"the layer of the head {head} is not clear: {len(fitting)} matrices have the "
                    f"shape {shape}, or {whole} for all heads; name it with --map head.{head}=MODULE or "
                    "--map head=MODULE"
                )
            self._take(ours, fitting[0])
        self._take_bias(f"head.{head}", shape)

    def _take_bias(self, part: str, shape: Shape) -> None:
        weight = self.names[f"{part}.weight"]
        bias = weight.removesuffix("weight") + "bias"
        if f"{part}.bias" not in self.names and weight.endswith("weight") and bias in self._free:
            self._take(f"{part}.bias", bias)
        self._check_shape(f"{part}.weight", {shape})
        if f"{part}.bias" in self.names:
            self._check_shape(f"{part}.bias", {shape[:1]})

    def joined_head(self, hidden: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight (O, H) and bias (O,) of all heads; a bias that is absent is zero."""
        parts = (
            ["head"]
            if "head.weight" in self.names
            else [f"head.{h.name}" for h in self._spec.heads]
        )
        weights = [self._tensors[self.names[f"{part}.weight"]] for part in parts]
        biases = [
            self._tensors[self.names[f"{part}.bias"]]
            if f"{part}.bias" in self.names
            else np.zeros(len(weight), np.float32)
            for part, weight in zip(parts, weights, strict=True)
        ]
        return np.concatenate(weights).reshape(-1, hidden), np.concatenate(biases)

    def check_rest(self) -> None:
        """Refuse tensors that are no part of the network."""
        if self._free:
            raise BundleError(
                f"{self._place} contains tensors for which the network has no place: "
                f"{listed(self._free)}. A network consists of embeddings, an nn.RNN, nn.GRU or "
                "nn.LSTM, and one linear layer for each head; leave out a tensor that does not "
                f"influence the outputs with --ignore {printable(next(iter(self._free)))}"
            )

    def _matrices(self) -> dict[str, Shape]:
        """Return the free tables: matrices without a bias beside them."""
        return {
            name: shape
            for name, shape in self._free.items()
            if len(shape) == 2
            and not _RECURRENT.fullmatch(name)
            and name.removesuffix("weight") + "bias" not in self._free
        }

    def _linear(self, shape: Shape) -> list[str]:
        """Return the free matrices of a shape, those with a bias beside them if there are any."""
        fitting = [name for name, found in self._free.items() if found == shape]
        biased = [n for n in fitting if n.removesuffix("weight") + "bias" in self._free]
        return biased or fitting

    def _take(self, ours: str, theirs: str) -> None:
        if ours in self.names:
            raise self._error(f"{printable(ours)} is named twice")
        self.names[ours] = theirs
        del self._free[theirs]

    def _check_shape(self, ours: str, shapes: set[Shape]) -> None:
        if ours not in self.names:
            raise self._error(f"there is no tensor for {ours}; name it with --map {ours}=NAME")
        shape = tuple(self._tensors[self.names[ours]].shape)
        if shape not in shapes:
            raise self._error(
                f"{ours} is {printable(self.names[ours])} with the shape {shape}, but the spec and "
                f"the other tensors need {' or '.join(map(str, sorted(shapes)))}"
            )

    def _error(self, what: str) -> BundleError:
        needed = f". Needed: {listed(self._needed)}" if self._needed else ""
        return BundleError(
            f"{self._place}: {what}. Found: {listed(shapes_of(self._tensors))}{needed}"
        )
