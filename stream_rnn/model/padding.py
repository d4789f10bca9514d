"""Layers of any width, which compute with widths that are multiples of 8.

With other widths, the last bits of a row depend on the place of the row in its tile (measured with
torch 2.15 and MKL), see ``network.py``.  So a layer gets more units, whose weights and biases are
zero.  In an Elman cell, a GRU, an LSTM and a layer with tanh, such a unit stays at exactly zero for
every input, and so does its gradient.  Tensors of ``state_dict`` are without these units: they have
the names and the shapes of torch's own module, and so have the tensors of a bundle.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

WIDTH_MULTIPLE = 8

Sizes = tuple[tuple[int, int], ...]
"""For each dimension of a tensor, its size without and with padding; or those of each gate."""


def padded_width(width: int) -> int:
    """Return a width, rounded up to a multiple of 8."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def pad_last(x: Tensor, width: int) -> Tensor:
    """Return x (..., W) with zeros up to (..., width); x itself if it has this width."""
    missing = width - x.shape[-1]
    return nn.functional.pad(x, (0, missing)) if missing else x


class Padded(nn.Module):
    """A module with padded parameters, whose ``state_dict`` has the parameters without padding."""

    padding: Mapping[str, Sizes] = {}
    """Sizes of the parameters that have padding, by name."""

    def fill_padding_(self, sizes: Mapping[str, Sizes], unpadded: nn.Module) -> None:
        """Declare the padding, and take the values of all parameters from an unpadded module.

        On the meta device there are no values, and torch would import its compiler to pad them.
        """
        self.padding = sizes
        if not next(self.parameters()).is_meta:
            self.load_state_dict(unpadded.state_dict())

    def _save_to_state_dict(
        self, destination: dict[str, Tensor], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, sizes in self.padding.items():
            destination[prefix + name] = _cut(destination[prefix + name], sizes)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *others: Any
    ) -> None:
        for name, sizes in self.padding.items():  # torch passes a dict of this call
            if prefix + name in state_dict:
                state_dict[prefix + name] = _pad(state_dict[prefix + name], sizes)
        super()._load_from_state_dict(state_dict, prefix, *others)


def _cut(padded: Tensor, sizes: Sizes) -> Tensor:
    """Return a tensor without its padding."""
    for axis, (size, with_padding) in enumerate(sizes):
        blocks = torch.unflatten(padded, axis, (-1, with_padding))
        padded = blocks.narrow(axis + 1, 0, size).flatten(axis, axis + 1)
    return padded.contiguous()


def _pad(tensor: Tensor, sizes: Sizes) -> Tensor:
    """Return a tensor with its padding; one of another shape as it is, which torch then refuses."""
    if tensor.dim() != len(sizes) or any(
        found % size for found, (size, _) in zip(tensor.shape, sizes, strict=True)
    ):
        return tensor
    for axis, (size, with_padding) in enumerate(sizes):
        blocks = torch.unflatten(tensor, axis, (-1, size))
        shape = list(blocks.shape)
        shape[axis + 1] = with_padding - size
        tensor = torch.cat([blocks, blocks.new_zeros(shape)], axis + 1).flatten(axis, axis + 1)
    return tensor


class Linear(Padded, nn.Linear):
    """A linear layer (..., I) -> (..., O), whose products have a multiple of 8 as inner dimension.

    Args:
        inputs: Number of inputs, I.
        outputs: Number of outputs, O.
        pads_outputs: Whether to return (..., O'), with zeros up to a multiple of 8: of arrays whose
            size is no such multiple, torch computes the last elements otherwise than the others.
    """

    def __init__(self, inputs: int, outputs: int, *, pads_outputs: bool = False) -> None:
        rows = padded_width(outputs) if pads_outputs else outputs
        super().__init__(padded_width(inputs), rows)
        if (self.in_features, rows) != (inputs, outputs):
            sizes = {
                "weight": ((outputs, rows), (inputs, self.in_features)),
                "bias": ((outputs, rows),),
            }
            self.fill_padding_(sizes, nn.Linear(inputs, outputs))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name of torch's argument
        """Map (..., I), or (..., I') with its padding, to (..., O), or (..., O')."""
        return super().forward(pad_last(input, self.in_features))


class _Recurrent(Padded, nn.RNNBase):
    """A recurrent module of torch with H hidden units, which computes with H' of them.

    Attributes:
        hidden_size: H', as torch's modules call what they compute with.
        unpadded_size: H.
    """

    unpadded_size: int

    def pad_units_(self, kind: type[nn.RNN | nn.GRU | nn.LSTM], hidden: int) -> None:
        """Declare the padding of each gate, and initialize as torch's own module of this size."""
        self.unpadded_size = hidden
        if hidden == self.hidden_size:
            return
        of_hidden, of_inputs = (hidden, self.hidden_size), (self.input_size, self.input_size)
        sizes: dict[str, Sizes] = {}
        for name, _ in self.named_parameters():
            columns = of_inputs if name == "weight_ih_l0" else of_hidden
            sizes[name] = (of_hidden, columns) if name.startswith("weight") else (of_hidden,)
        self.fill_padding_(sizes, kind(self.input_size, hidden, self.num_layers))


class RNN(_Recurrent, nn.RNN):
    """torch's Elman RNN with any hidden size; states are (L, B, H') with the padding."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__(inputs, padded_width(hidden), layers)
        self.pad_units_(nn.RNN, hidden)


class GRU(_Recurrent, nn.GRU):
    """torch's GRU with any hidden size; states are (L, B, H') with the padding."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__(inputs, padded_width(hidden), layers)
        self.pad_units_(nn.GRU, hidden)


class LSTM(_Recurrent, nn.LSTM):
    """torch's LSTM with any hidden size; states are (L, B, H') with the padding."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__(inputs, padded_width(hidden), layers)
        self.pad_units_(nn.LSTM, hidden)
