"""RG-LRU: a linear recurrence, each of whose units forgets at a rate that the event sets."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from stream_rnn.model.package_cells.layered import Layer, LayeredCell, LayeredConfig

POWER = 8.0  # c
DECAY_MIN, DECAY_MAX = 0.9, 0.999  # range of a^c at initialization


class RGLRULayer(Layer):
    """One layer, after a linear map to u = W x + b; s is logistic.

        r = s(W_r u + b_r), i = s(W_i u + b_i)
        a = s(A)^(c r)
        h' = a h + sqrt(1 - a^2) (i u)

    log s(A) is computed as -softplus(-A).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(inputs, hidden)
        self.recurrence, self.input = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.decay = nn.Parameter(torch.empty(hidden))
        if not self.decay.is_meta:  # which has no values, and would import torch's compiler
            a = torch.empty(hidden).uniform_(DECAY_MIN, DECAY_MAX) ** (1 / POWER)
            self.decay.data = torch.logit(a)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Map x (T, B, I) and h (B, H) to h after each event (T, B, H)."""
        u = self.inputs(x)
        log_a = self._log_a(u)
        a, out = torch.exp(log_a), []
        scaled = torch.sqrt(-torch.expm1(2 * log_a)) * torch.sigmoid(self.input(u)) * u
        for share, new in zip(a.unbind(), scaled.unbind(), strict=True):
            h = share * h + new
            out.append(h)
        return torch.stack(out)

    def _log_a(self, u: Tensor) -> Tensor:
        strength = POWER * nn.functional.softplus(-self.decay)
        return -strength * torch.sigmoid(self.recurrence(u))

    def gates(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  # they do not read h
        """Return the share of h that remains, and the input gate."""
        u = self.inputs(x)
        return {"a": torch.exp(self._log_a(u)), "i": torch.sigmoid(self.input(u))}


class RGLRU(LayeredCell):
    """Real-gated linear recurrent unit with L layers and h (L, H).

    Source: De et al. 2024, Griffin (arXiv 2402.19427).  Does not include the convolution and the
    feed-forward blocks around it.
    """

    gate_names: ClassVar = {"a": "decay", "i": "input"}

    def __init__(self, inputs: int, config: LayeredConfig) -> None:
        sizes = [inputs, *[config.hidden] * config.layers]
        super().__init__([RGLRULayer(a, b) for a, b in pairwise(sizes)], config.hidden)
