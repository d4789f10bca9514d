"""A cell of an own package: each unit is a moving average at a rate that the event sets."""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class Mean(nn.Module):
    """h' = (1 - r) h + r tanh(W x + b), with r = s(V x + c); s is the logistic function."""

    class Config(BaseModel):
        """Options of the cell, which a bundle contains."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        hidden: int = Field(64, ge=8, le=1024, multiple_of=8)

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.hidden_shape, self.output_size = (config.hidden,), config.hidden
        self.candidate = nn.Linear(inputs, config.hidden)
        self.rate = nn.Linear(inputs, config.hidden)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Step T times: x (T, B, I) and h (B, H) give the outputs (T, B, H) and h."""
        new, rate, out = torch.tanh(self.candidate(x)), torch.sigmoid(self.rate(x)), []
        for now, share in zip(new.unbind(), rate.unbind(), strict=True):
            h = torch.lerp(h, now, share)
            out.append(h)
        return torch.stack(out), h
