"""The start of a network with memory from the memoryless baseline of the same size.

The baseline is h = tanh(W x + b) in each layer.  A recurrent cell computes the same if it forgets
its previous state at every event:

    elman  W_hh = 0
    gru    z = 0 and W_hn = 0, so h = n = tanh(W x + b)
    lstm   f = 0, i = o = 1 and W_hg = 0, so h = tanh(tanh(S (W x + b))), which is tanh(W x + b) / K
           up to 0.02; the next layer multiplies by K

Gates are closed by a bias, not by weights, so that training can open them.
"""

from torch import Tensor

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import Network

CLOSED = -8.0  # bias of a gate that is closed: its value is 3e-4
OPEN = 8.0
LSTM_SLOPE = 0.7616  # S, tanh(1): K tanh(tanh(S a)) has the slope and the limits of tanh(a)
LSTM_GAIN = 1 / LSTM_SLOPE  # K


def start_from_memoryless_(network: Network, cell: CellSpec, memoryless: Network) -> None:
    """Give a network with memory the function of a memoryless baseline, in place.

    Args:
        network: Network with memory, with freshly initialized parameters.
        cell: Its cell.
        memoryless: Network with the cell ``none``, and otherwise the same spec and sizes.
    """
    state, source = network.state_dict(), memoryless.state_dict()
    state |= {name: tensor for name, tensor in source.items() if not name.startswith("cell.")}
    gain = LSTM_GAIN if cell.kind == "lstm" else 1.0
    state["head.weight"] = source["head.weight"] * gain
    for layer in range(cell.layers):
        weight = source[f"cell.layers.{layer}.weight"] * (gain if layer else 1.0)
        bias = source[f"cell.layers.{layer}.bias"]
        _start_layer(state, layer, cell, weight, bias)
    network.load_state_dict(state)


def _start_layer(
    state: dict[str, Tensor], layer: int, cell: CellSpec, weight: Tensor, bias: Tensor
) -> None:
    """Set the parameters of a layer to those of a memoryless layer, weight (H, I) and bias (H,)."""
    ends = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    names = [f"cell.{end}_l{layer}" for end in ends]
    weight_ih, weight_hh, bias_ih, bias_hh = (state[name].clone() for name in names)
    scale = LSTM_SLOPE if cell.kind == "lstm" else 1.0
    for number, gate in enumerate(_GATES[cell.kind]):
        rows = slice(number * cell.hidden, (number + 1) * cell.hidden)
        if gate in _BIASES:
            bias_ih[rows], bias_hh[rows] = _BIASES[gate], 0.0
        elif gate == "tanh":
            weight_ih[rows], weight_hh[rows] = weight * scale, 0.0
            bias_ih[rows], bias_hh[rows] = bias * scale, 0.0
    state |= dict(zip(names, (weight_ih, weight_hh, bias_ih, bias_hh), strict=True))


_GATES = {"elman": ("tanh",), "gru": ("r", "z", "tanh"), "lstm": ("i", "f", "tanh", "o")}
_BIASES = {"z": CLOSED, "f": CLOSED, "i": OPEN, "o": OPEN}
