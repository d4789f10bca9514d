"""Cells: shapes, and that they compute what their papers and torch say."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from stream_rnn.model.cells import CellSpec, make_cell, run_cell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests import models

REMEMBERING = ("elman", "gru", "lstm")


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"hidden": 4104}, {"layers": 0}, {"layers": 5}, {"kind": "rnn"}]
)
def test_a_cell_out_of_bounds_is_refused(wrong):
    """Every size has a bound."""
    with pytest.raises(ValidationError):
        CellSpec(**wrong)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("elman", (2, 8)), ("gru", (2, 8)), ("lstm", (2, 2, 8)), ("none", (0, 0))],
)
def test_the_hidden_state_of_a_key_has_its_shape(kind, shape):
    """Before a step and after it."""
    model = models.small(kind, 8, 2)
    h = model.initial_hidden(3)
    y, new = model.step(torch.ones(3, model.feature_count), h)
    assert model.hidden_shape == shape
    assert h.shape == new.shape == (3, *shape)
    assert y.shape == (3, model.output_count)
    assert model.hidden_size_floats == int(np.prod(shape))


def elman(cell, x, h):
    """Step an Elman cell as its equation reads."""
    return np.tanh(
        cell["weight_ih_l0"] @ x
        + cell["bias_ih_l0"]
        + cell["weight_hh_l0"] @ h
        + cell["bias_hh_l0"]
    )


def gates(cell, x, h, count):
    """Return the input's and the hidden state's parts of each gate."""
    from_x = np.split(cell["weight_ih_l0"] @ x + cell["bias_ih_l0"], count)
    return from_x, np.split(cell["weight_hh_l0"] @ h + cell["bias_hh_l0"], count)


def sigmoid(value):
    """Return the logistic function."""
    return 1 / (1 + np.exp(-value))


def gru(cell, x, h):
    """Step a GRU as torch orders its gates: reset, update, new."""
    (rx, zx, nx), (rh, zh, nh) = gates(cell, x, h, 3)
    update = sigmoid(zx + zh)
    return (1 - update) * np.tanh(nx + sigmoid(rx + rh) * nh) + update * h


def lstm(cell, x, h):
    """Step an LSTM as torch orders its gates: input, forget, cell, output; h is (h, c)."""
    from_x, from_h = gates(cell, x, h[0], 4)
    enter, forget, new, leave = (a + b for a, b in zip(from_x, from_h, strict=True))
    memory = sigmoid(forget) * h[1] + sigmoid(enter) * np.tanh(new)
    return np.stack([sigmoid(leave) * np.tanh(memory), memory])


@pytest.mark.parametrize(("kind", "by_hand"), [("elman", elman), ("gru", gru), ("lstm", lstm)])
def test_a_cell_computes_its_equation(kind, by_hand):
    """Twenty steps of one layer equal the equations in float64, but for rounding."""
    torch.manual_seed(3)
    spec = CellSpec(kind=kind, hidden=8)
    cell = make_cell(spec, 8)
    tensors = {name: t.detach().double().numpy() for name, t in cell.named_parameters()}
    x = torch.randn(20, 1, 8)
    with torch.inference_mode():
        out, new = run_cell(cell, x, torch.zeros(1, *spec.hidden_shape))
    h = np.zeros((2, 8) if kind == "lstm" else 8)
    for t in range(20):
        h = by_hand(tensors, x[t, 0].double().numpy(), h)
        top = h[0] if kind == "lstm" else h
        assert out[t, 0].numpy() == pytest.approx(top, abs=1e-5)
    assert new.numpy().reshape(h.shape) == pytest.approx(h, abs=1e-5)


@pytest.mark.parametrize("kind", REMEMBERING)
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_top_layers_state_is_the_output(kind, layers):
    """Layers stand in the hidden state from the first to the top one."""
    torch.manual_seed(layers)
    spec = CellSpec(kind=kind, hidden=8, layers=layers)
    with torch.inference_mode():
        out, h = run_cell(
            make_cell(spec, 8), torch.randn(5, 3, 8), torch.zeros(3, *spec.hidden_shape)
        )
    top = h[:, 0, -1] if kind == "lstm" else h[:, -1]
    assert torch.equal(top, out[-1])


@pytest.mark.parametrize("kind", REMEMBERING)
def test_a_cell_that_remembers_depends_on_the_past(kind):
    """The same event after another past has another output."""
    model = models.small(kind)
    x = torch.ones(2, 3, model.feature_count)
    x[1, 0, 0] = -1.0
    y, h = model.forward(x, model.initial_hidden(2))
    assert not torch.equal(y[0, 2], y[1, 2])
    assert not torch.equal(h[0], h[1])


@pytest.mark.parametrize("name", ["type", "keys", "float", "forward", "training"])
def test_a_category_may_have_any_name(name):
    """Also one that a torch module has for something else."""
    kind = {"name": name, "kind": "categorical", "path": "k", "vocabulary": ["A", "B"]}
    spec = FeatureSpec.model_validate({**models.SPEC, "features": [kind]})
    model = Model.initialize(spec, CellSpec(hidden=8))
    words, h = torch.tensor([[0.0], [1.0], [2.0]]), model.initial_hidden(3)
    assert len(torch.unique(model.step(words, h)[0], dim=0)) == 3


def test_the_memoryless_baseline_does_not_depend_on_the_past():
    """The same event after another past has the same output, to the bit."""
    model = models.small("none", 8, 2)
    x = torch.ones(2, 3, model.feature_count)
    x[1, 0, 0] = -1.0
    y, h = model.forward(x, model.initial_hidden(2))
    assert not torch.equal(y[0, 0], y[1, 0])
    assert torch.equal(y[0, 2], y[1, 2])
    assert h.shape == (2, 0, 0)
