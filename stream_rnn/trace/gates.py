"""The gates of a cell, computed again from its weights, for display only.

The modules of torch return h but not the gates, so this module computes the gates from the same
input and the same h.  The h that it computes beside them equals that of the step within rounding,
because torch fuses the operations; it is never stored or published.

Shape letters: N events, F features, I inputs of the cell, H hidden size, L layers, G gates.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from stream_rnn.model.cells import CellKind, CellSpec
from stream_rnn.model.network import Model
from stream_rnn.model.package_cells.interface import gate_names
from stream_rnn.model.tiles import pad_rows

GATES: Mapping[CellKind, Mapping[str, str]] = {
    "elman": {},
    "gru": {"r": "reset", "z": "update", "n": "candidate"},
    "lstm": {"i": "input", "f": "forget", "g": "candidate", "o": "output"},
    "none": {},
}
"""Letters and names of the gates of torch's cells, in torch's order."""


def gates_named(model: Model) -> Mapping[str, str]:
    """Return the letters and names of the gates of a model's cell; a class may tell none."""
    cell = model.cell
    return GATES[cell.kind] if isinstance(cell, CellSpec) else gate_names(model.network.cell)


@torch.inference_mode()
def gates_of(model: Model, x: Tensor, h: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Compute the gates of one step of each of N events.

    Args:
        model: The model.
        x: Encoded events (N, F), including the time since the previous event.
        h: Hidden states (N, L, H) before the step, for an LSTM (N, 2, L, H).

    Returns:
        Gates in the shape (N, L, H) of h by their letters, see ``gates_named``, and h after the step.

    Invariant: This h of torch's cells equals that of the step within rounding (``tests/unit/test_gates.py``).
    """
    if not isinstance(model.cell, CellSpec):
        return _own_gates(model, x, h), model.step(x, h)[1]
    kind, rows = model.cell.kind, len(x)
    if kind == "none":
        return {}, h
    x, h = pad_rows(x), pad_rows(h)
    inputs, after = model.network.cell_inputs(x), h.clone()
    tensors = model.network.cell.state_dict()  # without padding
    layers: list[dict[str, Tensor]] = []
    for layer in range(model.cell.layers):
        before = h[..., layer, :]  # (N, H), for an LSTM (N, 2, H)
        from_x = nn.functional.linear(
            inputs, tensors[f"weight_ih_l{layer}"], tensors[f"bias_ih_l{layer}"]
        )  # (N, I) -> (N, G * H)
        from_h = nn.functional.linear(
            before[:, 0] if kind == "lstm" else before,
            tensors[f"weight_hh_l{layer}"],
            tensors[f"bias_hh_l{layer}"],
        )  # (N, H) -> (N, G * H)
        layer_gates, after[..., layer, :] = _STEPS[kind](from_x, from_h, before)
        inputs = after[:, 0, layer] if kind == "lstm" else after[:, layer]
        layers.append(layer_gates)
    gates = {name: torch.stack([each[name] for each in layers], 1) for name in GATES[kind]}
    return {name: gate[:rows] for name, gate in gates.items()}, after[:rows]


def _own_gates(model: Model, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    """Return the gates that the class of a cell tells."""
    if not gates_named(model):
        return {}
    rows, cell = len(x), model.network.cell
    found: dict[str, Tensor] = cell.gates(  # type: ignore[operator]  # a method of the interface
        model.network.cell_inputs(pad_rows(x)), pad_rows(h)
    )
    return {name: gate[:rows] for name, gate in found.items()}


def _elman(from_x: Tensor, from_h: Tensor, _before: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Step a layer of an Elman cell.

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Source: torch.nn.RNN.
    """
    return {}, torch.tanh(from_x + from_h)


def _gru(from_x: Tensor, from_h: Tensor, before: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Step a layer of a GRU; s is the logistic function.

        r = s(W_ir x + b_ir + W_hr h + b_hr)
        z = s(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r (W_hn h + b_hn))
        h' = (1 - z) n + z h

    Source: torch.nn.GRU.
    """
    (rx, zx, nx), (rh, zh, nh) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
    n = torch.tanh(nx + r * nh)
    return {"r": r, "z": z, "n": n}, (1 - z) * n + z * before


def _lstm(from_x: Tensor, from_h: Tensor, before: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Step a layer of an LSTM; s is the logistic function, ``before`` is h and c.

        i = s(W_ii x + b_ii + W_hi h + b_hi)
        f = s(W_if x + b_if + W_hf h + b_hf)
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        o = s(W_io x + b_io + W_ho h + b_ho)
        c' = f c + i g
        h' = o tanh(c')

    Source: torch.nn.LSTM.
    """
    i, f, g, o = (from_x + from_h).chunk(4, -1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c = f * before[:, 1] + i * g
    return {"i": i, "f": f, "g": g, "o": o}, torch.stack([o * torch.tanh(c), c], 1)


_Step = Callable[[Tensor, Tensor, Tensor], tuple[dict[str, Tensor], Tensor]]
_STEPS: Mapping[CellKind, _Step] = {"elman": _elman, "gru": _gru, "lstm": _lstm}
