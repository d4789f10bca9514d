"""What a reader accepts as a prediction."""

import json

import pytest

from stream_rnn.errors import DecodeError
from stream_rnn.predictions.schema import VALUE_BYTES_MAX, Prediction

GOOD = {
    "format": 1,
    "key": "UA-EWR",
    "outputs": {
        "late": {"probability": 0.31},
        "wait": {"value": 812.5},
        "next": {"class": "B", "probability": 0.7, "top": [["B", 0.7], ["A", 0.2]]},
    },
    "model": "delay",
    "fingerprint": "0123456789abcdef",
    "numerics": "01234567",
    "source": {"topic": "flights", "partition": 2, "offset": 1234},
    "event_time_ms": 1357034220000,
    "steps": 17,
    "cold": False,
}


def changed(**changes):
    """Return the bytes of a prediction with some fields changed; ``None`` removes one."""
    fields = {**GOOD, **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def test_the_documented_example_is_read():
    """Every field has its place."""
    prediction = Prediction.parse(changed())

    assert prediction.key_bytes == b"UA-EWR"
    assert prediction.outputs["late"].probability == 0.31
    assert prediction.outputs["wait"].value == 812.5
    assert prediction.outputs["next"].label == "B"
    assert prediction.outputs["next"].top == (("B", 0.7), ("A", 0.2))
    assert prediction.source.offset == 1234
    assert not prediction.cold


def test_a_key_that_is_not_text_is_read():
    """It stands in base64."""
    assert Prediction.parse(changed(key=None, key_base64="//4=")).key_bytes == b"\xff\xfe"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[1]", "object"),
        (changed(format=2), "format"),
        (changed(steps=0), "steps"),
        (changed(steps=1), "cold"),
        (changed(key=None), "exactly one of key and key_base64"),
        (changed(key_base64="YQ=="), "exactly one of key and key_base64"),
        (changed(fingerprint="no"), "fingerprint"),
        (changed(outputs={"late": {"probability": 1.5}}), "outputs.late"),
        (changed(outputs={"late": {"unknown": 1}}), "outputs.late"),
        (changed(source={"topic": "t", "partition": 0, "offset": -1}), "source.offset"),
        (changed(more=1), "more"),
        (changed(model=None), "model"),
        (b'{"format":1' + b" " * VALUE_BYTES_MAX, "bytes are more than"),
    ],
)
def test_what_is_not_a_prediction_is_refused_and_its_field_named(value, said):
    """A reader stops on a topic that is not what it takes it for."""
    with pytest.raises(DecodeError, match=said):
        Prediction.parse(value)


def test_the_error_does_not_show_the_value():
    """Values may be confidential, errors go to logs."""
    with pytest.raises(DecodeError) as error:
        Prediction.parse(changed(key=None, model=["confidential"]))
    assert "confidential" not in str(error.value)
