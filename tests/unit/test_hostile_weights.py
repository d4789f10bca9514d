"""Files of weights that would run code, or take more memory than they are worth."""

import io
import json
import random
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from stream_rnn.errors import BundleError, StreamRNNError
from stream_rnn.model.weights import zip_entries
from stream_rnn.model.weights.files import READERS, read_weights
from stream_rnn.model.weights.reference import read_reference
from tests.plain_networks import Plain

RAN = []


class Hostile:
    """An object whose pickle calls a function when it is loaded."""

    def __reduce__(self):
        """Return the call."""
        return (RAN.append, ("ran",))


def saved(content):
    """Return what ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def scripted():
    """Return a module as TorchScript."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/code/__torch__.py", b"")
        archive.writestr("x/data.pkl", b"")
    return file.getvalue()


def exported():
    """Return the entries of an exported program."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/archive_format", b"pt2")
    return file.getvalue()


def compressed():
    """Return a state dict whose entries are compressed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(Plain().state_dict()))) as whole,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in whole.infolist():
            archive.writestr(entry.filename, whole.read(entry))
    return file.getvalue()


def safetensors(header, body=b""):
    """Return a file of safetensors with a header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


HUGE = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
FILES = {
    "a pickle of an object": ("w.pt", saved({"x": Hostile()}), "can run code"),
    "a whole module": ("w.pt", saved(Plain()), "can run code"),
    "TorchScript": ("w.pt", scripted(), "TorchScript"),
    "an exported program": ("w.pt", exported(), "exported program"),
    "a .pt2": ("w.pt2", exported(), "exported program"),
    "a pickle": ("w.pkl", b"\x80\x04N.", "runs code"),
    "an old format": ("w.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "since torch 1.6"),
    "a compressed state dict": ("w.pt", compressed(), "is compressed"),
    "no zip": ("w.pt", b"PK but no more", "is damaged"),
    "another zip": (
        "w.pt",
        exported().replace(b"archive_format", b"anything_else1"),
        "not written by",
    ),
    "another format": ("w.txt", b"", "no known format"),
    "a tensor of terabytes": ("w.safetensors", safetensors({"x": HUGE}), "more than 200000000"),
    "a header of terabytes": ("w.safetensors", struct.pack("<Q", 2**40), "does not fit"),
    "no header": ("w.safetensors", safetensors(b"[1]"), "no header"),
    "a deep header": ("w.safetensors", safetensors(b"[" * 100_000), "no header"),
    "too many tensors": (
        "w.safetensors",
        safetensors({str(i): {"dtype": "F32", "shape": [0]} for i in range(1001)}),
        "1001 tensors",
    ),
    "a torn body": (
        "w.safetensors",
        safetensors({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        "damaged",
    ),
    "integers": (
        "w.safetensors",
        safetensors({"x": {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        "not floats",
    ),
    "an expanded tensor": (
        "w.pt",
        saved({"x": torch.zeros(1).expand(30_000, 30_000)}),
        "more than 200000000",
    ),
}


@pytest.mark.parametrize(("name", "content", "expected"), FILES.values(), ids=FILES)
def test_a_hostile_file_is_refused(tmp_path, name, content, expected):
    """By a sentence with its path, before its numbers are allocated, and no code runs."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError) as refused:
        read_weights(tmp_path / name)
    assert expected in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)
    assert RAN == []


def test_a_file_that_is_absent_or_too_large_is_refused(tmp_path, monkeypatch):
    """By its size, before it is read."""
    with pytest.raises(BundleError, match=r"absent\.pt cannot be read"):
        read_weights(tmp_path / "absent.pt")
    (tmp_path / "w.pt").mkdir()
    with pytest.raises(BundleError, match="not a file"):
        read_weights(tmp_path / "w.pt")
    (tmp_path / "w.safetensors").write_bytes(b"123")
    monkeypatch.setattr("stream_rnn.model.weights.files.FILE_BYTES_MAX", 2)
    with pytest.raises(BundleError, match="3 bytes, more than 2"):
        read_weights(tmp_path / "w.safetensors")


PROCESSES = {".h5", ".hdf5"}  # whose reader starts one for each file


@pytest.mark.parametrize("suffix", sorted({*READERS} - PROCESSES))
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory, suffix, content):
    """By one of our errors."""
    path = tmp_path_factory.mktemp("any") / f"w{suffix}"
    for prefix in (b"", b"PK\x03\x04"):
        path.write_bytes(prefix + content)
        with pytest.raises(StreamRNNError):
            read_weights(path)


@pytest.mark.parametrize("suffix", sorted(PROCESSES))
@settings(max_examples=5)
@given(content=st.binary(max_size=200))
def test_any_bytes_of_hdf5_are_refused(tmp_path_factory, suffix, content):
    """By one of our errors."""
    path = tmp_path_factory.mktemp("any") / f"w{suffix}"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + content)
    with pytest.raises(StreamRNNError):
        read_weights(path)


def valid(suffix):
    """Return the file of a network."""
    file, network = io.BytesIO(), Plain()
    if suffix == ".pt":
        return saved(network.state_dict())
    if suffix == ".safetensors":
        return save(network.state_dict())
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, 2), torch.zeros(1, 3).long()), file, dynamo=False
        )
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx"])
def test_wrong_bytes_are_refused_or_change_numbers(tmp_path, suffix):
    """By one of our errors: files of 4,000 bytes and more, with one to four wrong bytes."""
    whole, path, draw = valid(suffix), tmp_path / f"w{suffix}", random.Random(7)
    assert read_weights_of(path, whole)
    refused = 0
    for _ in range(400):
        spoilt = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 4])):
            spoilt[draw.randrange(len(spoilt))] = draw.choice([0, 1, 0x80, 0xFF])
        refused += not read_weights_of(path, bytes(spoilt))
    assert refused > 20


def read_weights_of(path, content):
    """Return whether a file is read; it may be refused by an error of this package."""
    path.write_bytes(content)
    try:
        return bool(read_weights(path).tensors)
    except StreamRNNError:
        return False


def npz(**entries):
    """Return an .npz file with entries of any bytes, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def header_of(shape, descr="<f8"):
    """Return an array that states a shape, and has no numbers."""
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


REFERENCES = {
    "a bomb": (npz(y=bytes(600_000_000)), "500000000 bytes"),
    "a lie": (npz(x=header_of((2**20, 2**20)), y=header_of((1,))), "shorter than its shape"),
    "objects": (npz(y=header_of((1,), "|O")), "objects of Python"),
    "no array": (npz(y=b"nothing"), "is damaged"),
    "no zip": (b"PK", "is not an .npz file"),
}


@pytest.mark.parametrize(("content", "expected"), REFERENCES.values(), ids=REFERENCES)
def test_a_hostile_reference_is_refused(tmp_path, content, expected):
    """Before its numbers are allocated."""
    path = tmp_path / "reference.npz"
    path.write_bytes(content)
    with pytest.raises(BundleError) as refused:
        read_reference(path, 2)
    assert expected in str(refused.value)


def test_many_entries_are_refused(tmp_path, monkeypatch):
    """Before one is read."""
    monkeypatch.setattr(zip_entries, "ENTRIES_MAX", 2)
    path = tmp_path / "w.pt"
    path.write_bytes(saved(Plain().state_dict()))
    with pytest.raises(BundleError, match="may have 2 entries"):
        read_weights(path)
