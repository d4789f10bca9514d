"""Hidden sizes that are no multiples of 8: computed with padding that is zero, stored without it."""

import sys
from subprocess import run

import numpy as np
import pytest
import torch
from torch import nn

from stream_rnn.model import tiles
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.model.cells import CellSpec, chrono_init_, make_cell, run_cell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network
from stream_rnn.model.tiles import TILES, tile_rows
from stream_rnn.store.state import StateCodec
from stream_rnn.trace.gates import gates_of
from stream_rnn.training.checkpoint import Checkpoint
from tests import models
from tests.unit.test_steps import events, memories, same_bits

TORCH = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
KINDS = (*TORCH, "none")
SIZES = (1, 5, 50, 100)


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_cell_of_any_size_is_torchs_own(kind, hidden, layers):
    """With the tensors of torch's module, under its names and in its shapes."""
    torch.manual_seed(hidden)
    spec = CellSpec(kind=kind, hidden=hidden, layers=layers)
    theirs, ours = TORCH[kind](16, hidden, layers), make_cell(spec, 16)
    ours.load_state_dict(theirs.state_dict())
    x, h = torch.randn(20, 8, 16), torch.randn(8, *spec.hidden_shape)
    with torch.inference_mode():
        out, new = run_cell(ours, x, h)
        given = h.movedim(0, -2).contiguous()
        expected, after = theirs(x, tuple(given) if kind == "lstm" else given)
    after = torch.stack(after) if kind == "lstm" else after
    assert torch.allclose(out, expected, rtol=0, atol=1e-6)
    assert torch.allclose(new, after.movedim(-2, 0), rtol=0, atol=1e-6)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", SIZES)
def test_an_initial_network_is_that_of_torch(kind, hidden):
    """Weights are within torch's bound for this size, which they reach, and none is forgotten."""
    torch.manual_seed(1)
    cell = make_cell(CellSpec(kind=kind, hidden=hidden, layers=2), 16)
    numbers = torch.cat([t.flatten() for n, t in cell.state_dict().items() if "0" not in n])
    assert 0.3 * hidden**-0.5 < numbers.abs().max() <= hidden**-0.5
    assert numbers.all()


def padding_of(network):
    """Return the numbers that are in the parameters of a network, but not in its tensors."""
    with_padding = torch.cat([p.detach().flatten() for p in network.parameters()])
    stored = torch.cat([t.flatten() for t in network.state_dict().values()])
    assert len(with_padding) > len(stored)
    assert with_padding.count_nonzero() == stored.count_nonzero()
    return len(with_padding) - len(stored)


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e6, 1e30, 3e38])
@pytest.mark.parametrize("hidden", SIZES)
def test_padding_stays_at_exactly_zero(kind, scale, hidden):
    """For inputs and states of any size, over many steps, unless the step is not finite."""
    torch.manual_seed(4)
    spec = CellSpec(kind=kind, hidden=hidden, layers=2)
    cell = make_cell(spec, 16)
    with torch.inference_mode():
        for parameter in cell.parameters():
            parameter.mul_(3)
        x = torch.randn(50, 8, 16).clamp(-1, 1) * scale
        h = torch.zeros(2, 8, cell.hidden_size)
        h[..., :hidden] = torch.randn(2, 8, hidden).clamp(-1, 1) * scale
        out, new = cell(x, (h, h.clone())) if kind == "lstm" else cell(x, h)
    new = torch.stack(new) if kind == "lstm" else new
    assert cell.hidden_size % 8 == 0
    for values in (out, new):
        is_finite = values[..., :hidden].isfinite().all(dim=-1)
        assert not values[is_finite][..., hidden:].any()
        assert is_finite.all() or scale > 1e30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_training_leaves_the_padding_at_zero(kind, decay):
    """Its gradient is zero, so a trained network computes what its stored tensors say."""
    torch.manual_seed(5)
    network = Network(
        FeatureSpec.model_validate(models.SPEC), CellSpec(kind=kind, hidden=5, layers=2)
    )
    network.set_dropout(0.2)
    chrono_init_(network.cell, 50)
    count = padding_of(network)
    rng = np.random.default_rng(1)
    model = models.small(kind, 5, 2)
    optimizer = torch.optim.AdamW(network.parameters(), 0.05, weight_decay=decay)
    for _ in range(20):
        y, _ = network(events(rng, model, 12, 8), memories(rng, model, 8))
        optimizer.zero_grad()
        y.square().sum().backward()
        optimizer.step()
    assert padding_of(network) == count
    checkpoint = Checkpoint.take(network, None, {}, optimizer, 1.0, 0, 1)
    again = Network(model.spec, model.cell)
    checkpoint.restore(again, None, torch.optim.AdamW(again.parameters(), 0.05))
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_bits_of_a_row_depend_on_nothing_else(kind, hidden, layers, monkeypatch):
    """Neither on batch, order and fill, nor on cuts of the sequence, nor on the tile."""
    rng = np.random.default_rng(hidden)
    model = models.small(kind, hidden, layers)
    x, h = events(rng, model, 20, 3), memories(rng, model, 20)
    alone = [model.forward(x[i : i + 1], h[i : i + 1]) for i in range(20)]
    assert model.hidden_shape[-1] == (0 if kind == "none" else hidden)
    for rows in (rows for rows in TILES if rows >= tile_rows()):
        monkeypatch.setattr(tiles, "tile_rows", lambda rows=rows: rows)
        for size in (20, 33, 75, 700):
            batch_x, batch_h = events(rng, model, size, 3), memories(rng, model, size) * 100
            places = rng.permutation(size)[:20]
            batch_x[places], batch_h[places] = x, h
            first, between = model.forward(batch_x[:, :2], batch_h)
            last, new = model.step(batch_x[:, 2], between)
            y = torch.cat([first, last[:, None]], dim=1)
            for i, place in enumerate(places.tolist()):
                assert same_bits(y[place].contiguous(), alone[i][0][0].contiguous())
                assert same_bits(new[place].contiguous(), alone[i][1][0].contiguous())


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_and_a_state_have_no_padding(kind, tmp_path):
    """The tensors of a bundle are torch's, and a state of 50 units has 16 + 4 * 50 bytes."""
    torch.manual_seed(2)
    model = Model.initialize(
        FeatureSpec.model_validate(models.SPEC), CellSpec(kind=kind, hidden=50)
    )
    saved = save_bundle(model, tmp_path)
    loaded = load_bundle(tmp_path)
    assert loaded.fingerprint == saved.fingerprint
    rng = np.random.default_rng(3)
    x, h = events(rng, model, 9), memories(rng, model, 9)
    for ours, theirs in zip(model.step(x, h), loaded.step(x, h), strict=True):
        assert same_bits(ours.contiguous(), theirs.contiguous())
    shapes = {n: tuple(t.shape) for n, t in loaded.network.state_dict().items()}
    assert shapes["head.weight"] == (model.output_count, 50)
    if kind != "none":
        assert shapes["cell.weight_hh_l0"][1] == 50
        numbers = 100 if kind == "lstm" else 50
        assert StateCodec(model.hidden_size_floats).state_bytes == 16 + 4 * numbers


@pytest.mark.parametrize("kind", TORCH)
def test_gates_are_those_of_the_units(kind):
    """A trace shows no padding."""
    rng = np.random.default_rng(6)
    model = models.small(kind, 5, 2)
    x, h = events(rng, model, 9), memories(rng, model, 9)
    gates, after = gates_of(model, x, h)
    assert torch.allclose(after, model.step(x, h)[1], rtol=0, atol=2e-6)
    assert all(gate.shape == (9, 2, 5) for gate in gates.values())


def test_loading_a_bundle_does_not_import_the_compiler_of_torch(tmp_path):
    """It would take seconds and about 100 MB."""
    model = Model.initialize(FeatureSpec.model_validate(models.SPEC), CellSpec(hidden=50))
    save_bundle(model, tmp_path)
    code = (
        "import sys; from stream_rnn import load_bundle; load_bundle(sys.argv[1]);"
        "sys.exit('torch._inductor' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    run([sys.executable, "-c", code, str(tmp_path)], check=True)
