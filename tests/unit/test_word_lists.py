"""Lists of words as features: their mean, its bits, what is an event, and what a log proposes."""

import json
import tomllib

import numpy as np
import polars as pl
import pytest
import torch

from stream_rnn import propose_spec
from stream_rnn.errors import SpecError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.spec.spec_check import check_log
from stream_rnn.testing import record
from stream_rnn.training.dataset import read_events
from tests import models

SETTINGS = Settings.build(app="app", source="log")
WORDS = {"vocabulary": ["A", "B", "7"]}


def content_of(**more):
    """Return a spec with one list of words."""
    tags = {"name": "tags", "kind": "multi_categorical", "path": "tags", "embedding": 3}
    return {
        "name": "t",
        "event": {"key": ["k"]},
        "features": [{**tags, "max_length": 4, **more}],
        "heads": [{"name": "next", "kind": "regression", "path": "y"}],
    }


def spec_of(**more):
    """Make a spec with one list of words."""
    return FeatureSpec.parse(content_of(**more), "t.toml")


def encoded(spec, *lists):
    """Decode and encode events of some lists; return x, and the reason of each skip."""
    records = [record(i, b"k", {"tags": one}, 0) for i, one in enumerate(lists)]
    decoded = Decoder(spec, SETTINGS).decode(records)
    x, errors = Encoder(spec).encode(decoded.columns, decoded.time_ms)
    rows = decoded.rows.tolist()
    reasons = decoded.skips | {rows[i]: error for i, error in errors.items()}
    return x, {row: (error.code, str(error)) for row, error in reasons.items()}


def test_a_list_is_its_sorted_indexes():
    """Words outside of the vocabulary, and null, share an index; an empty slot has none."""
    x, errors = encoded(spec_of(**WORDS), ["B", "A"], ["A", "B"], ["?", None, 7, "A"], [], None)

    assert not errors
    assert x.tolist() == [[2, 3, 0, 0], [2, 3, 0, 0], [1, 1, 2, 4], [0] * 4, [0] * 4]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["A"] * 5, "tags: an array of 5 values; max_length is 4"),
        (["A", {}], "tags: place 1: input should be a text, a number or a boolean"),
        ([["A"]], "tags: place 0: input should be a text, a number or a boolean"),
        ("A", "tags: input should be an array"),
        ({"A": 1}, "tags: input should be an array"),
    ],
)
@pytest.mark.parametrize("words", [WORDS, {"buckets": 8}])
def test_a_value_that_is_no_list_of_words_costs_its_event_alone(value, message, words):
    """A list that is too long is refused: a cut would drop words without telling anybody."""
    x, errors = encoded(spec_of(**words), ["A"], value, ["B"])

    assert errors == {1: ("wrong_schema", message)}
    assert len(x) == 2


def test_a_list_may_be_required():
    """An empty list is a missing one."""
    _, errors = encoded(spec_of(**WORDS, missing="error"), ["A"], [], None)

    assert {row: code for row, (code, _) in errors.items()} == {1: "missing", 2: "missing"}


def test_the_network_takes_the_mean_of_the_words():
    """Zeros for no word; duplicates count as often as they occur."""
    model = models.of(content_of(**WORDS))
    x, _ = encoded(model.spec, ["B", "A", "A"], ["?"], [])

    inputs = model.network.cell_inputs(torch.from_numpy(x))

    table = model.network.embeddings[0].weight.detach()
    expected = torch.stack([(2 * table[1] + table[2]) / 3, table[0], torch.zeros(3)])
    assert torch.allclose(inputs[:, :3], expected)
    assert inputs[2].tolist() == [0.0] * 8


def test_the_bits_of_a_mean_depend_on_nothing_but_the_words():
    """Neither the order of the words, nor longer lists of the batch, nor the room for more words."""
    rng = np.random.default_rng(5)
    words = [f"w{i}" for i in range(40)]
    lists = [list(rng.choice(words, rng.integers(0, 13))) for _ in range(300)]
    found = []
    for length in (12, 40):
        model = models.of(content_of(vocabulary=words, embedding=5, max_length=length))
        for order in (list, sorted):
            x, _ = encoded(model.spec, *map(order, lists))
            found.append(model.network.cell_inputs(torch.from_numpy(x)))
            alone = [model.network.cell_inputs(torch.from_numpy(x[i : i + 1])) for i in range(300)]
            found.append(torch.cat(alone))
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_words_that_a_separator_separates_are_a_list(tmp_path):
    """Blanks around them do not count; a text of JSON is an array in a delimited file alone."""
    spec = spec_of(**WORDS, separator="|")
    x, errors = encoded(spec, "A|B", " B | A||", ["A", "B"], "A", "", "A|B|A|B|A")
    assert [row[:2] for row in x.tolist()] == [[2, 3], [2, 3], [2, 3], [2, 0], [0, 0]]
    assert errors == {5: ("wrong_schema", "tags: an array of 5 values; max_length is 4")}

    path = tmp_path / "log.csv"
    path.write_text('k,tags,y\na,A|B,1\na,"[""A"",""B""]",1\na,NA,1\na,A|B|A|B|A,1\n')
    events = read_events(FileLog(path, spec), spec, SETTINGS)
    assert events.examples.columns["tags"] == [["A", "B"], ["A", "B"], None]
    counted = check_log(path, spec, SETTINGS, 10).fields[0]
    assert (counted.has, counted.lacks, counted.wrong) == (2, 1, 1)


def test_unknown_words_of_lists_are_counted(tmp_path):
    """Once in each row; a row with two of them is one row; buckets know any word."""
    path = tmp_path / "log.jsonl"
    lists = [["A", "B"], ["C", "C", "D", None], ["C", 7], [True]]
    rows = [{"k": "a", "tags": words, "y": 1} for words in lists]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    counted = check_log(path, spec_of(**WORDS), SETTINGS, 10).fields[0]
    assert counted.unknown == [("C", 2), ("D", 1), ("true", 1)]
    assert counted.unknown_rows == 3
    assert counted.never_seen == []
    counted = check_log(path, spec_of(buckets=8), SETTINGS, 10).fields[0]
    assert (counted.has, counted.unknown) == (4, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "set either vocabulary or buckets"),
        ({**WORDS, "buckets": 8}, "set either vocabulary or buckets"),
        ({"vocabulary": ["A", "A"]}, "the vocabulary contains a word twice"),
        ({**WORDS, "max_length": 257}, "max_length"),
        ({**WORDS, "separator": ""}, "separator"),
    ],
)
def test_a_list_that_cannot_be_is_refused(change, message):
    """A spec says where the words come from."""
    with pytest.raises(SpecError, match=message):
        spec_of(**change)


@pytest.mark.parametrize("classes", [100, 5])
def test_a_list_of_words_is_proposed_for_arrays_of_texts(classes, tmp_path):
    """With a vocabulary, or with buckets if it would be too large."""
    path = tmp_path / "log.jsonl"
    lines = [
        {
            "k": f"d{i % 7}",
            "load": i % 13 + i % 5 / 7,
            "tags": [f"t{i % 9}", f"t{i * i % 11}"][: i % 3],
        }
        for i in range(600)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    text = str(propose_spec(path, key=["k"], time="none", target=["load"], classes=classes))

    spec = FeatureSpec.parse(tomllib.loads(text), "log")
    (tags,) = [feature for feature in spec.features if feature.kind == "multi_categorical"]
    assert tags.path == "tags"
    assert tags.buckets == (None if classes == 100 else 1024)
    assert len(tags.vocabulary or ()) == (9 if classes == 100 else 0)
    assert "tags: an array of up to 2 of 9 words; missing in 200 of 600 rows" in text
    result = check_log(path, spec, SETTINGS, 1000)
    assert (result.events, dict(result.skips)) == (600, {})


def test_lists_of_a_data_frame_are_those_of_json():
    """A column of lists of texts."""
    frame = pl.DataFrame({"k": ["a", "b"], "tags": [["A", None], []], "y": [1.0, 2.0]})
    events = read_events(FileLog(frame, spec_of(**WORDS)), spec_of(**WORDS), SETTINGS)
    assert events.examples.columns["tags"] == [["A", None], None]
