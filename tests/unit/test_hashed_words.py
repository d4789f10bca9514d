"""Words without a vocabulary: their hash, what is missing, and what a log proposes."""

import tomllib

import numpy as np
import polars as pl
import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn import propose_spec
from stream_rnn.errors import SpecError
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.hashing import HASHED_BYTES_MAX, bucket_of, murmur2
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import read_events

SETTINGS = Settings.build(app="app", source="log")


def spec_of(**more):
    """Make a spec with a hashed feature of the field page."""
    return FeatureSpec.parse(
        {
            "name": "t",
            "event": {"key": ["k"]},
            "features": [{"name": "page", "kind": "hashed", "path": "page", **more}],
            "heads": [{"name": "next", "kind": "regression", "path": "y"}],
        },
        "t.toml",
    )


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_the_hash_is_the_murmur2_of_kafka(keys):
    """Of keys of all lengths together, as aiokafka computes it for each of them."""
    assert murmur2(keys).tolist() == [reference(key) & 0xFFFFFFFF for key in keys]


def test_buckets_are_those_of_existing_bundles():
    """They are part of the weights of a bundle, so they never change."""
    words = ["", "a", "/products/17", "Zürich", "日本", "true", "1.0"]
    assert bucket_of(words, 1024).tolist() == [217, 636, 485, 49, 243, 338, 507]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=20), st.integers(2, 100_000))
def test_the_bucket_of_a_word_does_not_depend_on_the_others(words, buckets):
    """Each word alone has the bucket that it has among all, which is a valid one."""
    together = bucket_of(words, buckets)
    assert together.tolist() == [int(bucket_of([word], buckets)[0]) for word in words]
    assert together.min() >= 0
    assert together.max() < buckets


def test_a_long_word_costs_a_bounded_work():
    """What follows the first bytes does not count."""
    start = "x" * HASHED_BYTES_MAX
    assert bucket_of([start + "a" * 10_000_000], 10_000) == bucket_of([start + "b"], 10_000)
    assert bucket_of([start[:-1] + "y"], 10_000) != bucket_of([start], 10_000)


def test_a_missing_word_has_an_index_of_its_own():
    """Numbers and booleans are the words that they are for a vocabulary."""
    spec = spec_of(buckets=1000)
    values = ["a", None, 7, "7", 7.0, "7.0", True, "true", ""]
    x, errors = Encoder(spec).encode({"page": values}, np.zeros(len(values), np.int64))
    index = x[:, 0].tolist()
    assert index[1] == 0
    assert index[2] == index[3] != index[4] == index[5]
    assert index[6] == index[7]
    assert index[0] == bucket_of(["a"], 1000)[0] + 1
    assert min(index[:1] + index[2:]) >= 1
    assert not errors
    _, errors = Encoder(spec_of(missing="error")).encode(
        {"page": values}, np.zeros(len(values), np.int64)
    )
    assert {row: error.code for row, error in errors.items()} == {1: "missing"}


@pytest.mark.parametrize("buckets", [0, 1, 100_001, 2.5, "7"])
def test_a_number_of_buckets_that_cannot_be_is_refused(buckets):
    """From two to a hundred thousand."""
    with pytest.raises(SpecError, match="buckets"):
        spec_of(buckets=buckets)


def frame(distinct):
    """Make a log of many pages."""
    rows = 6000
    return pl.DataFrame(
        {
            "k": [f"d{i % 7}" for i in range(rows)],
            "page": [f"/page/{i * i % distinct}" for i in range(rows)],
            "load": [float(i % 13) + i % 5 / 7 for i in range(rows)],
            "y": [float(i % 11) for i in range(rows)],
        }
    )


def test_too_few_buckets_are_named():
    """The warning says how many words share how many buckets."""
    log = frame(2999)
    (warning,) = [
        text
        for text in check_examples(
            spec_of(buckets=64), read_events(FileLog(log, spec_of()), spec_of(), SETTINGS).examples
        )
        if "buckets" in text
    ]
    assert warning.startswith(
        "feature page: 1500 values of page in the training part share 64 buckets"
    )


def test_many_words_are_proposed_to_be_hashed():
    """The comment says how little a vocabulary would cover; a target it cannot be."""
    text = str(propose_spec(frame(2999), key=["k"], time="none", target=["load"], classes=200))

    spec = FeatureSpec.parse(tomllib.loads(text), "log")
    (page,) = [feature for feature in spec.features if feature.kind == "hashed"]
    assert (page.path, page.buckets, page.embedding) == ("page", 2048, 16)
    assert "page: 1500 different texts, by a hash of each; a vocabulary of 200 covers 13" in text
