"""Recurrent cells: the modules of torch, and a feed-forward network for the memoryless baseline.

A cell computes with H' units, the hidden size H rounded up to a multiple of 8 (``padding.py``).
Outside of a cell there are only H of them: in its inputs and outputs, in bundles and in Redis.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Tag
from torch import Tensor, nn

from stream_rnn.errors import ConfigError
from stream_rnn.model.package_cells.interface import run_module, sizes_of
from stream_rnn.model.package_cells.spec import PackageCell
from stream_rnn.model.padding import GRU, LSTM, RNN, Linear, pad_last
from stream_rnn.options import HiddenSize, Layers

CellKind = Literal["elman", "gru", "lstm", "none"]


class CellSpec(BaseModel):
    """The recurrent cell of a network: its kind, its hidden size and its number of layers.

    ``elman`` is h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) (Elman 1990); ``gru`` is Cho et
    al. 2014 and ``lstm`` Hochreiter and Schmidhuber 1997, both as torch computes them.  ``none``
    is a feed-forward network of the same width: the memoryless baseline.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: CellKind = "gru"
    hidden: HiddenSize = 64
    layers: Layers = 1

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """Shape of one key's hidden state: (L, H), for ``lstm`` (2, L, H), for ``none`` (0, 0)."""
        match self.kind:
            case "none":
                return (0, 0)
            case "lstm":
                return (2, self.layers, self.hidden)
            case _:
                return (self.layers, self.hidden)

    @property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint covers."""
        return self.model_dump()

    @property
    def package(self) -> None:
        """No other distribution contains the cell."""
        return

    @property
    def description(self) -> str:
        """The cell in a line of text."""
        return f"{self.kind}, hidden {self.hidden}, layers {self.layers}"

    @property
    def sizes(self) -> dict[str, int]:
        """Hidden size and number of layers."""
        return {"hidden": self.hidden, "layers": self.layers}

    def resized(self, sizes: Mapping[str, int]) -> Self:
        """Return the cell with other sizes."""
        return self.model_copy(update=dict(sizes))


def _tag(content: Any) -> str:
    """Return which of the two kinds of cells a value of ``bundle.json`` is."""
    is_class = (
        "config" in content if isinstance(content, dict) else isinstance(content, PackageCell)
    )
    return "class" if is_class else "torch"


AnyCell = CellSpec | PackageCell
CellContent = Annotated[
    Annotated[CellSpec, Tag("torch")] | Annotated[PackageCell, Tag("class")], Discriminator(_tag)
]
"""The type of a field that contains a cell of either kind."""


def cell_of(kind: str, hidden: int, layers: int, options: Mapping[str, Any]) -> AnyCell:
    """Return a cell by its name.

    Args:
        kind: Name of the cell.
        hidden: Hidden size; the default for a class whose ``Config`` has no such field.
        layers: Number of layers, as well.
        options: Other fields of its ``Config``.

    Raises:
        ConfigError: There is no such cell, or it has no such option or size.
    """
    if kind in ("elman", "gru", "lstm"):
        if options:
            raise ConfigError(f"option cell_options: {kind} has none, leave out {min(options)}")
        return CellSpec.model_validate({"kind": kind, "hidden": hidden, "layers": layers})
    fields = PackageCell.fields_of(kind)
    sizes = {"hidden": hidden, "layers": layers}
    for name, default in CellSpec().sizes.items():
        if sizes[name] != default and name not in fields:
            raise ConfigError(f"option {name}: the cell {kind} has no such option, leave it out")
    return PackageCell.of(kind, {n: v for n, v in sizes.items() if n in fields} | {**options})


def memoryless_cell(cell: AnyCell, outputs: int) -> CellSpec:
    """Return the memoryless baseline of a cell, of the width of its outputs."""
    width = cell.hidden if isinstance(cell, CellSpec) else outputs
    return CellSpec(kind="none", hidden=width, layers=cell.sizes.get("layers", 1))


class FeedForward(nn.Module):
    """The memoryless baseline: L layers of width H, applied to each event alone."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden_size = hidden
        sizes = [inputs, *[hidden] * layers]
        self.layers = nn.ModuleList(Linear(a, b, pads_outputs=True) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., H)."""
        for layer in self.layers:
            x = layer(x).tanh()
        return x[..., : self.hidden_size]


def make_cell(spec: AnyCell, inputs: int, since_previous: int | None = None) -> nn.Module:
    """Make the torch module of a cell, which takes sequences (T, B, I).

    Args:
        spec: The cell.
        inputs: Number of inputs, I.
        since_previous: Number of the input with the time since the previous event, if there is one.

    Raises:
        CellError: The package of the cell is not installed, or its class fails.
    """
    if isinstance(spec, PackageCell):
        return spec.build(inputs, since_previous)
    match spec.kind:
        case "elman":
            return RNN(inputs, spec.hidden, spec.layers)
        case "gru":
            return GRU(inputs, spec.hidden, spec.layers)
        case "lstm":
            return LSTM(inputs, spec.hidden, spec.layers)
        case "none":
            return FeedForward(inputs, spec.hidden, spec.layers)


def cell_sizes(spec: AnyCell, cell: nn.Module) -> tuple[tuple[int, ...], int]:
    """Return the shape of one key's hidden state, and the number of outputs of the cell, H.

    Raises:
        CellError: A class does not declare them.
    """
    if isinstance(spec, PackageCell):
        return sizes_of(cell, spec.title)
    return spec.hidden_shape, spec.hidden


def run_cell(cell: nn.Module, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Run a cell over a sequence.

    Args:
        cell: Module from :func:`make_cell`.
        x: Inputs of the cell, (T, B, I).
        h: Hidden states (B, L, H), for an LSTM (B, 2, L, H), for no memory (B, 0, 0).

    Returns:
        The output of the top layer (T, B, H), and the new hidden states in the shape of h.
    """
    if isinstance(cell, FeedForward):
        return cell(x), h
    if not isinstance(cell, nn.RNNBase):
        return run_module(cell, x, h)
    hidden = h.shape[-1]
    h = pad_last(h, cell.hidden_size)
    if isinstance(cell, nn.LSTM):
        pair = h.permute(1, 2, 0, 3).contiguous()  # (2, L, B, H')
        out, (hn, cn) = cell(x, (pair[0], pair[1]))
        new = _stack(hn, cn)
    else:
        out, hn = cell(x, h.transpose(0, 1).contiguous())  # (L, B, H')
        new = hn.transpose(0, 1)
    if hidden == cell.hidden_size:
        return out, new
    return out[..., :hidden], new[..., :hidden]


def _stack(hn: Tensor, cn: Tensor) -> Tensor:
    pair = hn.new_empty((hn.shape[1], 2, hn.shape[0], hn.shape[2]))
    pair[:, 0], pair[:, 1] = hn.transpose(0, 1), cn.transpose(0, 1)
    return pair


def chrono_init_(cell: nn.Module, steps: int) -> None:
    """Initialize gate biases in place, so that units forget after 1 to ``steps`` steps.

    With torch's initialization a gate begins half open, and events more than about ten steps ago
    hardly reach the gradient.  An Elman cell has no gates and is not changed.

    Source: chrono initialization, Tallec and Ollivier 2018 (arXiv 1804.11188), section 3.
    """
    if not isinstance(cell, GRU | LSTM):
        return
    hidden, width = cell.unpadded_size, cell.hidden_size
    for layer in range(cell.num_layers):
        bias_ih, bias_hh = getattr(cell, f"bias_ih_l{layer}"), getattr(cell, f"bias_hh_l{layer}")
        log_ages = torch.log(torch.empty(hidden).uniform_(1, max(2, steps - 1)))
        gate = slice(width, width + hidden)  # z or f: GRU r, z, n; LSTM i, f, g, o
        with torch.no_grad():
            bias_ih[gate], bias_hh[gate] = log_ages, 0.0
            if isinstance(cell, nn.LSTM):
                bias_ih[:hidden], bias_hh[:hidden] = -log_ages, 0.0
