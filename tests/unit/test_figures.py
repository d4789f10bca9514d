"""How numbers, moments and texts are written."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.evaluation.report.figures import interval
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import DASH, MINUS, format_number, format_time, printable, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.76812, "0.768"),
        (0.00151, "0.0015"),
        (0.000012, "0.000012"),
        (1e-9, f"1.00e{MINUS}09"),
        (12.346, "12.35"),
        (812.52, "812.5"),
        (98765.4, "98,765"),
        (1e300, "1.00e+300"),
        (-2.5, f"{MINUS}2.50"),
        (0.0, "0"),
        (-0.0, "0"),
        (1 - 1e-9, "1.000"),
        (3.0, "3"),
        (math.inf, "∞"),
        (-math.inf, f"{MINUS}∞"),
        (math.nan, DASH),
        (None, DASH),
    ],
)
def test_numbers_are_short_and_say_their_sign(value, text):
    """A true minus, thousands apart, a dash for what nobody knows."""
    assert format_number(value) == text


def test_an_interval_has_the_decimals_of_its_value():
    """And a difference has a sign."""
    assert interval(Figure(0.0391, 0.0352, 1.0)) == "0.035 to 1.000"
    assert interval(Figure(0.5, None, 1.0)) == interval(Figure(0.5, 0.1, math.nan)) == ""
    assert interval(Figure(0.0391, -0.0001, 1.0)) == "0.000 to 1.000"
    assert (signed(0.039), signed(-0.039), signed(0.0)) == ("+0.039", f"{MINUS}0.039", "0")


@given(st.text(st.characters()))
def test_a_shown_text_is_short_and_has_nothing_unseen(text):
    """Whatever it was; and UTF-8 can hold it."""
    found = printable(text, 40)
    assert len(found) <= 40
    kinds = {unicodedata.category(one) for one in found if one != "\N{ZERO WIDTH JOINER}"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    found.encode()
    plain = text.isascii() and text.isprintable() and len(text) <= 40
    assert (found == text) or not plain


def test_a_moment_that_no_calendar_has_is_a_dash():
    """A log may hold any number."""
    assert (format_time(0), format_time(10**18), format_time(-(10**18))) == (
        "1970-01-01 00:00:00",
        DASH,
        DASH,
    )
