"""Why outputs differ from those of the network's own code: usual mistakes, tried one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.model.features import (
    FeatureSpec,
    Numeric,
    SincePrevious,
    column_names,
)
from stream_rnn.model.network import Model, tensors_of
from stream_rnn.model.weights.build import UnknownRow, build_model
from stream_rnn.model.weights.compare import TOLERANCE, difference, outputs_of
from stream_rnn.model.weights.found import Weights
from stream_rnn.model.weights.inputs import describe_inputs
from stream_rnn.model.weights.matched import MatchedWeights
from stream_rnn.model.weights.reference import Steps
from stream_rnn.model.weights.scalings import other_scalings
from stream_rnn.model.words import Categorical

TRIED_MAX = 400  # changes of one kind
ROWS_MAX, STEPS_MAX = 8, 64  # of the sequences that are tried
NUMBERS_MAX = 50_000_000  # parameters, beyond which nothing is tried
GATES = {"gru": ("r", "z", "n"), "lstm": ("i", "f", "g", "o"), "elman": ()}
UNKNOWN = (
    "no usual mistake explains it (the order of gates, inputs or heads, unknown rows, biases, the "
    "nonlinearity, scalings, outputs after sigmoid or softmax); compare a single step with your code"
)
Encode = Callable[[FeatureSpec], Sequence[Steps]]


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """What a model was built of."""

    spec: FeatureSpec
    matched: MatchedWeights
    inputs: tuple[str, ...]
    unknown_row: UnknownRow

    def build(self) -> Model:
        """Build the model."""
        return build_model(self.spec, self.matched, self.inputs, self.unknown_row)


def find_cause(
    network: ImportedNetwork, all_steps: Sequence[Steps], encode: Encode | None = None
) -> str:
    """Return the mistake that explains the outputs, as the end of a sentence.

    Args:
        network: What the model was built of.
        all_steps: Sequences of the reference.
        encode: Function that encodes the events of the reference with another spec; ``None`` if the
            reference has encoded inputs.
    """
    if not all_steps or sum(map(np.size, network.matched.cell.values())) > NUMBERS_MAX:
        return UNKNOWN
    some = [_cut(steps) for steps in all_steps[:ROWS_MAX]]
    model = network.build()
    for sentence, ours in _other_outputs(model, network, some):
        if _fits(ours, [steps.y for steps in some]):
            return sentence
    theirs = [steps.y for steps in some]
    for sentence, variant in _variants(network):
        other = variant.build()
        if _fits([outputs_of(other, steps) for steps in some], theirs):
            return sentence
    for sentence, steps in _other_inputs_of(model, all_steps, encode):
        if _fits([outputs_of(model, one) for one in steps], [one.y for one in steps]):
            return sentence
    return UNKNOWN


def _other_inputs_of(
    model: Model, all_steps: Sequence[Steps], encode: Encode | None
) -> Iterator[tuple[str, list[Steps]]]:
    """Yield the sequences with other values or other beginnings, and what the change means."""
    some = [_cut(steps) for steps in all_steps[:ROWS_MAX]]
    single = [
        Steps(s.x.reshape(-1, 1, s.x.shape[2]), s.y.reshape(-1, 1, s.y.shape[2])) for s in some
    ]
    yield "your code begins every step with a hidden state of zeros", single
    yield (
        "your code keeps one hidden state for all sequences or keys; here each begins with zeros",
        [_joined(all_steps)],
    )
    if encode is None:
        yield (
            "x contains values before scaling; save those that the network reads",
            [_scaled(model.spec, steps) for steps in some],
        )
        return
    for sentence, spec in other_scalings(model.spec):
        yield sentence, [_cut(steps) for steps in encode(spec)[:ROWS_MAX]]


def _joined(all_steps: Sequence[Steps]) -> Steps:
    """Return the beginning of all sequences as one: one after the other, events in their order."""
    x = np.concatenate([steps.x.reshape(-1, steps.x.shape[2]) for steps in all_steps])
    y = np.concatenate([steps.y.reshape(-1, steps.y.shape[2]) for steps in all_steps])
    if not isinstance(all_steps[0].index, int):
        order = np.argsort(np.concatenate([np.atleast_1d(steps.index) for steps in all_steps]))
        x, y = x[order], y[order]
    count = ROWS_MAX * STEPS_MAX
    return Steps(x[None, :count], y[None, :count])


def _scaled(spec: FeatureSpec, steps: Steps) -> Steps:
    """Return sequences whose numbers are scaled as the spec says."""
    x, at = steps.x.copy(), 0
    for feature in spec.features:
        if isinstance(feature, Numeric | SincePrevious):
            x[..., at] = feature.scale(x[..., at].astype(np.float64))
        at += len(column_names(feature))
    return Steps(x, steps.y)


def _cut(steps: Steps) -> Steps:
    """Return the beginning of sequences; of those compared at the end only, all of it."""
    begin = steps.y[:ROWS_MAX, :STEPS_MAX]
    count = STEPS_MAX if np.isfinite(begin).any() else steps.y.shape[1]
    return Steps(steps.x[:ROWS_MAX, :count], steps.y[:ROWS_MAX, :count])


def _fits(ours: Sequence[NDArray[np.float64]], theirs: Sequence[NDArray[np.float64]]) -> bool:
    return all(
        a.shape == b.shape and (difference(a, b) <= TOLERANCE).all()
        for a, b in zip(ours, theirs, strict=True)
    )


def _variants(network: ImportedNetwork) -> Iterator[tuple[str, ImportedNetwork]]:
    """Yield networks with one change, and what the change means."""
    matched = network.matched
    gates = GATES[matched.kind]
    for order in permutations(range(len(gates))):
        changed = {n: _reorder(t, order) for n, t in matched.cell.items()}
        theirs = [""] * len(gates)
        for ours, place in enumerate(order):
            theirs[place] = gates[ours]
        yield (
            f"its gates are in the order {', '.join(theirs)}, torch's is {', '.join(gates)}",
            replace(network, matched=replace(matched, cell=changed)),
        )
    if network.unknown_row == "first":
        yield (
            "the row of unknown words is the last of its tables: give --unknown-row last",
            replace(network, unknown_row="last"),
        )
    for sentence, cell in _without_biases(matched):
        yield sentence, replace(network, matched=replace(matched, cell=cell))
    zero = np.zeros_like(matched.head_bias)
    yield (
        "your code does not add the bias of the head",
        replace(network, matched=replace(matched, head_bias=zero)),
    )
    yield from _other_inputs(network)
    yield from _other_heads(network)


def _reorder(tensor: NDArray[np.float32], order: Sequence[int]) -> NDArray[np.float32]:
    parts = np.split(tensor, len(order)) if order else [tensor]
    return np.concatenate([parts[place] for place in order]) if order else tensor


def _without_biases(matched: MatchedWeights) -> Iterator[tuple[str, Weights]]:
    for kind in ("bias_ih", "bias_hh", "bias"):
        kept = {n: t for n, t in matched.cell.items() if not n.startswith(kind)}
        if len(kept) < len(matched.cell):
            what = "the biases" if kind == "bias" else f"{kind}"
            yield f"your code does not add {what} of the recurrent layers", kept


def _other_inputs(network: ImportedNetwork) -> Iterator[tuple[str, ImportedNetwork]]:
    """Yield other orders of the inputs: first the usual ones, then all."""
    embedded = {f.name for f in network.spec.features if isinstance(f, Categorical)}
    names = network.inputs
    plain = tuple(name for name in names if name not in embedded)
    tables = tuple(name for name in names if name in embedded)
    usual = [(*plain, *tables), (*tables, *plain), names[::-1]]
    for order in (*usual, *islice(permutations(names), TRIED_MAX)):
        described = describe_inputs(network.spec, order)
        yield (
            f"it reads its inputs in the order {described}: give --inputs {','.join(order)}",
            replace(network, inputs=tuple(order)),
        )


def _other_heads(network: ImportedNetwork) -> Iterator[tuple[str, ImportedNetwork]]:
    heads = network.spec.heads
    at = np.cumsum([0, *(head.width for head in heads)])
    for order in islice(permutations(range(len(heads))), TRIED_MAX):
        rows = np.concatenate([np.arange(at[i], at[i + 1]) for i in order])
        matched = network.matched
        yield (
            (
                f"its outputs are in the order {', '.join(heads[i].name for i in order)}, not in that "
                "of the heads in the spec"
            ),
            replace(
                network,
                matched=replace(
                    matched,
                    head_weight=matched.head_weight[rows],
                    head_bias=matched.head_bias[rows],
                ),
            ),
        )


def _other_outputs(
    model: Model, network: ImportedNetwork, some: Sequence[Steps]
) -> Iterator[tuple[str, list[NDArray[np.float64]]]]:
    """Yield outputs that are computed in another way, and what the way means."""
    ours = [outputs_of(model, steps) for steps in some]
    yield (
        (
            "y contains what the heads give after sigmoid, softmax or in the unit of the target; save "
            "the outputs before that"
        ),
        [_after_heads(model, y) for y in ours],
    )
    if network.matched.kind == "elman":
        yield (
            'it has the nonlinearity relu; nn.RNN with "tanh" is the one that can be imported',
            [_with_relu(model, network, steps) for steps in some],
        )
    swapped = [Steps(s.x.transpose(1, 0, 2).copy(), s.y.transpose(1, 0, 2)) for s in some]
    yield (
        "x and y are (T, N, ...), time first; transpose both to (N, T, ...)",
        [outputs_of(model, steps).transpose(1, 0, 2) for steps in swapped],
    )


def _after_heads(model: Model, y: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = y.reshape(prod(y.shape[:2]), -1).astype(np.float32)
    outputs = [o if o.ndim == 2 else o[:, None] for o in model.outputs(rows).values()]
    return np.concatenate(outputs, axis=1).reshape(y.shape).astype(np.float64)


def _with_relu(model: Model, network: ImportedNetwork, steps: Steps) -> NDArray[np.float64]:
    """Compute the outputs of a cell without gates with relu, step by step."""
    cell = dict(network.matched.cell)
    cell["weight_ih_l0"] = tensors_of(model.network)["cell.weight_ih_l0"].numpy()
    x = model.network.cell_inputs(torch.from_numpy(steps.x)).numpy().astype(np.float64)
    for layer in range(network.matched.layers):
        bias = sum((cell.get(f"{b}_l{layer}", 0.0) for b in ("bias_ih", "bias_hh")), 0.0)
        h = np.zeros((len(x), network.matched.hidden))
        rows = []
        for step in range(x.shape[1]):
            h = x[:, step] @ cell[f"weight_ih_l{layer}"].T + h @ cell[f"weight_hh_l{layer}"].T
            h = np.maximum(h + bias, 0.0)
            rows.append(h)
        x = np.stack(rows, axis=1)
    weight, bias = network.matched.head_weight, network.matched.head_bias
    return np.asarray(x @ weight.T.astype(np.float64) + bias)
