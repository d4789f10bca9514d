"""The cells of this package that are classes: their equations, and what they need."""

import json
import math

import numpy as np
import pytest
import torch

from stream_rnn.errors import CellError
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import make_cell, memoryless_cell, run_cell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.package_cells.spec import PackageCell
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.trace.gates import gates_named, gates_of
from tests import cell_classes, models, oracle
from tests.pages import blocks, read
from tests.pinned_cells import drawn_model

SINCE = 2  # the column of x with the time since the previous event


def sigmoid(value):
    """Return the logistic function."""
    return 1 / (1 + np.exp(-value))


def linear(t, name, x):
    """Return a linear layer."""
    return t[f"{name}.weight"] @ x + t[f"{name}.bias"]


def mingru(t, x, h):
    """Step a minGRU as its equation reads."""
    z = sigmoid(linear(t, "layers.0.update", x))
    return (1 - z) * h + z * linear(t, "layers.0.candidate", x)


def rg_lru(t, x, h):
    """Step an RG-LRU as its equation reads."""
    u = linear(t, "layers.0.inputs", x)
    r, i = (sigmoid(linear(t, f"layers.0.{name}", u)) for name in ("recurrence", "input"))
    a = sigmoid(t["layers.0.decay"]) ** (8 * r)
    return a * h + np.sqrt(1 - a**2) * (i * u)


def decay_gru(t, x, h):
    """Decay h, and step a GRU as torch orders its gates."""
    h = h * np.exp(-np.maximum(0, t["rate"] * x[SINCE] + t["offset"]))
    from_x = np.split(t["gru.weight_ih"] @ x + t["gru.bias_ih"], 3)
    from_h = np.split(t["gru.weight_hh"] @ h + t["gru.bias_hh"], 3)
    r, z = (sigmoid(from_x[i] + from_h[i]) for i in (0, 1))
    return (1 - z) * np.tanh(from_x[2] + r * from_h[2]) + z * h


@pytest.mark.parametrize(
    ("kind", "by_hand"), [("mingru", mingru), ("rg_lru", rg_lru), ("decay_gru", decay_gru)]
)
def test_a_cell_computes_its_equation(kind, by_hand):
    """Twenty steps equal the equations in float64, but for rounding."""
    torch.manual_seed(3)
    cell = make_cell(PackageCell.of(kind, {"hidden": 8}), 8, SINCE)
    tensors = {name: t.detach().double().numpy() for name, t in cell.named_parameters()}
    x, h = torch.randn(20, 1, 8), np.zeros(8)
    with torch.inference_mode():
        out, new = run_cell(cell, x, torch.zeros(1, 1, 8))
    for t in range(20):
        h = by_hand(tensors, x[t, 0].double().numpy(), h)
        assert out[t, 0].numpy() == pytest.approx(h, abs=1e-5)
    assert new[0, 0].numpy() == pytest.approx(h, abs=1e-5)


def test_an_rg_lru_begins_with_long_memories():
    """Its decay at r = 1 is drawn between 0.9 and 0.999."""
    torch.manual_seed(1)
    (layer,) = make_cell(PackageCell.of("rg_lru", {"hidden": 512}), 8).layers
    decay = torch.sigmoid(layer.decay.detach()) ** 8
    assert 0.9 - 1e-6 < decay.min() < 0.91
    assert 0.99 < decay.max() < 0.999 + 1e-6


def test_a_memory_that_decays_is_shorter_after_a_longer_time():
    """With the time that the encoder writes, whatever place the feature has."""
    model = drawn_model(PackageCell.of("decay_gru", {"hidden": 8}))
    at = [name for name in model.encoder.names if name != "kind"].index("since")
    assert model.network.cell.since_previous == at
    with torch.no_grad():
        model.network.cell.rate.fill_(0.5)
        model.network.cell.offset.fill_(0.0)
    x = torch.zeros(3, model.feature_count)
    x[:, model.encoder.names.index("since")] = torch.tensor([0.0, 1.0, 5.0])
    gates, after = gates_of(model, x, torch.ones(3, 1, 8))
    assert gates["d"][:, 0, 0].tolist() == pytest.approx([1, math.exp(-0.5), math.exp(-2.5)])
    assert torch.equal(after, model.step(x, torch.ones(3, 1, 8))[1])


def test_a_cell_that_reads_the_time_wants_the_feature():
    """The sentence says which."""
    features = [f for f in models.SPEC["features"] if f["kind"] != "since_previous"]
    spec = FeatureSpec.model_validate({**models.SPEC, "features": features})
    with pytest.raises(CellError, match='add a feature of kind "since_previous" to the spec'):
        Model.initialize(spec, PackageCell.of("decay_gru", {}))


@pytest.mark.parametrize("kind", ["mingru", "rg_lru", "decay_gru"])
def test_the_gates_have_the_shape_of_h(kind):
    """Of each layer, for any number of events."""
    more = {} if kind == "decay_gru" else {"layers": 2}
    model = drawn_model(PackageCell.of(kind, {"hidden": 16, **more}))
    x, h = torch.zeros(5, model.feature_count), model.initial_hidden(5)
    gates, _ = gates_of(model, x, h)
    assert list(gates) == list(gates_named(model))
    assert {gate.shape for gate in gates.values()} == {(5, more.get("layers", 1), 16)}


@pytest.mark.parametrize("kind", ["mingru", "rg_lru", "decay_gru"])
async def test_any_cut_into_batches_gives_what_the_oracle_gives(kind):
    """Irregular times, forgets and an expiry included; to the bit."""
    model = with_fingerprint(drawn_model(PackageCell.of(kind, {"hidden": 16})))
    settings = Settings.build(app="app", source="events", predictions="out", state_ttl=50)
    draw, records, at = np.random.default_rng(4), [], 0
    for offset in range(300):
        at += int(draw.exponential(3000))
        event = {"x": float(draw.normal()), "kind": "AB?"[draw.integers(3)]}
        key = b"key-%d" % draw.integers(7)
        records.append(record(offset, key, None if draw.random() < 0.03 else event, at))
    truth = oracle.fold(model, settings, records)
    for sizes in ([], [1] * 300, [7, 1, 90, 2]):
        log, store = MemoryLog(records), MemoryStore()
        await memory_processor(model, log, store, settings, sizes=sizes).run()
        found = [json.loads(message.value) for message in log.predictions]
        assert {each["source"]["offset"]: each for each in found} == truth.predictions
        stored = {key: oracle.stored(value) for key, value in store.states.items()}
        ttl_ms = settings.state_ttl * 1000
        alive = {k: v for k, v in stored.items() if not truth.is_expired(v[1], ttl_ms)}
        assert alive == truth.alive(ttl_ms)


def test_the_memoryless_baseline_has_the_width_of_the_outputs():
    """And as many layers, if the cell has a number of them."""
    cell = PackageCell.of("mingru", {"hidden": 24, "layers": 3})
    assert memoryless_cell(cell, 24).model_dump() == {"kind": "none", "hidden": 24, "layers": 3}
    assert cell.resized({"hidden": 32}).config == {"hidden": 32, "layers": 3}
    assert memoryless_cell(PackageCell.of("decay_gru", {}), 64).layers == 1


def test_the_page_shows_the_cells_and_a_class_that_works():
    """Its example has the code of the toy package."""
    text = read("stream_rnn/model/README.md")
    for kind in ("mingru", "rg_lru", "decay_gru"):
        fields = sorted(PackageCell.fields_of(kind))
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        assert sorted(name for name in ("hidden", "layers") if f"`{name}`" in row) == fields
    (example,) = [block for block in blocks(text, "python") if "class Mean" in block]
    names = {}
    exec(compile(example, "README", "exec"), names)
    mean = names["Mean"](16, names["Mean"].Config(hidden=8))
    out, h = mean(torch.ones(3, 8, 16), torch.zeros(8, 8))
    assert (out.shape, h.shape) == ((3, 8, 8), (8, 8))
    checks = {check for check, _ in cell_classes.BAD.values()}
    assert all(f"`{check}`" in text for check in checks)
