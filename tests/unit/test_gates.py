"""Gates: computed again from the weights, they reproduce the step that they explain."""

import numpy as np
import pytest
import torch

from stream_rnn.trace.gates import GATES, gates_of
from tests import models

KINDS = ("elman", "gru", "lstm", "none")
SIGMOID = {"r", "z", "i", "f", "o"}


def drawn(model, count, seed=1):
    """Draw encoded events and hidden states before them."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(0, 2, (count, model.feature_count)).astype(np.float32))
    at = model.encoder.names.index("kind")
    x[:, at] = torch.from_numpy(rng.integers(0, 3, count).astype(np.float32))
    h = rng.normal(0, 0.5, (count, *model.hidden_shape)).astype(np.float32)
    return x, torch.from_numpy(h)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_gates_reproduce_the_step(kind, layers):
    """The h that they make is the step's, within the rounding of float32."""
    model = models.small(kind, 24, layers)
    x, h = drawn(model, 50)
    found, after = gates_of(model, x, h)
    _, stepped = model.step(x, h)
    assert torch.allclose(after, stepped, rtol=0, atol=2e-6)
    assert kind == "none" or not torch.allclose(h, stepped, atol=0.1)
    assert list(found) == list(GATES[kind])
    for name, values in found.items():
        assert values.shape == (50, layers, 24)
        low = 0 if name in SIGMOID else -1
        assert low <= values.min() < values.max() <= 1
        assert name in SIGMOID or values.min() < 0


def test_the_cell_reads_plain_columns_then_embeddings_then_padding():
    """Each category's index stands for its row of the table; the width is a multiple of 8."""
    model = models.small("gru", 8, 2)
    x, _ = drawn(model, 7)
    at = model.encoder.names.index("kind")
    plain = torch.cat([x[:, :at], x[:, at + 1 :]], 1)
    (table,) = model.network.embeddings
    wanted = torch.cat([plain, table.weight[x[:, at].long()]], 1)
    given = model.network.cell_inputs(x)
    assert torch.equal(given[:, : wanted.shape[1]], wanted)
    assert given.shape[1] % 8 == 0
    assert not given[:, wanted.shape[1] :].any()


@pytest.mark.parametrize(("bias", "kept"), [(40.0, True), (-40.0, False)])
def test_an_update_gate_says_how_much_is_kept(bias, kept):
    """With z at 1 a GRU keeps what it had; with z at 0 nothing of it but through n."""
    model = models.small.__wrapped__("gru", 8)
    with torch.no_grad():
        model.network.cell.bias_ih_l0[8:16] = bias
    x, h = drawn(model, 20)
    found, after = gates_of(model, x, h)
    assert torch.allclose(found["z"], torch.full((20, 1, 8), float(kept)))
    assert torch.allclose(after, h if kept else found["n"])


def test_a_closed_forget_gate_drops_what_was_remembered():
    """With f at 0 the new c of an LSTM is i times g alone."""
    model = models.small.__wrapped__("lstm", 8)
    with torch.no_grad():
        model.network.cell.bias_ih_l0[8:16] = -40.0
    x, h = drawn(model, 20)
    found, after = gates_of(model, x, h)
    assert torch.allclose(after[:, 1], found["i"] * found["g"])
    assert torch.allclose(after[:, 0], found["o"] * torch.tanh(after[:, 1]))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_the_gates_of_an_event_do_not_depend_on_others(kind):
    """Alone, among three and among two hundred they have the same bits."""
    model = models.small(kind, 48, 2)
    x, h = drawn(model, 200)
    together, _ = gates_of(model, x, h)
    for rows in (slice(0, 1), slice(5, 8), slice(100, 150)):
        some, _ = gates_of(model, x[rows], h[rows])
        for name, values in some.items():
            assert torch.equal(values, together[name][rows]), name
