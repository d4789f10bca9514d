"""The bytes of predictions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.model.heads import Binary, Multiclass, Regression, TimeToNext
from stream_rnn.predictions.schema import Prediction
from tests import prediction_writers

HEADS = (
    Binary(name="late", kind="binary", path="delay", above=15),
    TimeToNext(name="wait", kind="time_to_next"),
    Multiclass(
        name="next", kind="multiclass", path="step", classes=("A", 'B"', "100 %s"), end=True
    ),
)
probabilities = st.floats(0, 1, width=32)
rows = st.lists(
    st.tuples(
        st.binary(max_size=12),
        probabilities,
        st.floats(0, 2.0**100, width=32),
        st.lists(probabilities, min_size=4, max_size=4),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
)


def make_writer(heads=HEADS, **changes):
    """Make a writer."""
    return prediction_writers.make_writer(heads, **{"top_k": 2, **changes})


def write(rows, writer=None):
    """Write some rows of :data:`rows`."""
    keys, late, wait, following, steps = zip(*rows, strict=True)
    count = len(rows)
    outputs = {
        "late": np.array(late, np.float32),
        "wait": np.array(wait, np.float32),
        "next": np.array(following, np.float32),
    }
    return (writer or make_writer()).write(
        keys, np.arange(count) + 1234, np.arange(count) - 5, np.array(steps), outputs
    )


def test_a_prediction_has_exactly_these_bytes():
    """The format is fixed: key order, no spaces, the shortest decimals of float32."""
    (value,) = write([(b"UA-EWR", 0.31, 812.5, [0.2, 0.7, 0.05, 0.05], 17)])

    assert value == (
        b'{"format":1,"key":"UA-EWR","outputs":{"late":{"probability":0.31},'
        b'"wait":{"value":812.5},"next":{"class":"B\\"","probability":0.7,'
        b'"top":[["B\\"",0.7],["A",0.2]]}},"model":"delay","fingerprint":"abababababababab",'
        b'"numerics":"01234567","source":{"topic":"flights","partition":2,"offset":1234},'
        b'"event_time_ms":-5,"steps":17,"cold":false}'
    )


@given(rows)
def test_a_rows_bytes_do_not_depend_on_its_neighbours(rows):
    """The same row written alone, or among others, is the same but for its offset and time."""
    together = [json.loads(value) for value in write(rows)]
    alone = [json.loads(write([row])[0]) for row in rows]
    for both in zip(together, alone, strict=True):
        for prediction in both:
            del prediction["source"]["offset"], prediction["event_time_ms"]
    assert together == alone


@given(rows)
def test_what_is_written_is_a_valid_prediction_of_the_same_numbers(rows):
    """Reading gives back the key, the float32 values and the classes."""
    for row, value in zip(rows, write(rows), strict=True):
        key, late, wait, following, steps = row
        prediction = Prediction.parse(value)
        assert prediction.key_bytes == key
        assert np.float32(prediction.outputs["late"].probability) == np.float32(late)
        assert np.float32(prediction.outputs["wait"].value) == np.float32(wait)
        choice = prediction.outputs["next"]
        likeliest = int(np.argmax(following))
        assert choice.label == HEADS[2].labels[likeliest]
        assert np.float32(choice.probability) == np.float32(following[likeliest])
        assert (prediction.steps, prediction.cold) == (steps, steps == 1)


def test_equal_classes_stand_in_the_order_of_the_spec():
    """Ties must not depend on a sorting algorithm."""
    (value,) = write([(b"k", 0.5, 1.0, [0.25, 0.25, 0.25, 0.25], 1)], make_writer(top_k=9))

    top = json.loads(value)["outputs"]["next"]["top"]
    assert [label for label, _ in top] == ["A", 'B"', "100 %s", "end"]


@pytest.mark.parametrize("key", [b"\xff\xfe", b'a"b\\\n\x00', "Zürich %d".encode(), b""])
def test_any_key_survives(key):
    """Keys that are not UTF-8 stand in base64, others as text, escaped."""
    (value,) = write([(key, 0.5, 1.0, [1.0, 0.0, 0.0, 0.0], 1)])

    prediction = Prediction.parse(value)
    assert prediction.key_bytes == key
    assert (prediction.key is None) == (key == b"\xff\xfe")


def test_per_cent_signs_in_names_are_kept():
    """The template is filled with ``%``, the names around it are not."""
    heads = (Regression(name="load", kind="regression", path="load"),)
    writer = make_writer(heads, topic="50%d", name="100%")
    (value,) = writer.write(
        [b"k"], np.array([1]), np.array([2]), np.array([1]), {"load": np.array([1.5], np.float32)}
    )

    assert json.loads(value)["source"]["topic"] == "50%d"
    assert json.loads(value)["model"] == "100%"


def test_headers_say_where_a_prediction_comes_from():
    """They are ASCII, so that any tool shows them."""
    assert make_writer().headers(1234, 17) == [
        ("sr-topic", b"flights"),
        ("sr-partition", b"2"),
        ("sr-offset", b"1234"),
        ("sr-app", b"departures"),
        ("sr-fold", b"0123456789ab"),
        ("sr-origin", b"17"),
    ]


def test_nothing_is_written_of_nothing():
    """An empty micro-batch has no predictions."""
    empty = np.array([], np.int64)
    assert make_writer().write([], empty, empty, empty, {}) == []
