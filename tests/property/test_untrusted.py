"""Any untrusted bytes give a valid result or a clear error."""

import io
import json
import shutil
import struct
import tracemalloc
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_rnn.errors import BundleError, ConfigError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.model.bundle import JSON_NAME, TENSORS_NAME, load_bundle, save_bundle
from stream_rnn.operate import archive
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.text import JOINER, visible
from tests import models

MEMORY_BYTES_MAX = 50_000_000

# With names that a bundle or event uses, so that parsing gets beyond the first character.
jsons = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.just("A" * 5000),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["x", "kind", "format", "cell", "hidden"]), inner, max_size=4),
    ),
    max_leaves=10,
)  # fmt: skip
edits = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.sampled_from(["replace", "insert", "cut"]), st.binary(max_size=9)),
    min_size=1,
    max_size=4,
)  # fmt: skip


def edited(data, changes) -> bytes:
    """Return data in which some bytes are replaced, inserted or cut off."""
    for place, kind, new in changes:
        at = place % (len(data) + 1)
        after = {"replace": at + len(new), "insert": at, "cut": len(data)}[kind]
        data = data[:at] + new + data[after:]
    return data


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a directory with a good bundle, for damaged copies of it."""
    directory = tmp_path_factory.mktemp("bundles")
    save_bundle(models.small(), directory / "good")
    load_bundle(directory / "good")  # memory of torch's first imports is not the bundle's
    return directory


def loads_or_refuses(bundle, name, data) -> None:
    """Check that a bundle with a replaced file loads unchanged or is refused."""
    spoiled = bundle / "spoiled"
    shutil.copytree(bundle / "good", spoiled, dirs_exist_ok=True)
    (spoiled / name).write_bytes(data)
    tracemalloc.start()
    try:
        fingerprint = load_bundle(spoiled).fingerprint
    except BundleError as error:
        fingerprint = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY_BYTES_MAX
    # Equal fingerprints: only white space or provenance differ.
    assert fingerprint == load_bundle(bundle / "good").fingerprint or str(spoiled) in fingerprint


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([JSON_NAME, TENSORS_NAME]), changes=edits)
def test_a_bundle_with_changed_bytes_is_refused_or_the_same(bundle, name, changes):
    """Changed bytes at any place of a file are refused or have no effect."""
    loads_or_refuses(bundle, name, edited((bundle / "good" / name).read_bytes(), changes))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_bundle_with_other_json_is_refused_or_the_same(bundle, data):
    """Any JSON value at any place of ``bundle.json`` is refused or has no effect."""
    content = json.loads((bundle / "good" / JSON_NAME).read_text())
    part = content
    while isinstance(part, dict | list) and part:
        keys = sorted(part) if isinstance(part, dict) else range(len(part))
        key = data.draw(st.sampled_from(list(keys)))
        if not data.draw(st.booleans()) or not isinstance(part[key], dict | list) or not part[key]:
            part[key] = data.draw(jsons)
            break
        part = part[key]
    loads_or_refuses(bundle, JSON_NAME, json.dumps(content).encode())


@settings(max_examples=100, deadline=None)
@given(
    length=st.integers(0, 2**64 - 1),
    header=st.dictionaries(
        st.sampled_from(["head.weight", "head.bias", "x"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F64", "BF16", "I8", "?"]),
                "shape": st.lists(st.integers(-1, 2**62), max_size=3),
                "data_offsets": st.lists(st.integers(0, 2**62), min_size=2, max_size=2),
            }
        ),
    ),
    is_length_true=st.booleans(),
)
def test_a_tensors_file_may_claim_any_size(bundle, length, header, is_length_true):
    """The loader allocates no memory for tensor sizes that a file only claims."""
    encoded = json.dumps(header).encode()
    size = len(encoded) if is_length_true else length
    loads_or_refuses(bundle, TENSORS_NAME, struct.pack("<Q", size) + encoded + bytes(64))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.binary(max_size=20)),
            st.one_of(st.none(), st.binary(max_size=60), jsons.map(lambda j: json.dumps(j).encode())),
            st.integers(-1, 2**62),
        ),
        max_size=6,
    )
)  # fmt: skip
@example([(b"k", b'{"x":' + b"[" * 100_000, 0)])
@example([(b"k", b'{"x":1' + b"0" * 10_000 + b"}", 0)])
@example([(b"k", b'{"x":1,"x":"one","x":2}', 0)])
@example([(b"k", b'{"kind":"\\ud800"}', 0)])
def test_every_record_is_an_event_a_forget_or_a_skip(given_records):
    """The decoder classifies each record exactly once, whatever its bytes are."""
    decoder = Decoder(models.small().spec, Settings.build(value_bytes_max=200_000))
    records = [record(offset, key, value, time) for offset, (key, value, time) in enumerate(given_records)]  # fmt: skip
    decoded = decoder.decode(records)
    rows = [*decoded.rows.tolist(), *decoded.forgets, *decoded.skips]
    assert sorted(rows) == list(range(len(records)))
    assert all(len(column) == len(decoded.rows) for column in decoded.columns.values())
    for error in decoded.skips.values():
        assert error.code.isidentifier()
        assert len(str(error)) < 1000


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=80), jsons.map(lambda j: json.dumps(j).encode() + b"\n")))
def test_a_line_of_an_export_is_a_part_or_damaged(line):
    """A line of an export parses or is refused, even if its checksum is valid."""
    file = io.BytesIO(line)
    try:
        part = archive._read_header(file, Path("states"))
    except ConfigError:
        return
    assert part.partition >= 0
    assert part.keys >= 0


@given(data=st.binary(max_size=60), count=st.integers(0, 1 << 40))
def test_states_of_an_export_end_with_the_file(data, count):
    """Reading states stops at the end of the file, whatever number its header announces."""
    read = 0
    with suppress(ConfigError):
        for key, state in archive._read_states(io.BytesIO(data), count, Path("states")):
            read += archive.LENGTHS.size + len(key) + len(state)
    assert read <= len(data)


@given(st.text())
@example("base64:")
@example("base64:!")
@example("\ud800")
@example("a\udcff")
def test_a_key_that_is_typed_is_bytes_or_refused(text):
    """A typed key is parsed or refused, and its printed form can be typed again."""
    try:
        key = parse_key(text)
    except ConfigError:
        return
    assert parse_key(describe_key(key)) == key
    assert describe_key(key).isprintable()


@given(st.text())
@example("\x1b]0;title\x07")
@example("a\u202eb")
def test_what_a_terminal_gets_cannot_steer_it(text):
    """Printed text has no control characters, line ends or changes of direction; emoji stay."""
    characters = set(visible(text)) - {JOINER}
    assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in characters)
