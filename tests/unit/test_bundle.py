"""Bundles: what is written is what is loaded, and everything else is refused."""

import json
import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

import stream_rnn
from stream_rnn.errors import BundleError, Reaction
from stream_rnn.model import bundle
from stream_rnn.model.bundle import (
    JSON_NAME,
    TENSORS_NAME,
    describe,
    fingerprint_of,
    load_bundle,
    read_bundle,
    save_bundle,
    with_fingerprint,
)
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import Model, tensors_of
from tests import models

SHIPPED = Path(stream_rnn.__file__).parent / "demo" / "bundle"


@pytest.fixture
def directory(tmp_path):
    """Write a good bundle."""
    target = tmp_path / "bundles" / "small"
    save_bundle(models.small("lstm", 8, 2), target, {"rows": 7}, {"auc": 0.5})
    return target


def test_a_bundle_loads_as_it_was_saved(directory):
    """Spec, cell, tensors and answers are the same, to the bit."""
    model, saved = load_bundle(directory), models.small("lstm", 8, 2)
    assert (model.spec, model.cell) == (saved.spec, saved.cell)
    assert model.fingerprint == with_fingerprint(saved).fingerprint
    x, h = torch.ones(3, model.feature_count), model.initial_hidden(3)
    for mine, theirs in zip(model.step(x, h), saved.step(x, h), strict=True):
        assert torch.equal(mine, theirs)
    assert not any(p.requires_grad for p in model.network.parameters())
    assert read_bundle(directory).provenance == {"rows": 7}


def change_json(directory, **changes):
    """Change what bundle.json says at its top level."""
    path = directory / JSON_NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def change_tensors(directory, change):
    """Change the tensors, and write them as they should be written."""
    path = directory / TENSORS_NAME
    tensors = load(path.read_bytes())
    change(tensors)
    path.write_bytes(save(tensors))


def header_of(length):
    """Return the beginning of a tensors file that declares so long a header."""
    return struct.pack("<Q", length) + b"{" * 64


def put_nan(tensors):
    """Make one number not finite."""
    tensors["head.weight"] = tensors["head.weight"].copy()
    tensors["head.weight"][0, 0] = np.nan


def put_tall(tensors):
    """Give a tensor a row more than the spec implies."""
    tensors["head.weight"] = np.zeros((99, 8), np.float32)


def put_double(tensors):
    """Give a tensor another type."""
    tensors["head.bias"] = tensors["head.bias"].astype(np.float64)


def declare_bfloat(directory):
    """Declare the same bytes as twice as many numbers of a type that numpy lacks."""
    path = directory / TENSORS_NAME
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header["head.bias"]["dtype"] = "BF16"
    header["head.bias"]["shape"][0] *= 2
    said = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(said)) + said + raw[8 + length :])


def put_changed(tensors):
    """Change one number."""
    tensors["head.bias"] = tensors["head.bias"] + np.float32(1)


JSON_REFUSALS = {
    "missing": (lambda d: (d / JSON_NAME).unlink(), "make one with stream-rnn train"),
    "directory missing": (shutil.rmtree, "no bundle at"),
    "a directory": (lambda d: [(d / JSON_NAME).unlink(), (d / JSON_NAME).mkdir()], "no bundle at"),
    "truncated": (
        lambda d: (d / JSON_NAME).write_bytes((d / JSON_NAME).read_bytes()[:-20]),
        "is not JSON",
    ),
    "empty": (lambda d: (d / JSON_NAME).write_bytes(b""), "is not JSON"),
    "not text": (lambda d: (d / JSON_NAME).write_bytes(b"\xff\x00\x80"), "is not JSON"),
    "nested too deep": (lambda d: (d / JSON_NAME).write_text("[" * 200_000), "is not JSON"),
    "a list": (lambda d: (d / JSON_NAME).write_text("[1]"), "format None is not 1"),
    "foreign": (
        lambda d: (d / JSON_NAME).write_text('{"format": 1, "layers": 3}'),
        "did not write this file",
    ),
    "unknown format": (lambda d: change_json(d, format=2), "format 2 is not 1"),
    "format as text": (lambda d: change_json(d, format="1"), "format '1' is not 1"),
    "extra key": (lambda d: change_json(d, code="import os"), "code: Extra inputs"),
    "bad fingerprint": (lambda d: change_json(d, fingerprint="abc"), "fingerprint: String"),
    "bad hidden size": (
        lambda d: change_json(d, cell={"kind": "gru", "hidden": 5000}),
        "cell.hidden: Input should be less than or equal to 4096",
    ),
}
TENSORS_REFUSALS = {
    "missing": (lambda d: (d / TENSORS_NAME).unlink(), "no bundle at"),
    "empty": (lambda d: (d / TENSORS_NAME).write_bytes(b""), "torn or not safetensors"),
    "truncated": (
        lambda d: (d / TENSORS_NAME).write_bytes((d / TENSORS_NAME).read_bytes()[:-4]),
        "torn or not safetensors",
    ),
    "another file": (lambda d: (d / TENSORS_NAME).write_bytes(b"PK" * 400), "torn or not"),
    "a header longer than the file": (
        lambda d: (d / TENSORS_NAME).write_bytes(header_of(1 << 40)),
        "its header does not fit",
    ),
    "a header that is not JSON": (
        lambda d: (d / TENSORS_NAME).write_bytes(header_of(64)),
        "torn or not safetensors",
    ),
    "wrong shape": (lambda d: change_tensors(d, put_tall), "head.weight is float32 (99, 8)"),
    "wrong type": (lambda d: change_tensors(d, put_double), "head.bias is float64"),
    "a type that numpy lacks": (declare_bfloat, "tensors of type 'BF16' are not float32"),
    "not finite": (lambda d: change_tensors(d, put_nan), "head.weight contains a number"),
    "a tensor less": (lambda d: change_tensors(d, lambda t: t.pop("head.bias")), "head.bias"),
    "a tensor more": (
        lambda d: change_tensors(d, lambda t: t.update(odd=np.zeros(1, np.float32))),
        "not those of the spec: odd",
    ),
    "another bundle's": (lambda d: change_tensors(d, put_changed), "do not belong together"),
    "oversized": (
        lambda d: (d / TENSORS_NAME).write_bytes(bytes(2_000_000)),
        "2000000 bytes, more than",
    ),
}


@pytest.mark.parametrize(("spoil", "says"), JSON_REFUSALS.values(), ids=JSON_REFUSALS)
def test_a_bad_bundle_json_is_refused(directory, spoil, says):
    """Each is a BundleError that names the file and stops the worker."""
    spoil(directory)
    with pytest.raises(BundleError) as caught:
        load_bundle(directory)
    assert str(directory / JSON_NAME) in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.reaction is Reaction.STOP


@pytest.mark.parametrize(("spoil", "says"), TENSORS_REFUSALS.values(), ids=TENSORS_REFUSALS)
def test_a_bad_tensors_file_is_refused(directory, spoil, says):
    """Each is a BundleError that names the file and what is wrong with it."""
    spoil(directory)
    with pytest.raises(BundleError) as caught:
        load_bundle(directory)
    assert str(directory / TENSORS_NAME) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_tensors_file_torn_anywhere_is_refused(directory, keep):
    """No length of a file that a crash cut loads."""
    path = directory / TENSORS_NAME
    raw = path.read_bytes()
    path.write_bytes(raw[: math.floor(len(raw) * keep)])
    with pytest.raises(BundleError, match="torn"):
        load_bundle(directory)


def test_an_oversized_bundle_json_is_refused_unread(directory, monkeypatch):
    """Its size is asked for before it is read."""
    monkeypatch.setattr(bundle, "JSON_BYTES_MAX", 100)
    monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("it was read"))
    with pytest.raises(BundleError, match=r"bytes, more than the maximum of 100") as caught:
        load_bundle(directory)
    assert str(directory / JSON_NAME) in str(caught.value)


def test_a_network_that_would_be_too_large_is_refused_before_it_is_made(directory):
    """Bytes of JSON may ask for gigabytes of tensors; nothing is allocated for them."""
    change_json(directory, cell={"kind": "lstm", "hidden": 4096, "layers": 4})
    with pytest.raises(BundleError, match="parameters, more than the maximum of 200000000"):
        load_bundle(directory)


def test_the_spec_of_another_bundle_does_not_fit(directory):
    """A fingerprint holds the two files together: not even a name may change alone."""
    content = json.loads((directory / JSON_NAME).read_text())
    change_json(directory, spec={**content["spec"], "name": "other"})
    with pytest.raises(BundleError, match="the two files do not belong together"):
        load_bundle(directory)


def test_the_fingerprint_covers_what_is_computed_with():
    """It changes with a tensor's bit, the spec and the cell, and not with the tensors' order."""
    model = models.small()
    tensors = {name: t.numpy().copy() for name, t in tensors_of(model.network).items()}
    whole = fingerprint_of(model.spec, model.cell, tensors)
    backwards = dict(reversed(tensors.items()))
    assert fingerprint_of(model.spec, model.cell, backwards) == whole
    other_spec = model.spec.model_copy(update={"name": "other"})
    assert fingerprint_of(other_spec, model.cell, tensors) != whole
    assert fingerprint_of(model.spec, CellSpec(kind="elman", hidden=8), tensors) != whole
    reshaped = {**tensors, "head.bias": tensors["head.bias"][:, None]}
    assert fingerprint_of(model.spec, model.cell, reshaped) != whole
    for name, tensor in tensors.items():
        changed = tensor.copy()
        changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
        assert fingerprint_of(model.spec, model.cell, {**tensors, name: changed}) != whole, name


def test_the_fingerprint_leaves_out_provenance_and_metrics(tmp_path):
    """Who trained it and how good it is change no prediction."""
    one = save_bundle(models.small(), tmp_path / "one", {"rows": 1}, {"auc": 0.1})
    two = save_bundle(models.small(), tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    change_json(tmp_path / "one", metrics={"auc": 0.9}, provenance={})
    assert load_bundle(tmp_path / "one").fingerprint == two.fingerprint


def test_saving_again_replaces_the_bundle(directory):
    """A directory holds one bundle, the last one."""
    model = Model(models.small().spec, models.small().cell, models.small().network)
    saved = save_bundle(model, directory)
    assert load_bundle(directory).fingerprint == saved.fingerprint
    assert sorted(path.name for path in directory.iterdir()) == [JSON_NAME, TENSORS_NAME]


def test_a_bundle_describes_itself(directory):
    """Columns, heads, sizes and what training left."""
    told = describe(directory)
    assert told["name"] == "small"
    assert told["state_bytes_per_key"] == 16 + 4 * 2 * 2 * 8
    assert told["columns"] == list(models.small().encoder.names)
    assert set(told["heads"]) == {"big", "wait", "next"}
    assert told["parameters"] == sum(
        p.numel() for p in models.small("lstm", 8, 2).network.parameters()
    )
    assert told["metrics"] == {"auc": 0.5}


@pytest.mark.parametrize("path", [SHIPPED, SHIPPED / "memoryless"], ids=["memory", "memoryless"])
def test_the_shipped_bundles_load(path):
    """The demo's bundle and its memoryless twin are whole, and answer."""
    model = load_bundle(path)
    y, _ = model.step(torch.zeros(1, model.feature_count), model.initial_hidden(1))
    assert torch.isfinite(y).all()
    assert (model.cell.kind == "none") == (path.name == "memoryless")


def test_the_shipped_bundles_are_small():
    """The package carries less than 300 kB of them."""
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) < 300_000


def test_loading_and_stepping_imports_no_compiler(directory):
    """Torch would import it for some values on the meta device: seconds in each process."""
    program = (
        "import sys; from stream_rnn import load_bundle; model = load_bundle(sys.argv[1]);"
        "import torch; model.step(torch.zeros(8, model.feature_count), model.initial_hidden(8));"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stdout.strip() == "False"
