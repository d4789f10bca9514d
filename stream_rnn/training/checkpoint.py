"""Checkpoints: the state of training after an epoch, from which it resumes with the same bits.

A checkpoint is a safetensors file, as the tensors of a bundle are; it is never a pickle.
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

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # state of AdamW for each parameter


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of training after an epoch.

    Attributes:
        tensors: Tensors of the network.
        averaged: Moving averages of the weights; empty if there are none.
        best: Tensors of the network after the epoch with the lowest validation loss.
        moments: State of AdamW, by parameter number and name (``0.exp_avg``).
        random: Random state of torch.
        best_loss: Lowest validation loss.
        waited: Number of epochs since the lowest validation loss.
        epoch: Number of finished epochs.
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
        """Copy everything that training needs in order to resume."""
        states = optimizer.state_dict()["state"]
        moments = {f"{i}.{m}": states[i][m].clone() for i in states for m in MOMENTS}
        tensors = _copy_tensors(network)
        means = {} if averaged is None else _copy_tensors(averaged)
        random = torch.get_rng_state()
        return cls(tensors, means, dict(best), moments, random, best_loss, waited, epoch)

    def restore(
        self, network: nn.Module, averaged: nn.Module | None, optimizer: torch.optim.AdamW
    ) -> None:
        """Restore the networks, the optimizer and the random state of torch."""
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
        """Write the checkpoint to a temporary file and rename it, so that no torn file is read.

        Args:
            path: Path of the file.
            recipe: Digest of everything that determines the result of training; a run with another
                recipe ignores the checkpoint.
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
        temporary = path.with_suffix(".writing")
        save_file(tensors, temporary, {"recipe": recipe, "about": json.dumps(about)})
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path, recipe: str) -> "Checkpoint | None":
        """Read a checkpoint; return ``None`` if it is missing, torn or has another recipe."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("recipe") != recipe:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
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


def _copy_tensors(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
