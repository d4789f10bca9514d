"""``import_weights``: networks that plain torch has trained give their own outputs as bundles."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stream_rnn import Model, import_weights, load_bundle, save_bundle
from stream_rnn.cli import main
from stream_rnn.errors import BundleError, ConfigError, SpecError
from stream_rnn.model.bundle import read_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.weights import compare
from tests import plain_networks
from tests.house_rules import ROOT

SIZES = [5, 50, 100]
KINDS = ["RNN", "GRU", "LSTM"]


@pytest.fixture
def folder(tmp_path):
    """Return a directory with the files of a trained GRU."""
    plain_networks.write(tmp_path)
    return tmp_path


def state_dict(folder):
    """Read the state dict of a directory."""
    return torch.load(folder / "weights.pt", weights_only=True)  # noqa: TID251  # as people do


def run(folder, **options):
    """Import the weights of a directory."""
    options.setdefault("check", folder / "reference.npz")
    weights = options.pop("weights", folder / "weights.pt")
    return import_weights(folder / "spec.toml", weights, folder / "bundle", **options)


def refusal(folder, error=BundleError, **options):
    """Return the message with which an import is refused, which writes nothing."""
    with pytest.raises(error) as refused:
        run(folder, **options)
    assert not (folder / "bundle").exists()
    assert not list(folder.glob(".bundle*"))
    return str(refused.value)


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no-biases"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_has_the_outputs_of_the_network(tmp_path, kind, hidden, layers, bias):
    """At every step, for raw events and for encoded inputs."""
    network = plain_networks.write(tmp_path, kind, hidden, layers, bias=bias)
    bundle = run(tmp_path)
    rows = plain_networks.events(1, 30, seed=2)
    plain, carrier = plain_networks.encoded(rows)
    expected = network(plain[None], carrier[None]).detach()
    model = load_bundle(tmp_path / "bundle")
    x = torch.cat([plain[:, :1], carrier[:, None], plain[:, 1:]], dim=1)
    h, steps = model.initial_hidden(1), []
    for row in x:
        y, h = model.step(row[None], h)
        steps.append(y)
    assert torch.allclose(torch.stack(steps, 1), expected, atol=1e-5)
    assert bundle.model.fingerprint == model.fingerprint
    assert bundle.comparison.compared == 96
    assert bundle.comparison.largest <= 1e-5


def test_modules_become_a_model(folder):
    """Without a file, and the same model."""
    spec = FeatureSpec.read(folder / "spec.toml")
    network = plain_networks.write(folder)
    model = Model.from_torch(spec, network.rnn, network.out, {"carrier": network.carriers})
    assert model.fingerprint == run(folder).model.fingerprint
    save_bundle(model, folder / "other")
    assert load_bundle(folder / "other").fingerprint == model.fingerprint


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rnn": nn.GRU(5, 16, bidirectional=True)}, "bidirectional"),
        ({"rnn": nn.LSTM(5, 16, proj_size=8)}, "projection"),
        ({"rnn": nn.RNN(5, 16, nonlinearity="relu")}, "relu"),
        ({"rnn": nn.Linear(5, 16)}, "rnn is Linear"),
        ({"head": nn.Bilinear(16, 16, 2)}, "must be an nn.Linear"),
        ({"embeddings": {"carrier": nn.Embedding(4, 3, max_norm=1.0)}}, "max_norm"),
        ({"embeddings": {}}, "--map embeddings.carrier"),
        ({"embeddings": {"carrier": nn.Embedding(7, 3)}}, "(3, 3) or (4, 3)"),
        ({"rnn": nn.GRU(4, 16)}, "reads 4 inputs"),
        ({"head": nn.Linear(16, 3)}, "(2, 16)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_module_of_another_kind_is_refused(change, expected):
    """By a sentence that names it."""
    spec = FeatureSpec.parse(plain_networks.spec_content(), "spec")
    modules = {"rnn": nn.GRU(5, 16), "head": nn.Linear(16, 2)}
    modules["embeddings"] = {"carrier": nn.Embedding(4, 3)}
    with pytest.raises(BundleError) as refused:
        Model.from_torch(spec, **modules | change)
    assert expected in str(refused.value)


def test_the_provenance_names_the_file(folder):
    """With its digest, and the name of each part in it."""
    run(folder)
    provenance = read_bundle(folder / "bundle").provenance
    assert provenance["imported"] == "weights.pt"
    assert len(provenance["sha256"]) == 64
    assert provenance["mapping"]["embeddings.carrier.weight"] == "carriers.weight"
    assert provenance["inputs"] == ["delay", "carrier", "cancelled"]
    assert provenance["check"]["outputs"] == 96


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_safetensors_are_read(folder, dtype):
    """Whatever their floats."""
    state = state_dict(folder)
    save_file({n: t.to(dtype) for n, t in state.items()}, folder / "weights.safetensors")
    assert run(folder, weights=folder / "weights.safetensors").comparison.largest <= 1e-5


def test_a_checkpoint_with_a_state_dict_is_read(folder):
    """Under one of the usual names."""
    state = state_dict(folder)
    torch.save({"epoch": 3, "state_dict": state}, folder / "weights.pt")
    assert run(folder).comparison.compared == 96


def saved(folder, change):
    """Write the state dict again, changed."""
    state = state_dict(folder)
    torch.save(change(dict(state)), folder / "weights.pt")


def renamed(state, **names):
    """Return a state dict with other names of modules."""
    for old, new in names.items():
        state = {
            (new + n.removeprefix(old) if n.split(".")[0] == old else n): t
            for n, t in state.items()
        }
    return state


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda s: renamed(s, rnn="model.a.gru", out="fc", carriers="e"), {}),
        (lambda s: renamed(s, carriers="carrier_embedding"), {}),
        (
            lambda s: s | {"old.weight_ih_l0": s["rnn.weight_ih_l0"]},
            {"mapping": {"cell": "rnn"}, "ignore": ["old"]},
        ),
        (
            lambda s: s | {"twin.weight": s["out.weight"], "twin.bias": s["out.bias"]},
            {"mapping": {"head": "out"}, "ignore": ["twin.weight", "twin.bias"]},
        ),
        (
            lambda s: s | {"twin.weight": s["carriers.weight"]},
            {"mapping": {"embeddings.carrier": "carriers"}, "ignore": ["twin"]},
        ),
        (
            lambda s: {n.replace("rnn.", "cell_").replace("_l0", ""): t for n, t in s.items()},
            {},
        ),
        (
            lambda s: {
                n if n[:2] != "rn" else n.removeprefix("rnn.")[::-1]: t for n, t in s.items()
            },
            {
                "mapping": {
                    f"cell.{n}_l0": f"{n}_l0"[::-1]
                    for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
            },
        ),
        (
            lambda s: (
                {n: t for n, t in s.items() if n[:3] != "out"}
                | {"late.weight": s["out.weight"][:1], "late.bias": s["out.bias"][:1]}
                | {"next_delay.weight": s["out.weight"][1:], "next_delay.bias": s["out.bias"][1:]}
            ),
            {},
        ),
        (
            lambda s: (
                {n: t for n, t in s.items() if n[:3] != "out"}
                | {"a.weight": s["out.weight"][:1], "a.bias": s["out.bias"][:1]}
                | {"b.weight": s["out.weight"][1:], "b.bias": s["out.bias"][1:]}
            ),
            {"mapping": {"head.late": "a", "head.next_delay": "b"}},
        ),
    ],
    ids=[
        "prefix",
        "word",
        "two-cells",
        "two-heads",
        "two-tables",
        "cell",
        "tensors",
        "heads",
        "map",
    ],
)
def test_parts_are_found_or_named(folder, change, options):
    """By their usual suffixes, the name of a feature or head, their shape, or a mapping."""
    saved(folder, change)
    assert run(folder, **options).comparison.compared == 96


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s | {"fc1.weight": torch.ones(3, 4)}, ["fc1.weight (3, 4)", "--ignore fc1"]),
        (
            lambda s: {n: t for n, t in s.items() if n[:3] != "out"},
            [
                "0 matrices have the shape (1, 16)",
                "or (2, 16)",
                "--map head",
                "Needed",
                "rnn.weight_hh_l0 (48, 16)",
            ],
        ),
        (
            lambda s: {n: t for n, t in s.items() if n[:3] != "rnn"},
            ["no recurrent layer", "--map cell=MODULE"],
        ),
        (
            lambda s: s | {"b.weight_ih_l0": torch.ones(3, 4)},
            ["--map cell=rnn", "--map cell=b"],
        ),
        (
            lambda s: {n: t for n, t in s.items() if n != "rnn.bias_hh_l0"},
            ["no tensor for cell.bias_hh_l0"],
        ),
        (lambda s: s | {"rnn.weight_ih_l0_reverse": torch.ones(48, 5)}, ["bidirectional"]),
        (lambda s: s | {"rnn.weight_hr_l0": torch.ones(8, 16)}, ["projection"]),
        (lambda s: s | {"twin.weight": s["carriers.weight"]}, ["table of carrier is not clear"]),
        (lambda s: s | {"carriers.weight": torch.ones(9, 3)}, ["(3, 3) or (4, 3)", "(9, 3)"]),
        (
            lambda s: s | {"rnn.weight_ih_l0": torch.ones(48, 4)},
            ["4 inputs", "carrier (3)", "--inputs"],
        ),
        (lambda s: s | {"rnn.weight_hh_l0": torch.ones(47, 16)}, ["(47, 16)", "nn.GRU"]),
        (lambda s: s | {"out.bias": torch.tensor([1.0, float("nan")])}, ["not finite"]),
        (lambda s: s | {"out.bias": torch.tensor([1, 2])}, ["not dense floats"]),
        (lambda s: {n: t for n, t in s.items() if not n}, ["no tensor"]),
        (list, ["no state dict"]),
    ],
)
def test_what_is_missing_or_too_much_is_named(folder, change, expected):
    """With its shape, and the option that helps."""
    saved(folder, change)
    message = refusal(folder)
    assert [part for part in expected if part not in message] == [], message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mapping": {"wheel": "rnn"}}, "--map wheel"),
        ({"mapping": {"cell": "wheel"}}, "--map cell=wheel names no tensor"),
        ({"mapping": [("head", "out"), ("head.weight", "carriers.weight")]}, "named twice"),
        ({"ignore": ["wheel"]}, "--ignore wheel"),
        ({"inputs": ["delay", "wheel"]}, "--inputs wheel"),
        ({"inputs": ["delay", "delay"]}, "twice"),
        ({"inputs": ["delay", "cancelled"]}, "are 2"),
        ({"nonlinearity": "relu"}, "relu cannot be imported"),
    ],
)
def test_an_option_that_names_nothing_is_refused(folder, options, expected):
    """By its name."""
    assert expected in refusal(folder, **options)


def test_an_existing_directory_is_not_replaced(folder):
    """Not even by the same bundle."""
    run(folder)
    with pytest.raises(ConfigError, match="exists, and an import replaces nothing"):
        run(folder)


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


def test_an_event_that_is_none_is_refused(folder):
    """Its outputs would belong to another event."""
    rows = plain_networks.events()
    rows[5]["delay"] = "late"
    texts = [json.dumps(row) for row in rows]
    reference(folder, events=texts, y=np.zeros((len(rows), 2)))
    assert "event 5 is no valid event" in refusal(folder)


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    """As it stands there."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "stream_rnn/model/README.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "gru.pt" in c)
    exec(code, {})
    assert load_bundle(tmp_path / "bundles/mine").cell.hidden == 50


def test_the_command_prints_what_it_assumes(folder, capsys):
    """The names of the parts, the order of the inputs, and the comparison."""
    options = [f"--{name}={folder / file}" for name, file in FILES.items()]
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "import", *options])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "cell.weight_ih_l0 = rnn.weight_ih_l0" in text
    assert "in its order: delay, carrier (3), cancelled\n" in text
    assert "96 outputs are those of your own code" in text
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "import", *options[:-1], f"--out={folder / 'other'}", "--map", "cell"])
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "import", *options[:-1], f"--out={folder / 'other'}", "--json"])
    assert json.loads(capsys.readouterr().out)["compared"] == 96


FILES = {
    "spec": "spec.toml",
    "weights": "weights.pt",
    "check": "reference.npz",
    "out": "bundle",
}
