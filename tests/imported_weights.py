"""Imports of the weights of plain networks, for tests."""

import pytest
import torch

from stream_rnn import import_weights
from stream_rnn.errors import BundleError


def state_dict(folder):
    """Read the state dict of a directory."""
    return torch.load(folder / "weights.pt", weights_only=True)  # noqa: TID251  # as people do


def run(folder, **options):
    """Import the weights of a directory."""
    options.setdefault("check", folder / "reference.npz")
    weights = options.pop("weights", folder / "weights.pt")
    return import_weights(folder / "spec.toml", weights, folder / "bundle", **options)


def refusal(folder, error=BundleError, **options):
    """Return the message with which an import is refused, which writes nothing."""
    with pytest.raises(error) as refused:
        run(folder, **options)
    assert not (folder / "bundle").exists()
    assert not list(folder.glob(".bundle*"))
    return str(refused.value)


def saved(folder, change):
    """Write the state dict again, changed."""
    state = state_dict(folder)
    torch.save(change(dict(state)), folder / "weights.pt")
