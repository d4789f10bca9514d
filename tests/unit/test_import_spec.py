"""What a feature spec must state, so that the weights of another network can be imported."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from stream_rnn import Model
from stream_rnn.errors import SpecError
from stream_rnn.model.features import FeatureSpec
from tests import plain_networks
from tests.imported_weights import refusal, run, saved


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('missing = "error"\nfitted = {mean = 12.5, std = 30}', 'missing = "error"', "mean = 12.5"),
        ('missing = "error"\nfitted = {mean = 12.5, std = 30}', "fitted = {mean = 1}", "delay"),
        ("above = 15", 'above = 15\n\n[[heads]]\nname = "wait"\nkind = "time_to_next"', "wait"),
        (
            'missing = "error"\nfitted = {mean = 12.5, std = 30}',
            'scaling = "minmax"\nfitted = {mean = 1, std = 2}',
            "min = 0, max = 100",
        ),
    ],
)
def test_a_scaling_that_is_not_stated_is_refused(folder, old, new, expected):
    """Because an import fits none; the message shows how to state it."""
    spec = plain_networks.SPEC
    assert old in spec
    (folder / "spec.toml").write_text(spec.replace(old, new, 1))
    message = refusal(folder, SpecError)
    assert expected in message
    assert "fitted = {" in message


@pytest.mark.parametrize("kind", ["hashed", "multi_categorical"])
def test_words_that_are_numbered_here_are_refused(folder, kind):
    """A table of the network cannot have their rows."""
    buckets = f'buckets = 3\nkind = "{kind}"'
    spec = plain_networks.SPEC.replace('vocabulary = ["AA", "UA", "DL"]', buckets)
    (folder / "spec.toml").write_text(spec.replace('kind = "categorical"\n', ""))
    message = refusal(folder, SpecError)
    assert (
        f'carrier: a network that was trained elsewhere has no rows for kind = "{kind}"' in message
    )
    assert 'kind = "categorical"' in message


def test_a_vector_and_quantiles_have_stated_scalings():
    """Each place is a column, in the order of the spec; quantiles are columns of the head."""
    fitted = [{"mean": 1.0, "std": 2.0}, {"mean": 0.0, "std": 4.0}]
    vector = {"name": "v", "kind": "vector", "path": "v", "length": 2, "missing": "error"}
    head = {"name": "q", "kind": "quantile", "path": "v2", "quantiles": [0.1, 0.9]}
    content = {"name": "plain", "features": [vector], "heads": [head]}
    gru, linear = nn.GRU(2, 5), nn.Linear(5, 2)
    with pytest.raises(SpecError, match=r"feature v: .*one for each place"):
        Model.from_torch(FeatureSpec.parse(content, "test"), rnn=gru, head=linear)
    vector["fitted"] = fitted
    with pytest.raises(SpecError, match="head q: the scaling of its target is not stated"):
        Model.from_torch(FeatureSpec.parse(content, "test"), rnn=gru, head=linear)
    head["fitted"] = {"mean": 0.0, "std": 1.0}
    model = Model.from_torch(FeatureSpec.parse(content, "test"), rnn=gru, head=linear)
    x, errors = model.encoder.encode({"v": [[3.0, 8.0]]}, np.zeros(1, np.int64))
    assert not errors
    y, _ = model.step(torch.from_numpy(x), model.initial_hidden(1))
    expected = linear(gru(torch.tensor([[[1.0, 2.0]]]))[0])[0]
    assert torch.allclose(y, expected, atol=1e-6)


def test_an_elman_cell_needs_its_nonlinearity(tmp_path):
    """A state dict does not contain it."""
    plain_networks.write(tmp_path, "RNN")
    assert "--nonlinearity tanh" in refusal(tmp_path, check=None)
    assert run(tmp_path, check=None, nonlinearity="tanh").model.cell.kind == "elman"


def test_columns_in_another_order(folder):
    """Are named, and those that are left out have no influence."""
    spec = plain_networks.SPEC.replace('missing = "error"\nfitted', "fitted", 1)
    spec = spec.replace('[[features]]\nname = "delay"', "MOVED", 1)
    head, _, rest = spec.partition("MOVED")
    first, _, others = rest.partition("\n\n")
    features, _, heads = others.partition("[[heads]]")
    delay = '[[features]]\nname = "delay"' + first + "\n\n"
    (folder / "spec.toml").write_text(f"{head}{features}{delay}[[heads]]{heads}")
    bundle = run(folder, inputs=["delay", "carrier", "cancelled"])
    assert "columns without influence: delay_missing" in bundle.notes


@pytest.mark.parametrize("row", ["first", "last", None])
def test_the_row_of_unknown_words(folder, row):
    """Is the first, the last, or zeros where the table has none."""
    table = {"last": lambda t: torch.roll(t, -1, 0), None: lambda t: t[1:]}.get(row, lambda t: t)
    saved(folder, lambda s: s | {"carriers.weight": table(s["carriers.weight"])})
    bundle = run(
        folder, unknown_row=row or "first", check=folder / "reference.npz" if row else None
    )
    tensor = bundle.model.network.embeddings[0].weight
    assert tensor.shape == (4, 3)
    assert bool((tensor[0] == 0).all()) == (row is None)
    if row == "last":
        shutil.rmtree(folder / "bundle")
        assert "give --unknown-row last" in refusal(folder)
