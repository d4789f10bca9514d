"""Models whose weights numpy draws, and digests of what they compute and write."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from stream_rnn.model.bundle import JSON_NAME, TENSORS_NAME, save_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests import models


def drawn_model(cell) -> Model:
    """Return a model of a cell's spec; its weights do not depend on torch's random numbers."""
    model = Model.initialize(FeatureSpec.model_validate(models.SPEC), cell)
    draw = np.random.default_rng(5)
    model.network.load_state_dict(
        {
            name: torch.from_numpy(draw.normal(0, 0.4, tensor.shape).astype(np.float32))
            for name, tensor in sorted(model.network.state_dict().items())
        }
    )
    return model


def digest(*parts: bytes) -> str:
    """Return 16 hex digits of the sha256 of some bytes."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def bits_of(model: Model) -> str:
    """Return a digest of the outputs and hidden states of 21 keys over 40 events."""
    draw = np.random.default_rng(6)
    x = torch.from_numpy(draw.normal(0, 2, (21, 40, model.feature_count)).astype(np.float32))
    kind = model.encoder.names.index("kind")
    x[..., kind] = torch.from_numpy(draw.integers(0, 3, (21, 40)).astype(np.float32))
    y, h = model.forward(x, model.initial_hidden(21))
    return digest(y.contiguous().numpy().tobytes(), h.contiguous().numpy().tobytes())


def files_of(model: Model, directory: Path) -> str:
    """Return a digest of the files of the model's bundle."""
    save_bundle(model, directory, {"rows": 7}, {"auc": 0.5})
    return digest(*((directory / name).read_bytes() for name in (JSON_NAME, TENSORS_NAME)))
