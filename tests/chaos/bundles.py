"""The bundles of both folds of an episode, untrained and the same each time."""

from pathlib import Path

import torch

from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import Model
from tests.chaos.log import SPEC

HUGE = 3.4e38  # float32 ends there, so that some sums of products with it are not finite


def make_bundles(directory: Path, *, overflows: bool = False) -> list[str]:
    """Return the paths of both folds' bundles; create them if they do not exist.

    Args:
        directory: Directory of the bundles.
        overflows: Whether the outputs of the second model are not finite for some events.
    """
    paths = []
    for number, kind in enumerate(("gru", "lstm")):
        name = f"{kind}-overflows" if overflows and number else kind
        path = directory / name
        if not path.exists():
            torch.manual_seed(number)
            model = Model.initialize(SPEC, CellSpec(kind=kind, hidden=8))
            if name != kind:
                with torch.no_grad():
                    weight = list(model.network.parameters())[-2]  # of the outputs
                    weight.copy_(weight.sign() * HUGE)
            save_bundle(model, path)
        paths.append(str(path))
    return paths
