"""``import_weights``: networks that plain torch has trained give their own outputs as bundles."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.prune import random_unstructured

from stream_rnn import Model, load_bundle, save_bundle
from stream_rnn.cli import main
from stream_rnn.errors import BundleError, ConfigError
from stream_rnn.model.bundle import read_bundle
from stream_rnn.model.features import FeatureSpec
from tests import plain_networks
from tests.house_rules import ROOT
from tests.imported_weights import refusal, run, saved, state_dict

SIZES = [5, 50, 100]


KINDS = ["RNN", "GRU", "LSTM"]


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


class Doubled(nn.GRU):
    """A GRU whose outputs are doubled."""

    def forward(self, x, h=None):
        """Return the outputs and the state."""
        y, h = super().forward(x, h)
        return 2 * y, h


class Rectified(nn.Linear):
    """A linear layer with a nonlinearity."""

    def forward(self, x):
        """Return the outputs."""
        return super().forward(x).relu()


def hooked(module):
    """Return a module with a hook that changes its outputs."""
    module.register_forward_hook(lambda _module, _inputs, y: 3 * y)
    return module


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rnn": nn.GRU(5, 16, bidirectional=True)}, "bidirectional"),
        ({"rnn": nn.LSTM(5, 16, proj_size=8)}, "projection"),
        ({"rnn": nn.RNN(5, 16, nonlinearity="relu")}, "relu"),
        ({"rnn": nn.Linear(5, 16)}, "rnn is Linear"),
        ({"head": nn.Bilinear(16, 16, 2)}, "must be an nn.Linear"),
        ({"embeddings": {"carrier": nn.Embedding(4, 3, max_norm=1.0)}}, "max_norm"),
        ({"embeddings": {}}, "embeddings lacks carrier"),
        ({"embeddings": None}, "embeddings lacks carrier"),
        (
            {"embeddings": {"carrier": nn.Embedding(4, 3), "wheel": nn.Embedding(4, 3)}},
            "embeddings has wheel, which the spec has not",
        ),
        ({"head": {"late": nn.Linear(16, 1)}}, "head lacks next_delay"),
        ({"rnn": nn.GRU(5, 16, 5)}, "5 layers"),
        ({"rnn": nn.GRU(5, 16, device="meta")}, "no numbers"),
        ({"rnn": Doubled(5, 16)}, "rnn is Doubled, which has a forward of its own"),
        ({"head": Rectified(16, 2)}, "head is Rectified, which has a forward of its own"),
        ({"head": hooked(nn.Linear(16, 2))}, "has a hook or a parametrization"),
        ({"head": weight_norm(nn.Linear(16, 2))}, "remove_parametrizations"),
        ({"head": random_unstructured(nn.Linear(16, 2), "weight", 0.5)}, "has a hook"),
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
        ({"mapping": {"head.wheel": "out"}}, "the spec has no head wheel; it has late, next_delay"),
        ({"mapping": {"embeddings.wheel": "carriers"}}, "no categorical feature wheel"),
        (
            {"mapping": {"embeddings.delay.weight": "carriers.weight"}},
            "no categorical feature delay",
        ),
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [("weight_ih_l0_reverse", "bidirectional"), ("weight_hr_l0", "projection")],
)
def test_a_module_that_is_named_is_looked_at_as_well(folder, name, expected):
    """What its tensors say of it is no matter of how it was found."""
    saved(folder, lambda state: state | {f"rnn.{name}": torch.ones(48, 5)})
    assert expected in refusal(folder, mapping={"cell": "rnn"})


def test_an_existing_directory_is_not_replaced(folder):
    """Not even by the same bundle."""
    run(folder)
    with pytest.raises(ConfigError, match="exists, and an import replaces nothing"):
        run(folder)


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
