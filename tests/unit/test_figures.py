"""How numbers, moments and texts are written."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.evaluation.report.figures import (
    format_difference,
    format_metric,
    interval,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import DASH, MINUS, format_duration, format_number, format_time, printable


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
    differences = [format_difference(value, "mae", "K") for value in (0.039, -0.039, 0.0)]
    assert differences == ["+0.039", f"{MINUS}0.039", "0"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.0312, "31.2 ms"), (1.5, "1.5 s"), (119.9, "120 s"), (3600, "60 min"), (128_448, "35.7 h"),
     (86_400 * 5000, "5,000 d"), (-1.5, f"{MINUS}1.5 s"), (None, DASH), (math.nan, DASH), (math.inf, "∞")],
)  # fmt: skip
def test_a_duration_has_a_unit_that_people_use(seconds, text):
    """Three digits, of the largest unit of which there are two."""
    assert format_duration(seconds) == text


def test_a_metric_of_a_time_is_a_duration_and_its_interval_has_the_same_unit():
    """Other metrics of the same head, and other units, stay numbers."""
    assert format_metric(128_448, "mae", "s") == "35.7 h"
    assert interval(Figure(128_448, 5_400, 129_600), "mae", "s") == "1.5 h to 36 h"
    assert format_difference(-1_800, "rmse", "s") == f"{MINUS}30 min"
    assert (format_metric(0.5, "r2", "s"), format_metric(128_448, "mae", "K")) == (
        "0.500",
        "128,448",
    )


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


def test_a_duration_that_is_no_float_in_its_unit_is_infinite():
    """The bound of an interval has the unit of its value, however small that is."""
    durations = [format_duration(seconds, like=1e-9) for seconds in (1e308, -1e308)]
    assert durations == ["∞", f"{MINUS}∞"]
