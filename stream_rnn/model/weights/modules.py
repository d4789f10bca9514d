"""Modules of torch in this process, as the weights of a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from stream_rnn.errors import BundleError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.weights.build import UnknownRow, build_model
from stream_rnn.model.weights.found import Weights, as_weights
from stream_rnn.model.weights.inputs import choose_inputs
from stream_rnn.model.weights.match import match_weights
from stream_rnn.model.weights.scalings import check_scalings

RNN = nn.RNN | nn.GRU | nn.LSTM


def model_from_modules(
    spec: FeatureSpec,
    rnn: nn.Module,
    head: nn.Linear | Mapping[str, nn.Linear],
    embeddings: Mapping[str, nn.Embedding] | None = None,
    inputs: Sequence[str] = (),
    unknown_row: UnknownRow = "first",
) -> Model:
    """Make a model of modules; see ``Model.from_torch``."""
    check_scalings(spec)
    _check_rnn(rnn)
    modules: dict[str, nn.Module] = {"cell": rnn}
    if isinstance(head, Mapping):
        modules |= {f"head.{name}": module for name, module in head.items()}
    else:
        modules["head"] = head
    modules |= {f"embeddings.{name}": module for name, module in (embeddings or {}).items()}
    tensors: Weights = {}
    for name, module in modules.items():
        _check_module(name, module)
        for part, tensor in module.state_dict().items():
            values = tensor.detach().to("cpu", torch.float32).numpy()
            tensors[f"{name}.{part}"] = as_weights("from_torch", f"{name}.{part}", values)
    matched = match_weights(tensors, spec, [(name, name) for name in tensors], (), "from_torch")
    chosen = choose_inputs(spec, inputs, matched.inputs, "from_torch")
    return build_model(spec, matched, chosen, unknown_row)


def _check_rnn(rnn: nn.Module) -> None:
    if not isinstance(rnn, RNN):
        raise BundleError(f"rnn is {type(rnn).__name__}; it must be an nn.RNN, nn.GRU or nn.LSTM")
    if rnn.bidirectional:
        raise BundleError(
            "rnn is bidirectional, so it reads events that have not happened yet; train it in one "
            "direction"
        )
    if rnn.proj_size:
        raise BundleError("rnn has a projection (proj_size), which is not supported; train without")
    if getattr(rnn, "nonlinearity", "tanh") != "tanh":
        raise BundleError('rnn has the nonlinearity relu; train an nn.RNN with "tanh"')


def _check_module(name: str, module: Any) -> None:
    kind = nn.Embedding if name.startswith("embeddings.") else nn.Linear
    if name != "cell" and not isinstance(module, kind):
        raise BundleError(f"{name} is {type(module).__name__}; it must be an nn.{kind.__name__}")
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        raise BundleError(
            f"{name} has max_norm, which changes its table when it is read; train without it"
        )
