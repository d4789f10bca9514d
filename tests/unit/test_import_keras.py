"""Keras files: what Keras writes has the outputs of Keras, and other formulas are refused."""

import base64
import importlib.util
import io
import json
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

from stream_rnn import import_weights
from stream_rnn.errors import BundleError, MissingExtraError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.weights import separate
from stream_rnn.model.weights.files import read_weights
from tests.house_rules import ROOT

h5py = pytest.importorskip("h5py")
KINDS = ("SimpleRNN", "GRU", "LSTM")
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


def number(name):
    """Return a numeric feature of one column, which is not scaled."""
    return {"name": name, "kind": "numeric", "path": name, "missing": "error", "scaling": "none"}


PLAIN = [number("a"), number("b")]
WORD = {
    "name": "carrier",
    "kind": "categorical",
    "path": "carrier",
    "vocabulary": ["AA", "UA", "DL"],
    "embedding": 3,
}
LATE = {"name": "late", "kind": "binary", "path": "late"}
NEXT = {"name": "next_carrier", "kind": "multiclass", "path": "carrier"}
SPECS = {
    False: {"features": PLAIN, "heads": [LATE, {**LATE, "name": "later"}]},
    True: {"features": [*PLAIN, WORD], "heads": [LATE, {**NEXT, "classes": ["AA", "UA", "DL"]}]},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a directory with files that Keras wrote."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    folder = tmp_path_factory.mktemp("keras")
    command = [sys.executable, str(ROOT / "tests/keras_networks.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


@pytest.mark.timeout(180)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("network", ["", "-no-bias", "-functional", "-last"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_keras_writes_has_its_outputs(written, tmp_path, kind, network, suffix):
    """In both formats, for each step or the last one."""
    name = f"{kind}{network}"
    spec = FeatureSpec.parse({"name": "k", **SPECS[network in ("-functional", "-last")]}, "spec")
    bundle = import_weights(
        spec, written / f"{name}{suffix}", tmp_path / "bundle", check=written / f"{name}.npz"
    )
    assert bundle.comparison.compared > 0
    assert bundle.comparison.largest <= 1e-5


def layer(kind, name, **options):
    """Return the description of a layer."""
    return {"class_name": kind, "config": {"name": name, **options}}


def network(*layers):
    """Return the description of a network."""
    return {"class_name": "Sequential", "config": {"layers": [layer("InputLayer", "x"), *layers]}}


GRU = layer("GRU", "gru", units=2, reset_after=True)
DENSE = layer("Dense", "out", units=1)


def weights(change=None, kind="GRU"):
    """Return an HDF5 file with the weights of one recurrent layer and a Dense."""
    content, gates = io.BytesIO(), GATES[kind]
    with h5py.File(content, "w") as file:
        group = f"layers/{kind.lower()}/cell/vars"
        file[f"{group}/0"] = np.ones((1, 2 * gates), np.float32)
        file[f"{group}/1"] = np.ones((2, 2 * gates), np.float32)
        file[f"{group}/2"] = np.ones((2, 2 * gates), np.float32)
        file["layers/dense/vars/0"] = np.ones((2, 1), np.float32)
        file["layers/dense/vars/1"] = np.ones(1, np.float32)
        if change is not None:
            change(file)
    return content.getvalue()


def keras_file(folder, config, h5=None, method=zipfile.ZIP_STORED):
    """Write a ``.keras`` file, and return its path."""
    path = folder / "w.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        text = config if isinstance(config, str) else json.dumps(config)
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights() if h5 is None else h5)
    return path


def test_a_file_without_keras_is_read(tmp_path):
    """Its layout is that of Keras, and nothing of Keras is needed."""
    found = read_weights(keras_file(tmp_path, network(GRU, DENSE)))
    assert {name: array.shape for name, array in found.tensors.items()} == {
        "rnn.weight_ih_l0": (6, 1),
        "rnn.weight_hh_l0": (6, 2),
        "rnn.bias_ih_l0": (6,),
        "rnn.bias_hh_l0": (6,),
        "out.weight": (1, 2),
        "out.bias": (1,),
    }


def test_what_is_left_out_is_noted(tmp_path):
    """The activation of a head, which the spec has, and masks."""
    layers = [layer("Masking", "m"), GRU, layer("Dense", "out", units=1, activation="sigmoid")]
    notes = read_weights(keras_file(tmp_path, network(*layers))).notes
    assert "mask of m is left out" in notes[0]
    assert "sigmoid of out is left out" in notes[1]


def gru(**options):
    """Return a network with a GRU of these options."""
    return network(layer("GRU", "gru", **{"units": 2, "reset_after": True} | options), DENSE)


REFUSED = {
    "reset before": (gru(reset_after=False), "reset_after=False"),
    "old": (network(layer("GRU", "gru", units=2), DENSE), "reset_after=False"),
    "relu": (gru(activation="relu"), "activation relu"),
    "hard": (gru(recurrent_activation="hard_sigmoid"), "recurrent_activation hard_sigmoid"),
    "backwards": (gru(go_backwards=True), "backwards"),
    "both": (network(layer("Bidirectional", "both", layer=GRU), DENSE), "bidirectional"),
    "hidden": (network(GRU, layer("Dense", "d", units=3), DENSE), "the layer out reads d"),
    "before": (network(DENSE, GRU), "the layer gru reads out"),
    "between": (network(GRU, layer("Activation", "s", activation="sigmoid"), DENSE), "reads s"),
    "dense relu": (
        network(GRU, layer("Dense", "out", units=1, activation="relu")),
        "activation relu; a head",
    ),
    "norm": (network(GRU, layer("LayerNormalization", "n"), DENSE), "is a LayerNormalization"),
    "lambda": (network(layer("Lambda", "l"), GRU, DENSE), "is a Lambda"),
    "two kinds": (network(GRU, layer("LSTM", "lstm", units=2), DENSE), "of one kind"),
    "none": (network(DENSE), "of one kind"),
    "subclass": ({"class_name": "Mine", "config": {}}, "contains a Mine"),
    "no layers": ({"class_name": "Sequential", "config": {}}, "is damaged"),
    "a list": ([1], "does not describe"),
    "deep": ("[" * 100_000, "too deeply"),
    "no JSON": ("{", "is damaged"),
    "units": (gru(units=3), "has weights"),
}


@pytest.mark.parametrize(("config", "expected"), REFUSED.values(), ids=REFUSED)
def test_another_formula_is_refused(tmp_path, config, expected):
    """By a sentence with the path and the layer."""
    path = keras_file(tmp_path, config)
    with pytest.raises(BundleError) as refused:
        read_weights(path)
    assert expected in str(refused.value)
    assert str(path) in str(refused.value)


def replaced(value):
    """Return a change that replaces the kernel."""

    def change(file):
        del file["layers/gru/cell/vars/0"]
        file["layers/gru/cell/vars/0"] = value

    return change


def external(file):
    """Put the kernel into another file."""
    del file["layers/gru/cell/vars/0"]
    shape, elsewhere = (1, 6), [("/etc/hostname", 0, 24)]
    file.create_dataset("layers/gru/cell/vars/0", shape, "<f4", external=elsewhere)


def virtual(file):
    """Map the kernel to another file."""
    del file["layers/gru/cell/vars/0"]
    layout = h5py.VirtualLayout((1, 6), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (1, 6))
    file.create_virtual_dataset("layers/gru/cell/vars/0", layout)


def huge(file):
    """Write a kernel of terabytes, which takes no space."""
    del file["layers/gru/cell/vars/0"]
    file.create_dataset("layers/gru/cell/vars/0", (2**20, 2**20), "<f4", chunks=(1, 6))


HOSTILE = {
    "a link": (replaced(h5py.SoftLink("/layers")), "is a link"),
    "another file": (replaced(h5py.ExternalLink("other.h5", "/x")), "is a link"),
    "external numbers": (external, "in another file"),
    "virtual": (virtual, "in another file"),
    "terabytes": (huge, "200000000 floats"),
    "integers": (replaced(np.ones((1, 6), np.int8)), "int8"),
    "absent": (lambda file: file["layers"].pop("gru"), "no weights of the layer gru"),
    "not finite": (replaced(np.full((1, 6), np.inf, np.float32)), "not finite"),
}


@pytest.mark.parametrize(("change", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_weights_are_refused(tmp_path, change, expected):
    """No other file is read, and nothing large is allocated."""
    path = keras_file(tmp_path, gru(), weights(change))
    with pytest.raises(BundleError) as refused:
        read_weights(path)
    assert expected in str(refused.value)


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    """By the sizes that it states; an entry with more bytes than it states is damaged."""
    monkeypatch.setattr("stream_rnn.model.weights.files.FILE_BYTES_MAX", 1_000_000)
    path = keras_file(tmp_path, gru(), bytes(2_000_000), zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="1000000 bytes"):
        read_weights(path)
    content = path.read_bytes().replace((2_000_000).to_bytes(4, "little"), bytes([9, 0, 0, 0]))
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"damaged|the size that the file states"):
        read_weights(path)


CRASHES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfX6U2xVe$!3nh{EOK<O1sFmYzEoCH){0BXJhGlZW36%Pq=bp@&Zj|O1&c(6"
    "fe4u(-M5`l-SV*rSbfbwDK=>!w1y4?Jf)SUS8)XemZl47KE=|HBvg3$Dep00TqJfP{Dmq7%WDk1hJ=jWwmrh~*K>"
    "lwj11>kPrK*=ZnkP<T^7&D^e6PUdlp!wtiD{=W`h7>HHje^m9f=EvvSW(rb7nOqP{L&JXbV+VL3HI}M0i|GA`P{*"
    "bS}&ld<57Se;HoblNJH~C0d*_1QR`tsz}?y3hY_j3Kq;Sqpjs(8C$YFVJ})shRmn<0DLA#TG&QdzGciX=M?ncv-T"
    "}p{m2wg*Q;Uj$%xH8io_PhOB|ac&G%YX%6-u?WItu98+=D`Ks0XH9kW6V_W(mkbBOtpdwK%mTJ~6EXXo;0VNl|Gk"
    "HX~h9^NLe(7z)e?$c7r$*2dP>GB7ZqwQrK3G&7ob5tL>@6VHaytT@bJ!=WAqGWbUG#3&dAqhJ(_f>AIEM!_f;1*2"
    "dTi~`C5q4C5HS=ji(C>V(VeLPVCN;^oQs)LPNz{Wvf;~TJX4GR+Og^VXM!N(IPu%ns>8~9Q{8}HtMrcOW;LK|q0%"
    "=m-NBcO*D4?_hsoIvvz5)6<T6YxkGXxfB9l92)X`~@R~2OIxF83%(#77H4m8I8{b=CeY?7-9M~AT$#rO8lXZkFmk"
    "+l>mzgD#$~}+!PqZIT*z2q4KOi%Rur>OiWO#ApyY52us2eXdzWGpz#Dr@5~5SY2a56%NG?g_|?Jk#Ra*Mk=_ZVD<"
    "-sb#6-1pB>_!W27@YH5dxVXHrP!J4YKFaUuk#y?6UpoN7L<1yPwz{DdpU+aYV%4X5}us&Kc9}4qts?lk}C_-m$}G"
    "|GkT9`yy_9+xN#;(tg=yCEF)^rtVYM_SnB=UGu&ZX{<JvrF-{1TD;Ug;!cD8hGyLZ2B$ynFa2(`FI@A+KI@}Vc1t"
    "?r?ACO#J8TN;+g}uVaNlSxI|@d@C>RB!U=)m$_L9e-Y%dWS4{^{%ZGVq~kv$#)>#qf9V;>Je9|v)uupf^;p1}iMK"
    "}&8wo(U~qBlpwU(D<w*loyQH%%!Njs8GP3^9Dn|oeAF0?$9Hy-)^8YnwRj`LlP+Il#y!bs6hcSN`(wM232?f0NmL"
    "<xc"
)
"""An HDF5 file of a GRU with one wrong byte, at which libhdf5 2.0.0 reads memory that is not there."""


def test_a_file_that_crashes_its_reader_is_refused(tmp_path):
    """This process goes on."""
    path = tmp_path / "w.h5"
    path.write_bytes(zlib.decompress(base64.b85decode(CRASHES)))
    with pytest.raises(BundleError, match=r"w\.h5 is damaged"):
        read_weights(path)


def test_a_reader_that_does_not_end_is_ended(tmp_path, monkeypatch):
    """By its deadline, whatever the file."""
    monkeypatch.setattr(separate, "DEADLINE_S", 0.001)
    with pytest.raises(BundleError, match=r"could not be read in 0\.00\d+ s; save the model"):
        read_weights(keras_file(tmp_path, network(GRU, DENSE)))


def test_a_reader_has_a_bound_of_memory(tmp_path, monkeypatch):
    """A compressed data set has far more numbers than bytes."""

    def grow(file):
        del file["layers/gru/cell/vars/0"]
        shape = (500_000, 6)
        file.create_dataset("layers/gru/cell/vars/0", shape, "f4", compression="gzip")

    path = keras_file(tmp_path, network(GRU, DENSE), weights(grow))
    assert read_weights(path).tensors["rnn.weight_ih_l0"].shape == (6, 500_000)
    monkeypatch.setattr(separate, "MEMORY_BYTES", 1_000_000)
    with pytest.raises(BundleError, match=r"w\.keras is damaged"):
        read_weights(path)


def test_weights_without_a_network_are_refused(tmp_path):
    """Their layers are not described."""
    (tmp_path / "w.weights.h5").write_bytes(weights())
    with pytest.raises(BundleError, match=r"contains no network.*model\.save"):
        read_weights(tmp_path / "w.weights.h5")


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    for module in ("keras_file", "keras_weights"):
        monkeypatch.delitem(sys.modules, f"stream_rnn.model.weights.{module}", raising=False)
    (tmp_path / "w.keras").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'stream-rnn\[keras\]'"):
        read_weights(tmp_path / "w.keras")
