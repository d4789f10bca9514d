"""Checkpoints: training stopped after an epoch, to be gone on with to the same bits.

A file of safetensors, as a bundle's tensors are: never pickle.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a parameter


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Training after an epoch.

    Attributes:
        tensors: of the network.
        averaged: of the moving average of its weights; empty if there is none.
        best: of the network in the epoch with the least validation loss.
        moments: AdamW's, ``number.name`` by parameter.
        random: torch's random state.
        best_loss: the least validation loss.
        waited: epochs since then.
        epoch: how many are done.
    """

    tensors: Mapping[str, Tensor]
    averaged: Mapping[str, Tensor]
    best: dict[str, Tensor]
    moments: Mapping[str, Tensor]
    random: Tensor
    best_loss: float
    waited: int
    epoch: int

    @classmethod
    def take(
        cls,
        network: nn.Module,
        averaged: nn.Module | None,
        best: dict[str, Tensor],
        optimizer: torch.optim.AdamW,
        best_loss: float,
        waited: int,
        epoch: int,
    ) -> "Checkpoint":
        """Copy what training needs to go on."""
        states = optimizer.state_dict()["state"]
        moments = {f"{i}.{m}": states[i][m].clone() for i in states for m in MOMENTS}
        tensors = _copied(network)
        means = {} if averaged is None else _copied(averaged)
        random = torch.get_rng_state()
        return cls(tensors, means, dict(best), moments, random, best_loss, waited, epoch)

    def restore(
        self, network: nn.Module, averaged: nn.Module | None, optimizer: torch.optim.AdamW
    ) -> None:
        """Put networks, optimizer and torch's random state back."""
        network.load_state_dict(dict(self.tensors))
        if averaged is not None:
            averaged.load_state_dict(dict(self.averaged))
        content = optimizer.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self.moments.items():
            number, _, moment = name.partition(".")
            states.setdefault(int(number), {})[moment] = tensor.clone()
        optimizer.load_state_dict({**content, "state": states})
        torch.set_rng_state(self.random)

    def write(self, path: Path, recipe: str) -> None:
        """Write beside, then rename, so that a torn checkpoint is never read.

        Args:
            path: of the file.
            recipe: what it belongs to; another recipe does not go on from it.
        """
        tensors = {"random": self.random}
        groups = {
            "now": self.tensors,
            "averaged": self.averaged,
            "best": self.best,
            "moments": self.moments,
        }
        for group, members in groups.items():
            tensors |= {f"{group}.{name}": t.contiguous() for name, t in members.items()}
        best_loss = None if math.isinf(self.best_loss) else self.best_loss
        about = {"best_loss": best_loss, "waited": self.waited, "epoch": self.epoch}
        beside = path.with_suffix(".writing")
        save_file(tensors, beside, {"recipe": recipe, "about": json.dumps(about)})
        beside.replace(path)

    @classmethod
    def read(cls, path: Path, recipe: str) -> "Checkpoint | None":
        """Read a checkpoint; ``None`` if there is none, it is torn, or of another recipe."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("recipe") != recipe:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
            about = json.loads(metadata["about"])
        except (OSError, SafetensorError, ValueError, KeyError):
            return None
        groups: dict[str, dict[str, Tensor]] = {
            name: {} for name in ("now", "averaged", "best", "moments")
        }
        random = tensors.pop("random")
        for name, tensor in tensors.items():
            group, _, member = name.partition(".")
            groups[group][member] = tensor
        best_loss = math.inf if about["best_loss"] is None else float(about["best_loss"])
        place = int(about["waited"]), int(about["epoch"])
        networks = groups["now"], groups["averaged"], groups["best"]
        return cls(*networks, groups["moments"], random, best_loss, *place)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
