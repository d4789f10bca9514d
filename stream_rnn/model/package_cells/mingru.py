"""minGRU: a GRU whose gate and candidate read the event, and not h."""

import math
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from stream_rnn.model.package_cells.layered import Layer, LayeredCell, LayeredConfig

MEMORY_MAX = 1000  # events of the longest memory of a new network: 1 / z at x = 0


class MinGRULayer(Layer):
    """One layer: z = s(W_z x + b_z), n = W_n x + b_n, h' = (1 - z) h + z n; s is logistic.

    A new layer has memories of all lengths from two events on, spread evenly by their logarithm,
    because a gate that does not read h cannot keep what it has seen when all memories are short.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.update, self.candidate = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)
        if not self.update.bias.is_meta:
            nn.init.uniform_(self.update.bias, -math.log(MEMORY_MAX), 0.0)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Map x (T, B, I) and h (B, H) to h after each event (T, B, H)."""
        z, n, out = torch.sigmoid(self.update(x)), self.candidate(x), []
        for now, share in zip(n.unbind(), z.unbind(), strict=True):
            h = torch.lerp(h, now, share)
            out.append(h)
        return torch.stack(out)

    def gates(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  # they do not read h
        """Return the update gate and the candidate."""
        return {"z": torch.sigmoid(self.update(x)), "n": self.candidate(x)}


class MinGRU(LayeredCell):
    """minGRU with L layers and h (L, H).

    Source: Feng et al. 2024, Were RNNs All We Needed? (arXiv 2410.01201).  Does not include the
    logarithmic form, whose candidates are positive.
    """

    gate_names: ClassVar = {"z": "update", "n": "candidate"}

    def __init__(self, inputs: int, config: LayeredConfig) -> None:
        sizes = [inputs, *[config.hidden] * config.layers]
        super().__init__([MinGRULayer(a, b) for a, b in pairwise(sizes)], config.hidden)
