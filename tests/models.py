"""Small untrained models for tests, with random weights from a seed."""

from functools import cache

import torch

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model

SPEC = {
    "format": 1,
    "name": "small",
    "event": {"key": ["key"]},
    "features": [
        {"name": "x", "kind": "numeric", "path": "x", "scaling": "none", "missing": "indicator"},
        {
            "name": "kind",
            "kind": "categorical",
            "path": "kind",
            "vocabulary": ["A", "B"],
            "embedding": 2,
        },
        {"name": "since", "kind": "since_previous", "scaling": "log"},
        {"name": "hour", "kind": "calendar", "unit": "hour"},
    ],
    "heads": [
        {"name": "big", "kind": "binary", "of": "next", "path": "x", "above": 1.0},
        {"name": "wait", "kind": "time_to_next"},
        {
            "name": "next",
            "kind": "multiclass",
            "of": "next",
            "path": "kind",
            "classes": ["A", "B", "?"],
        },
    ],
}


@cache
def small(cell: str = "gru", hidden: int = 8, layers: int = 1, seed: int = 7) -> Model:
    """Return an untrained model whose weights the seed determines."""
    torch.manual_seed(seed)
    return Model.initialize(
        FeatureSpec.model_validate(SPEC), CellSpec(kind=cell, hidden=hidden, layers=layers)
    )
