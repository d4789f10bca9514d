"""Cells of several layers, each of which reads the outputs of the layer below."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from stream_rnn.options import Layers


class LayeredConfig(BaseModel):
    """Sizes of a cell; a hidden size that is a multiple of 8 needs no padding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(64, ge=8, le=4096, multiple_of=8)
    layers: Layers = 1


class Layer(nn.Module, ABC):
    """A layer, whose h after an event is its output for the event.

    Layers loop over the events in training, too: for windows of 64 to 1,024 events, forward and
    backward take a parallel scan (Hillis and Steele 1986) as much time or up to seven times as much.
    """

    @abstractmethod
    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Map x (T, B, I) and h (B, H) to h after each event (T, B, H)."""

    @abstractmethod
    def gates(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        """Return the gates (N, H) of one step of x (N, I) and h (N, H), by letter."""


class LayeredCell(nn.Module):
    """A stack of L layers; h is (B, L, H), and the outputs are those of the top layer."""

    Config = LayeredConfig

    def __init__(self, layers: Sequence[Layer], hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.hidden_shape, self.output_size = (len(layers), hidden), hidden

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (T, B, I) and h (B, L, H) to the outputs (T, B, H) and h."""
        last = []
        for layer, before in zip(self.layers, h.unbind(1), strict=True):
            x = layer(x, before)
            last.append(x[-1])
        return x, torch.stack(last, 1)

    def gates(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        """Return the gates (N, L, H) of one step of x (N, I) and h (N, L, H), by letter."""
        found: list[dict[str, Tensor]] = []
        for layer, before in zip(self.layers, h.unbind(1), strict=True):
            assert isinstance(layer, Layer)
            found.append(layer.gates(x, before))
            x = layer(x[None], before)[0]
        return {name: torch.stack([each[name] for each in found], 1) for name in found[0]}
