"""Cells as another package writes them: a good one, and for each check one that fails it."""

import os
import sys
import time
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn


class Mean(nn.Module):
    """Exponential moving averages of a linear map of the event; h is (H,)."""

    class Config(BaseModel):
        """Size of the cell."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        hidden: int = 16

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.hidden_shape, self.output_size = (config.hidden,), config.hidden
        self.map, self.rate = nn.Linear(inputs, config.hidden), nn.Linear(inputs, config.hidden)

    def forward(self, x, h):
        """Step T times."""
        out = []
        for event in x.unbind():
            h = self.update(event, h)
            out.append(h)
        return torch.stack(out), h

    def update(self, event, h):
        """Step once: x (B, I) and h (B, H) to h."""
        return torch.lerp(h, torch.tanh(self.map(event)), torch.sigmoid(self.rate(event)))


class HasNoParameters(nn.Module):
    """A moving average of the event at a fixed rate."""

    class Config(BaseModel):
        """Nothing to choose."""

    def __init__(self, inputs: int, config: Config) -> None:  # noqa: ARG002  # the interface's
        super().__init__()
        self.hidden_shape, self.output_size = (inputs,), inputs

    def forward(self, x, h):
        """Step T times."""
        out = []
        for event in x.unbind():
            h = torch.lerp(h, torch.tanh(event), 0.1)
            out.append(h)
        return torch.stack(out), h


class IsPartlyFrozen(Mean):
    """A reservoir: a parameter that is not to be trained."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.map.weight.requires_grad_(False)


class Prints(Mean):
    """To the standard output."""

    def update(self, event, h):
        sys.stdout.write("step\n")
        return super().update(event, h)


class CountsCalls(Mean):
    """A buffer that changes."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.register_buffer("calls", torch.zeros(1))

    def update(self, event, h):
        self.calls += 1
        return super().update(event, h)


class RemembersTheLastCall(Mean):
    """An attribute that is no tensor of the module."""

    last = 0.0

    def update(self, event, h):
        before, self.last = self.last, float(event[0, 0])
        return super().update(event, h) + before


class DrawsRandomNumbers(Mean):
    """Dropout that never ends."""

    def update(self, event, h):
        return nn.functional.dropout(super().update(event, h), 0.5, training=True)


class ChangesH(Mean):
    """In place."""

    def update(self, event, h):
        return h.copy_(super().update(event, h))


class DividesByH(Mean):
    """Its h is never zero, it believes."""

    def update(self, event, h):
        return super().update(event, h) / h.norm(dim=-1, keepdim=True)


class RoundsAtTheEnd(Mean):
    """A sequence of several steps is computed in another way than single ones."""

    def forward(self, x, h):
        out, h = super().forward(x, h)
        return (out * 3 / 3, h) if len(x) > 1 else (out, h)


class StepsOtherwise(Mean):
    """Its own step is not its forward."""

    def step(self, x, h):
        h = torch.tanh(self.update(x, h))
        return h, h


class NormalizesTheBatch(Mean):
    """A row is seen beside the others."""

    def update(self, event, h):
        return super().update(event - event.mean(0), h)


class Sums(Mean):
    """Without a bound."""

    def update(self, event, h):
        return h * h + self.map(event) ** 2


class Doubles(Mean):
    """Of another type."""

    def update(self, event, h):
        return super().update(event, h.float()).double()


class CountsInIntegers(Mean):
    """A tensor that is no float32."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.register_buffer("places", torch.arange(3))


class HasNoSize(Mean):
    """It does not say how much it returns."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        del self.output_size


class NamesOtherGates(Mean):
    """Gates under other names than it declares."""

    gate_names: ClassVar = {"r": "rate"}

    def gates(self, x, h):  # noqa: ARG002  # the interface's
        return {"z": torch.sigmoid(self.rate(x))}


class SharesScratch(Mean):
    """Two threads at once overwrite each other's event."""

    def update(self, event, h):
        self.scratch = event
        time.sleep(0.001)
        return super().update(self.scratch[: len(h)], h[: len(self.scratch)])


class DependsOnTheProcess(Mean):
    """Each process computes with a number of its own."""

    def update(self, event, h):
        return super().update(event, h) * (1 + os.getpid() % 10_000 * 1e-6)


class ForgetsAParameter(Mean):
    """A tensor that nothing reads."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.unused = nn.Parameter(torch.zeros(3))


class DrawsAConstant(Mean):
    """A tensor of the constructor that no file holds."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.factor = 1 + torch.rand(config.hidden)

    def update(self, event, h):
        return super().update(event, h) * self.factor / 2


class DrawsABuffer(DrawsAConstant):
    """The same, as a buffer that is not saved."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        factor = self.factor
        del self.factor
        self.register_buffer("factor", factor, persistent=False)


class SharesTensors(Mean):
    """One module under two names."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.other = self.map


class WaitsForItsSize(Mean):
    """A layer without a shape before the first call."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.map = nn.LazyLinear(config.hidden)


class HidesItsOutputs(Mean):
    """No gradient reaches what a loss reads."""

    def forward(self, x, h):
        out, h = super().forward(x, h)
        return out.detach(), h


class ComputesWithoutGradients(Mean):
    """Nor h."""

    def forward(self, x, h):
        with torch.no_grad():
            return super().forward(x, h)


class HidesTheEvent(Mean):
    """No embedding learns."""

    def update(self, event, h):
        return super().update(event.detach(), h)


class NamesGatesInAList(Mean):
    """Letters without names."""

    gate_names: ClassVar = ["r"]

    def gates(self, x, h):  # noqa: ARG002  # the interface's
        return {"r": torch.sigmoid(self.rate(x))}


class TellsGatesOfNumpy(NamesGatesInAList):
    """Arrays of another library."""

    gate_names: ClassVar = {"r": "rate"}

    def gates(self, x, h):
        return {name: gate.numpy() for name, gate in super().gates(x, h).items()}


class TellsNoGates(TellsGatesOfNumpy):
    """The method returns nothing."""

    def gates(self, x, h):  # noqa: ARG002  # the interface's
        return None


class Raises(Mean):
    """An exception of its own."""

    def forward(self, x, h):  # noqa: ARG002  # the interface's
        raise RuntimeError("no such kernel")


class HasNoConfig(nn.Module):
    """No pydantic model."""


BAD = {
    CountsCalls: ("no_state_outside_h", "the tensor calls changes in a call"),
    RemembersTheLastCall: ("no_state_outside_h", "the same call gives other bits after another"),
    DrawsRandomNumbers: ("deterministic", "draws random numbers"),
    ChangesH: ("arguments_unchanged", "h is changed in place"),
    DividesByH: ("zero_state", "not finite"),
    RoundsAtTheEnd: ("step_equals_forward", "steps at once give other bits"),
    StepsOtherwise: ("step_equals_forward", "steps at once give other bits"),
    NormalizesTheBatch: ("batch_independence", "has other bits than alone"),
    Sums: ("finite", "not finite"),
    Doubles: ("shapes", "torch.float64"),
    CountsInIntegers: ("shapes", "places is torch.int64"),
    HasNoSize: ("shapes", "output_size is None"),
    NamesOtherGates: ("gates", "gates returns z, and gate_names has r"),
    SharesScratch: ("threads", "the check threads"),
    ForgetsAParameter: ("trainable", "unused has no gradient"),
    DependsOnTheProcess: ("processes", "another process computes other bits"),
    Raises: ("shapes", "RuntimeError: no such kernel"),
    DrawsAConstant: ("rebuild", "another module with the same tensors gives other bits"),
    DrawsABuffer: ("rebuild", "another module with the same tensors gives other bits"),
    SharesTensors: ("shapes", "map.weight and other.weight share memory"),
    WaitsForItsSize: ("shapes", "map.weight has no shape before the first call"),
    HidesItsOutputs: ("trainable", "its outputs have no gradient"),
    ComputesWithoutGradients: ("trainable", "its outputs have no gradient"),
    HidesTheEvent: ("trainable", "x has no gradient"),
    NamesGatesInAList: ("gates", "gate_names is a list"),
    TellsGatesOfNumpy: ("gates", "the gate r is a ndarray"),
    TellsNoGates: ("gates", "gates returns a NoneType"),
}
"""The check that each class fails, and a part of the message."""
