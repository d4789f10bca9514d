"""Reference outputs: an import compares them, and names the cause of a difference."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from stream_rnn import import_weights
from stream_rnn.errors import BundleError, SpecError
from stream_rnn.model.weights import compare
from tests import plain_networks
from tests.imported_weights import refusal, run, saved


def reference(folder, **arrays):
    """Write a reference file of encoded inputs."""
    np.savez(folder / "reference.npz", **arrays)


def encoded_reference(network, planes=3, steps=10):
    """Return x (N, T, 3) and y (N, T, 2) of a network."""
    sequences = [plain_networks.encoded(plain_networks.events(1, steps, s)) for s in range(planes)]
    plain = torch.stack([p for p, _ in sequences])
    carrier = torch.stack([c for _, c in sequences])
    x = torch.cat([plain[..., :1], carrier[..., None], plain[..., 1:]], -1)
    return x.numpy(), network(plain, carrier).detach().numpy()


def test_encoded_inputs_are_compared(folder):
    """All steps, some, or the last one."""
    x, y = encoded_reference(plain_networks.write(folder))
    reference(folder, x=x, y=y)
    assert run(folder).comparison.compared == 60
    y[0, :5] = np.nan
    for number, arrays in enumerate([{"x": x, "y": y}, {"x": x, "y": y[:, -1]}]):
        reference(folder, **arrays)
        bundle = import_weights(
            folder / "spec.toml",
            folder / "weights.pt",
            folder / f"bundle{number}",
            check=folder / "reference.npz",
        )
        assert bundle.comparison.compared == (50, 6)[number]


def test_long_references_are_compared_in_blocks(folder, monkeypatch):
    """With the hidden state of the block before."""
    x, y = encoded_reference(plain_networks.write(folder), planes=7, steps=20)
    reference(folder, x=x, y=y)
    monkeypatch.setattr(compare, "BLOCK_STEPS", 3)
    monkeypatch.setattr(compare, "BLOCK_NUMBERS", 100)
    assert run(folder).comparison.compared == 280


def permuted(state, order):
    """Return a state dict with the gates in another order."""
    parts = {n: t.chunk(len(order)) for n, t in state.items() if n.startswith("rnn.")}
    return state | {n: torch.cat([chunks[i] for i in order]) for n, chunks in parts.items()}


CAUSES = {
    "gates": ("GRU", lambda s: permuted(s, (1, 0, 2)), None, "gates are in the order z, r, n"),
    "lstm": ("LSTM", lambda s: permuted(s, (0, 3, 1, 2)), None, "order i, o, f, g"),
    "inputs": (
        "GRU",
        lambda s: s | {"rnn.weight_ih_l0": s["rnn.weight_ih_l0"][:, [0, 4, 1, 2, 3]]},
        None,
        "give --inputs delay,cancelled,carrier",
    ),
    "heads": (
        "GRU",
        lambda s: s | {n: s[n].flip(0) for n in ("out.weight", "out.bias")},
        None,
        "outputs are in the order next_delay, late",
    ),
    "bias": (
        "GRU",
        lambda s: (
            s | {n: t + 0.5 for n, t in s.items() if "bias_ih" in n and t.zero_() is not None}
        ),
        None,
        "does not add bias_ih",
    ),
    "sigmoid": ("GRU", None, lambda x, y: (x, heads_of(y)), "after sigmoid"),
    "time": ("GRU", None, lambda x, y: (x.swapaxes(0, 1), y.swapaxes(0, 1)), "time first"),
    "scaling": ("GRU", None, lambda x, y: (x * [30, 1, 1] + [12.5, 0, 0], y), "before scaling"),
    "stateless": ("GRU", None, lambda x, _y: (x, stateless(x)), "every step with a hidden state"),
    "stateful": ("GRU", None, lambda x, _y: (x, joined(x)), "one hidden state for all"),
    "other": ("GRU", None, lambda x, y: (x, y + 1), "no usual mistake"),
}


def network_of(x):
    """Return the outputs (N, T, 2) of the network that the tests train, for x (N, T, 3)."""
    torch.manual_seed(5)
    network = plain_networks.train(plain_networks.Plain(), plain_networks.events())
    x = torch.from_numpy(x)
    return network(x[..., [0, 2]], x[..., 1].long()).detach().numpy()


def stateless(x):
    """Return outputs of single steps."""
    return network_of(x.reshape(-1, 1, 3)).reshape(*x.shape[:2], 2)


def joined(x):
    """Return outputs of one sequence."""
    return network_of(x.reshape(1, -1, 3)).reshape(*x.shape[:2], 2)


def heads_of(y):
    """Return outputs after the heads of the spec."""
    return np.stack([1 / (1 + np.exp(-y[..., 0])), y[..., 1] * 30 + 12.5], -1)


@pytest.mark.parametrize(("kind", "change", "rewrite", "expected"), CAUSES.values(), ids=CAUSES)
def test_the_cause_of_a_difference_is_named(tmp_path, kind, change, rewrite, expected):
    """With the first output that differs."""
    network = plain_networks.write(tmp_path, kind)
    if change:
        saved(tmp_path, change)
    if expected.startswith("does not add"):  # the file has biases that the code does not add
        with torch.no_grad():
            network.rnn.bias_ih_l0.zero_()
    x, y = encoded_reference(network)
    reference(tmp_path, **dict(zip("xy", rewrite(x, y) if rewrite else (x, y), strict=True)))
    message = refusal(tmp_path)
    assert expected in message
    assert "the first is sequence" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("std = 30}\n\n[[features]]", "std = 900}\n\n[[features]]", "std of delay is a variance"),
        ("mean = 12.5, std = 30}\n\n[[f", "mean = 12.5, std = 29}\n\n[[f", "no usual mistake"),
    ],
)
def test_a_wrong_scaling_is_named_as_the_cause(folder, old, new, expected):
    """For raw events, which the spec scales."""
    assert plain_networks.SPEC.count(old) == 1
    (folder / "spec.toml").write_text(plain_networks.SPEC.replace(old, new))
    message = refusal(folder)
    assert expected in message
    assert re.search(r"the first is event \d+ \(step 0 of its key\)", message)


def test_a_network_that_scales_nothing_is_named(folder):
    """Its spec says that it does."""
    network = plain_networks.write(folder)
    rows = plain_networks.events(2, 6)
    y = np.zeros((len(rows), 2))
    for plane in ("N0", "N1"):
        at = [i for i, row in enumerate(rows) if row["plane"] == plane]
        plain, carrier = plain_networks.encoded([rows[i] for i in at])
        plain[:, 0] = torch.tensor([rows[i]["delay"] for i in at])
        y[at] = network(plain[None], carrier[None])[0].detach().numpy()
    reference(folder, events=[json.dumps(row) for row in rows], y=y)
    assert 'reads delay without scaling: write scaling = "none"' in refusal(folder)


def test_relu_is_named_as_the_cause(tmp_path):
    """Of an nn.RNN whose file does not say it."""
    network = plain_networks.write(tmp_path, "RNN", 16, 2)
    network.rnn = nn.RNN(5, 16, 2, nonlinearity="relu", batch_first=True)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    x, y = encoded_reference(network)
    reference(tmp_path, x=x, y=y)
    assert "nonlinearity relu" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": np.zeros((1, 2, 3))}, "must contain y"),
        ({"y": np.zeros((1, 2))}, "either x or events"),
        ({"x": np.zeros((1, 2, 3)), "y": np.zeros((1, 2, 5))}, "(N, T, 2)"),
        ({"x": np.zeros((1, 2, 4)), "y": np.zeros((1, 2, 2))}, "x has 4 columns"),
        ({"x": np.full((1, 2, 3), 9.0), "y": np.zeros((1, 2, 2))}, "0 to 3"),
        ({"x": np.full((1, 2, 3), np.nan), "y": np.zeros((1, 2, 2))}, "x contains a number"),
        ({"x": np.zeros((1, 2, 3)), "y": np.full((1, 2, 2), np.nan)}, "nothing to compare"),
        ({"events": np.zeros(2), "y": np.zeros((2, 2))}, "texts of JSON"),
        ({"events": np.array(["{}"], object), "y": np.zeros((1, 2))}, "objects of Python"),
        ({"events": np.array(["{}"]), "y": np.zeros((1, 2))}, "no record of events"),
    ],
)
def test_a_reference_of_another_shape_is_refused(folder, arrays, expected):
    """With the shapes that it must have."""
    reference(folder, **arrays)
    assert expected in refusal(folder, (BundleError, SpecError))


def test_events_need_a_key_in_the_spec(folder):
    """The message names the reference, and no file that the user does not know."""
    plain_networks.write(folder)
    spec = folder / "spec.toml"
    spec.write_text(re.sub(r"(?m)^key = .*$", "", spec.read_text()))
    texts = [json.dumps(row) for row in plain_networks.events()]
    reference(folder, events=texts, y=np.zeros((len(texts), 2)))
    message = refusal(folder, SpecError)
    assert message.startswith(f"--check {folder / 'reference.npz'}: events need event.key in the")


def test_an_event_that_is_none_is_refused(folder):
    """Its outputs would belong to another event."""
    rows = plain_networks.events()
    rows[5]["delay"] = "late"
    texts = [json.dumps(row) for row in rows]
    reference(folder, events=texts, y=np.zeros((len(rows), 2)))
    assert "event 5 is no valid event" in refusal(folder)
