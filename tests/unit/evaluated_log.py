"""A log of 300 rows with bundles, for the tests of evaluation, comparison and replay."""

import json

import numpy as np
import torch

from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from tests import models

SPEC = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "at"}}}
SPEC["heads"] = [
    *SPEC["heads"],
    {"name": "now", "kind": "regression", "of": "now", "path": "z", "cap": 2.0},
    {"name": "last", "kind": "multiclass", "path": "kind", "classes": ["A", "B"], "end": True},
]


def rows_of(count, seed=3):
    """Make rows of uneven keys, out of order, with holes and bad ones."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "key": ["a", "b", "c", "d", "hot", "hot", "hot"][rng.integers(7)],
            "at": int(i * 500 + rng.integers(-2000, 2000) + 10_000),
            "x": None if rng.random() < 0.1 else float(rng.normal()),
            "kind": ["A", "B", "other", None][rng.integers(4)],
            "z": float(rng.normal()),
        }
        for i in range(count)
    ]
    for row in rng.choice(count, 12, replace=False).tolist():
        rows[row].update([{"key": None}, {"at": None}, {"x": 1e39}][row % 3])
    return rows


def log_file(directory, rows):
    """Write rows as a log."""
    path = directory / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def settings_of(**more):
    """Make settings."""
    return Settings.build(app="app", source="log", **more)


def models_of(directory):
    """Load a bundle."""
    return load_bundle(directory)


def make_evaluated(directory):
    """Make a log of 300 rows and an untrained bundle with a baseline beside it."""
    spec = FeatureSpec.model_validate(SPEC)
    for name, kind, seed in (("b", "gru", 1), ("b/memoryless", "none", 2), ("other", "lstm", 3)):
        torch.manual_seed(seed)
        save_bundle(Model.initialize(spec, CellSpec(kind=kind, hidden=8)), directory / name)
    return spec, log_file(directory, rows_of(300)), directory
