"""A GRU that forgets with time: h decays before each event, by the time since the previous one."""

from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class DecayGRUConfig(BaseModel):
    """Size of the cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(64, ge=8, le=4096, multiple_of=8)


class DecayGRU(nn.Module):
    """A GRU whose memory decays with the time since the key's previous event; h is (1, H).

        d = exp(-max(0, w t + b)), h' = GRU(x, d h)

    t is the time in the scaling of the feature ``since_previous``: with ``log``, h decays by a power
    of the time; with ``standard`` or ``none``, exponentially.

    Source: the decay of h of GRU-D, Che et al. 2018 (doi 10.1038/s41598-018-24271-9), with a
    diagonal weight.
    """

    Config = DecayGRUConfig
    gate_names: ClassVar = {"d": "decay"}
    reads_since_previous = True

    def __init__(self, inputs: int, config: DecayGRUConfig, since_previous: int) -> None:
        super().__init__()
        self.since_previous = since_previous
        self.hidden_shape, self.output_size = (1, config.hidden), config.hidden
        self.gru = nn.GRUCell(inputs, config.hidden)
        self.rate, self.offset = (nn.Parameter(torch.empty(config.hidden)) for _ in range(2))
        if not self.rate.is_meta:
            nn.init.uniform_(self.rate, 0.0, 1.0)  # from memories without decay to short ones
            nn.init.zeros_(self.offset)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (T, B, I) and h (B, 1, H) to the outputs (T, B, H) and h."""
        out, decay, now = [], self._decay(x), h[:, 0]
        for event, share in zip(x.unbind(), decay.unbind(), strict=True):
            now = self.gru(event, share * now)
            out.append(now)
        return torch.stack(out), now[:, None]

    def gates(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  # it does not read h
        """Return the share (N, 1, H) of h that the time leaves."""
        return {"d": self._decay(x)[:, None]}

    def _decay(self, x: Tensor) -> Tensor:
        """Return the share (..., H) of h that the time leaves, for x (..., I)."""
        since = x[..., self.since_previous, None]
        return torch.exp(-torch.relu(self.rate * since + self.offset))
