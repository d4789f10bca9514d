"""Charts: well-formed SVG whatever the numbers and texts, with everything in its place."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.evaluation.report.charts import (
    BOTTOM,
    COUNTS_BOTTOM,
    COUNTS_TOP,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    calibration_chart,
    group_chart,
    interval_chart,
    limits,
    ticks,
)
from stream_rnn.evaluation.result import Bin
from stream_rnn.metrics.figure import Figure

ANY_NUMBER = st.one_of(st.floats(), st.floats(-5, 5), st.sampled_from([0.0, 1e-300, 1e100]))
FIGURES = st.builds(
    Figure, ANY_NUMBER, st.one_of(st.none(), ANY_NUMBER), st.one_of(st.none(), ANY_NUMBER)
)
TEXTS = st.text(st.characters(), max_size=30)


def parse(svg):
    """Parse a chart, which fails where it is not well-formed."""
    return ET.fromstring(svg)


def parts(svg, style, tag="path"):
    """Return elements that have a CSS class."""
    return [e for e in parse(svg).iter(tag) if style in e.get("class", "").split()]


def words(svg):
    """Return the texts of a chart."""
    return [e.text for e in parse(svg).iter("text")]


def numbers(element):
    """Return (x, y) of a path of lines."""
    pairs = re.findall(r"(-?[\d.]+),(-?[\d.]+)", element.get("d"))
    return [(float(x), float(y)) for x, y in pairs]


def chart_of(series, names=None, events=(), **more):
    """Draw groups."""
    names = names or [str(i) for i in range(len(series[0].figures))]
    return group_chart("t", names, series, events, quantity="q", along="a", **more)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.68, 0.79, [0.7, 0.75]),
        (-30, 300, [0, 100, 200, 300]),
        (-0.004, 0.004, [-0.004, -0.002, 0, 0.002, 0.004]),
        (1e6, 3e6, [1e6, 1.5e6, 2e6, 2.5e6, 3e6]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    """One, two or five times a power of ten apart."""
    assert ticks(low, high) == pytest.approx(expected)


@given(st.lists(ANY_NUMBER, max_size=6))
def test_limits_hold_every_number_that_can_be_drawn_and_some_ticks(values):
    """However far apart, and however near."""
    found = limits(values)
    drawn = [v for v in values if math.isfinite(v) and abs(v) <= 1e100]
    assert (found is None) == (not drawn)
    if found:
        low, high = found
        assert all(low < v < high for v in drawn)
        assert 1 <= len(ticks(low, high)) <= 7


@given(st.data(), st.booleans(), st.integers(1, 6))
def test_any_groups_make_a_chart(data, is_joined, count):
    """NaN, infinities, nothing at all, and any text: well-formed, and within the picture."""
    one = st.lists(st.one_of(st.none(), FIGURES), min_size=count, max_size=count)
    series = [Series(f"s{i}", "<m>", data.draw(one)) for i in (1, 2, 3)]
    names = data.draw(st.lists(TEXTS, min_size=count, max_size=count))
    events = data.draw(st.lists(st.integers(0, 10**12), min_size=count, max_size=count))
    svg = chart_of(series, names, events, is_joined=is_joined)
    assert "nan" not in re.sub(r"<text.*?</text>|<desc>.*?</desc>", "", svg)
    for style in ("curve", "band", "whisker"):
        for part in parts(svg, style):
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in numbers(part))


@given(
    st.lists(FIGURES, min_size=1, max_size=3),
    st.lists(st.builds(Bin, ANY_NUMBER, ANY_NUMBER, st.integers(0, 10**9)), max_size=8),
    TEXTS,
)
def test_any_figures_and_bins_make_a_chart(figures, bins, text):
    """The same of the other two kinds."""
    rows = [Series("s1", text, [figure]) for figure in figures]
    parse(interval_chart(text, rows, quantity=text))
    parse(calibration_chart(text, [("s1", text, bins), ("s2", text, [])], unit=text))
    parse(calibration_chart(text, [("s1", text, bins)], is_share=True))


def test_a_larger_value_is_higher_and_later_groups_are_to_the_right():
    """Within the frame, by the scale of the ticks."""
    (curve, _) = parts(
        chart_of([Series("s1", "m", [Figure(1.0), Figure(3.0), Figure(2.0)])]), "curve"
    )
    (x1, y1), (x2, y2), (x3, y3) = numbers(curve)
    assert LEFT < x1 < x2 < x3 < RIGHT
    assert TOP < y2 < y3 < y1 < BOTTOM
    assert y1 - y3 == pytest.approx(y3 - y2, abs=0.2)


def test_a_gap_breaks_the_curve():
    """A line across a group without a figure would be invented."""
    figures = [Figure(1.0), Figure(2.0), None, Figure(math.nan), Figure(2.0), Figure(1.0)]
    curves = parts(chart_of([Series("s1", "m", figures)]), "curve")[:-1]  # the last: the legend
    assert [len(numbers(curve)) for curve in curves] == [2, 2]
    assert len(parts(chart_of([Series("s1", "m", figures)]), "marker")) == 4 + 1


def test_bands_follow_the_intervals():
    """Upper ends forth, lower ends back; a single one is a whisker, which can be seen."""
    known = [Figure(2.0, 1.0, 3.0), Figure(2.0, 1.5, 2.5)]
    (band,) = parts(chart_of([Series("s1", "m", known)]), "band")
    ys = [y for _, y in numbers(band)]
    assert ys[0] < ys[1] < ys[2] < ys[3]
    lonely = chart_of([Series("s1", "m", [Figure(2.0), known[0], Figure(2.0)])])
    assert (len(parts(lonely, "band")), len(parts(lonely, "whisker"))) == (0, 1)


def test_groups_without_order_are_not_joined():
    """And models stand beside each other, so that no interval hides another."""
    series = [Series(f"s{i}", "m", [Figure(2.0, 1.0, 3.0)] * 2) for i in (1, 2, 3)]
    svg = chart_of(series, is_joined=False)
    assert len(parts(svg, "curve")) == 3  # the legend's
    assert parts(svg, "band") == []
    assert len({numbers(whisker)[0][0] for whisker in parts(svg, "whisker")}) == 6


def test_models_of_a_lone_group_stand_beside_each_other():
    """A curve of one point is none, and its intervals would lie upon each other."""
    series = [Series(f"s{i}", "m", [Figure(2.0, 1.0, 3.0)]) for i in (1, 2, 3)]
    whiskers = parts(chart_of(series), "whisker")
    assert len({numbers(whisker)[0][0] for whisker in whiskers}) == 3


def test_bars_show_the_events():
    """From the floor, the largest as high as there is room."""
    svg = chart_of([Series("s1", "m", [Figure(1.0)] * 3)], events=[100, 50, 0])
    heights = [float(bar.get("height")) for bar in parts(svg, "events", "rect")]
    assert heights == [COUNTS_BOTTOM - COUNTS_TOP, (COUNTS_BOTTOM - COUNTS_TOP) / 2, 0]


@pytest.mark.parametrize("count", [1, 2, 9, 40])
@pytest.mark.parametrize("length", [1, 10, 300])
def test_names_of_groups_do_not_overlap(count, length):
    """As many as fit are written, the first always."""
    names = [f"{i:0{length}d}" for i in range(count)]
    svg = chart_of([Series("s1", "m", [Figure(1.0)] * count)], names)
    found = [
        (float(e.get("x")), len(e.text) * 5.6)
        for e in parse(svg).iter("text")
        if e.get("class") == "label middle"
    ]
    assert found
    assert all(b[0] - a[0] >= (a[1] + b[1]) / 2 for a, b in pairwise(found))
    assert all(x - width / 2 >= 0 and x + width / 2 <= WIDTH for x, width in found)


def test_every_chart_says_what_it_is():
    """A title and a description for those who do not see it, and a role."""
    svgs = [
        chart_of([Series("s1", "m", [Figure(1.0)])]),
        calibration_chart("t", [("s1", "m", [Bin(0.5, 0.5, 1)])]),
        interval_chart("t", [Series("s1", "m", [Figure(1.0)])], quantity="q"),
    ]
    for root in map(parse, svgs):
        assert (root.get("role"), root[0].tag, root[1].tag) == ("img", "title", "desc")
        assert root[0].text == "t"
        assert root[1].text


def test_models_differ_by_shape_and_not_by_colour_alone():
    """Three markers of different outlines; colours are left to the style sheet."""
    series = [Series(f"s{i}", "m", [Figure(1.0)]) for i in (1, 2, 3)]
    svg = chart_of(series)
    shapes = {re.sub(r"M[-\d.]+,[-\d.]+", "", e.get("d")) for e in parts(svg, "marker")}
    assert len(shapes) == 3
    assert not re.search(r"fill=|stroke=|style=|#[0-9a-f]{3}", svg)


def test_texts_of_a_log_are_escaped_and_made_visible():
    """Markup stays text, and nothing turns the direction of what follows."""
    hostile = "<script>\"'&\u202e\x00\ud800"
    svg = chart_of([Series("s1", hostile, [Figure(1.0)])], ["a"])
    assert "<script>\"'&\\u202e\\x00\\ud800" in words(svg)
    assert "<script" not in svg
    assert "\u202e" not in svg


def test_perfect_predictions_lie_on_the_diagonal():
    """Both axes have the same limits; shares go from 0 to 1."""
    bins = [Bin(0.2, 0.2, 10), Bin(0.6, 0.6, 5)]
    svg = calibration_chart("t", [("s1", "m", bins)], is_share=True)
    curve = parts(svg, "curve")[0]
    for (x, y), share in zip(numbers(curve), (0.2, 0.6), strict=True):
        assert x == pytest.approx(LEFT + share * (RIGHT - LEFT), abs=0.1)
        assert y == pytest.approx(BOTTOM + share * (TOP - BOTTOM), abs=0.1)


def boxes(svg, y):
    """Return the left end, right end and text of each label that ``y`` accepts."""
    found = []
    for e in parse(svg).iter("text"):
        if not e.get("class").startswith("label") or e.text in {"m", "events"} or not y(e):
            continue
        width = min(len(e.text) * 6, float(e.get("textLength", "inf")))
        left = float(e.get("x")) - width * (1 if e.get("class").endswith("end") else 0.5)
        found.append((left, left + width, e.text))
    return found


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (5e30, 2.2e31),
        (1e8, 1e8 + 4000),
        (-3e-9, -1e-9),
        (123_456, 123_466.5),
        (0, 1),
        (1e-31, 9e99),
    ],
)
def test_labels_of_an_axis_are_whole_apart_and_different(low, high):
    """However large or small the numbers are, and however near to one another."""
    bins = [Bin(low, low, 10), Bin(high, high, 5)]
    svg = calibration_chart("t", [("s1", "m", bins)])
    vertical = boxes(svg, lambda e: e.get("class") == "label end")
    horizontal = boxes(svg, lambda e: e.get("class") == "label middle")
    for labels in (vertical, horizontal):
        texts = [text for _, _, text in labels]
        assert len(set(texts)) == len(texts) > 1
        values = [float(text.replace(",", "")) for text in texts]
        assert values == pytest.approx(ticks(*limits([low, high])), rel=1e-9, abs=0)
        assert all(left >= 0 and right <= WIDTH for left, right, _ in labels)
    assert all(a[1] < b[0] for a, b in pairwise(horizontal))


def test_nothing_to_draw_is_said():
    """An empty frame would look like a fault of the page."""
    assert words(chart_of([Series("s1", "m", [None])])) == ["nothing to draw"]
    assert words(calibration_chart("t", [("s1", "m", [Bin(math.nan, 0.1, 1)])])) == [
        "nothing to draw"
    ]
    assert words(interval_chart("t", [], quantity="q")) == ["nothing to draw"]
