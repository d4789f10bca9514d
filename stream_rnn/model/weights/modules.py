"""Modules of torch in this process, as the weights of a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from stream_rnn.errors import BundleError
from stream_rnn.model.features import Feature, FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.weights.build import UnknownRow, build_model
from stream_rnn.model.weights.found import Weights, as_weights
from stream_rnn.model.weights.inputs import choose_inputs
from stream_rnn.model.weights.match import LAYERS_MAX, match_weights
from stream_rnn.model.weights.scalings import check_scalings
from stream_rnn.model.words import Categorical
from stream_rnn.text import printable

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
    embeddings = embeddings or {}
    _check_names("embeddings", embeddings, [f.name for f in spec.features if _has_table(f)])
    if isinstance(head, Mapping):
        _check_names("head", head, [one.name for one in spec.heads])
    modules: dict[str, nn.Module] = {"cell": rnn}
    if isinstance(head, Mapping):
        modules |= {f"head.{name}": module for name, module in head.items()}
    else:
        modules["head"] = head
    modules |= {f"embeddings.{name}": module for name, module in embeddings.items()}
    tensors: Weights = {}
    for name, module in modules.items():
        _check_module("rnn" if name == "cell" else name, module)
        for part, tensor in module.state_dict().items():
            if tensor.is_meta:
                raise BundleError(f"{name}.{part} has no numbers: it is on the device meta")
            values = tensor.detach().to("cpu", torch.float32).numpy()
            tensors[f"{name}.{part}"] = as_weights("from_torch", f"{name}.{part}", values)
    matched = match_weights(tensors, spec, [(name, name) for name in tensors], (), "from_torch")
    chosen = choose_inputs(spec, inputs, matched.inputs, "from_torch")
    return build_model(spec, matched, chosen, unknown_row)


def _check_rnn(rnn: nn.Module) -> None:
    if not isinstance(rnn, RNN):
        raise BundleError(f"rnn is {type(rnn).__name__}; it must be an nn.RNN, nn.GRU or nn.LSTM")
    if rnn.num_layers > LAYERS_MAX:
        raise BundleError(f"rnn has {rnn.num_layers} layers, more than {LAYERS_MAX}")
    if rnn.bidirectional:
        raise BundleError(
            "rnn is bidirectional, so it reads events that have not happened yet; train it in one "
            "direction"
        )
    if rnn.proj_size:
        raise BundleError("rnn has a projection (proj_size), which is not supported; train without")
    if getattr(rnn, "nonlinearity", "tanh") != "tanh":
        raise BundleError('rnn has the nonlinearity relu; train an nn.RNN with "tanh"')


def _check_names(what: str, modules: Mapping[str, nn.Module], names: Sequence[str]) -> None:
    """Check that modules have the names that the spec has."""
    if lacking := [name for name in names if name not in modules]:
        raise BundleError(
            f"{what} lacks {lacking[0]}, which the spec has; give a module for each of: "
            f"{', '.join(names)}"
        )
    if unknown := [name for name in modules if name not in names]:
        raise BundleError(
            f"{what} has {printable(str(unknown[0]))}, which the spec has not; its names are: "
            f"{', '.join(names) or 'none'}"
        )


def _has_table(feature: Feature) -> bool:
    return isinstance(feature, Categorical)


def _check_module(name: str, module: Any) -> None:
    """Check that a module computes what torch's module of its kind computes."""
    kinds: tuple[type[nn.Module], ...] = (
        (nn.Embedding,) if name.startswith("embeddings.") else (nn.Linear,)
    )
    kinds = (nn.RNN, nn.GRU, nn.LSTM) if name == "rnn" else kinds
    kind = next((kind for kind in kinds if isinstance(module, kind)), None)
    if kind is None:
        raise BundleError(
            f"{name} is {type(module).__name__}; it must be an nn.{kinds[0].__name__}"
        )
    if type(module).forward is not kind.forward:
        raise BundleError(
            f"{name} is {type(module).__name__}, which has a forward of its own; only what an "
            f"nn.{kind.__name__} computes can be imported"
        )
    hooks = (module._forward_hooks, module._forward_pre_hooks)  # noqa: SLF001  # torch names them nowhere else
    if any(hooks) or is_parametrized(module):
        raise BundleError(
            f"{name} has a hook or a parametrization, such as weight_norm or pruning, which changes "
            "its numbers when it is called; remove it, for example with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        raise BundleError(
            f"{name} has max_norm, which changes its table when it is read; train without it"
        )
