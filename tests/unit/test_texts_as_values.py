"""Texts and integers that are read as numbers and booleans with ``parse``."""

import pytest

from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record

SETTINGS = Settings(app="t", source="s", predictions="p", key_bytes_max=10, value_bytes_max=1000)


def plain(event=None, settings=SETTINGS, **feature):
    """Make a decoder of one numeric feature x and some event table."""
    content = {
        "name": "t",
        "event": event or {},
        "features": [{"name": "x", "kind": "numeric", "path": "x", **feature}],
        "heads": [{"name": "w", "kind": "time_to_next"}],
    }
    return Decoder(FeatureSpec.model_validate(content), settings)


def decoded_x(value, **feature):
    """Return the value of the feature x in an event, or the reason why the event is skipped."""
    decoded = plain(**feature).decode([record(0, b"k", {"x": value})])
    return str(decoded.skips[0]) if decoded.skips else decoded.columns["x"][0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12.50", 12.5),
        (" -3 ", -3.0),
        ("+.5e1", 5.0),
        ("007", 7.0),
        (4, 4.0),
        (None, None),
        ("", None),
        ("  ", None),
        ("12,50", 'x: the text "12,50" is not a number'),
        ("nan", 'x: the text "nan" is not a number'),
        ("inf", 'x: the text "inf" is not a number'),
        ("1_000", 'x: the text "1_000" is not a number'),
        ("0x1f", 'x: the text "0x1f" is not a number'),
        ("1.", 'x: the text "1." is not a number'),
        ("\u0661", 'x: the text "\u0661" is not a number'),
        ("a\n" + "b" * 99, 'x: the text "a\\n' + "b" * 36 + '…" is not a number'),
        (True, "x: input should be a valid number"),
        ([1], "x: input should be a valid number"),
    ],
)
def test_a_text_is_read_as_the_number_that_it_is(value, expected):
    """Everything that is no decimal number is a skip whose reason quotes the text."""
    assert decoded_x(value, parse=True) == expected


def test_a_number_beyond_float_is_a_skip_as_text_too():
    """The texts 1e400 and 400 digits are what the same numbers in JSON are."""
    for text in ("1e400", "9" * 400, "9" * 30):
        decoded = plain(parse=True).decode([record(0, b"k", {"x": text})])
        assert bool(decoded.skips) == (len(text) != 30), text


def test_without_parse_the_reason_names_the_remedy():
    """The commonest mistake with CDC decimals; a text that is no number has the plain reason."""
    assert decoded_x("12.50") == "x: a text that is a number; set parse = true"
    assert decoded_x("abc") == decoded_x("") == "x: input should be a valid number"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (True, 1, 1.0, "1", "true", "True", " TRUE ")),
        *((value, False) for value in (False, 0, 0.0, "0", "false", "False")),
        *((value, None) for value in (None, "", " ")),
        ("yes", 'x: the text "yes" is not a boolean'),
        (2, "x: the number 2 is not a boolean"),
        (9**999, "x: the number a number of 3167 bits is not a boolean"),
        ([], "x: input should be a valid boolean"),
    ],
)
def test_zero_and_one_are_read_as_booleans(value, expected):
    """With parse, the four ways in which systems write booleans."""
    result = decoded_x(value, kind="boolean", parse=True)
    assert result == expected
    assert type(result) is type(expected)


def test_without_parse_a_boolean_names_the_remedy():
    """1 stays no boolean, as it was."""
    cause = "x: a number or a text that is a boolean; set parse = true"
    assert decoded_x(1, kind="boolean") == decoded_x("false", kind="boolean") == cause
    assert decoded_x(2, kind="boolean") == "x: input should be a valid boolean"
