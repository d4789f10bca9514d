"""The picture of an unrolled network: what it shows, what it says it leaves out, and how big it is."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.trace import canvas, palette
from stream_rnn.trace import svg as pictures
from stream_rnn.trace.gates import GATES
from stream_rnn.trace.svg import unrolled_svg
from stream_rnn.trace.unroll import Between, Unrolled
from tests import models

NASTY = "<script>&\"'\x00\x1b</text>"
SPACE = "{http://www.w3.org/2000/svg}"


def unrolled_of(model, count, *, key=b"UA-EWR", between=(), seed=1):
    """Make what unrolling gives, of random numbers."""
    rng = np.random.default_rng(seed)

    def drawn(*shape, low=-1.0):
        return rng.uniform(low, 1, shape).astype(np.float32)

    y, cell = drawn(count, model.output_count), model.cell
    x = drawn(count, model.feature_count)
    gates = {name: drawn(count, cell.layers, cell.hidden, low=0) for name in GATES[cell.kind]}
    hidden = (count, *model.hidden_shape)
    return Unrolled(
        model, key, "flights", 3, 0, count, count, {}, np.arange(count) * 10,
        np.arange(count) * 60_000, np.full(count, np.nan), np.arange(count) + 1, x,
        drawn(*hidden), drawn(*hidden), gates, y, model.outputs(y), tuple(between),
    )  # fmt: skip


def parsed(svg):
    """Read an SVG as XML; return its root and all of its texts."""
    root = ET.fromstring(svg)
    assert root.tag == f"{SPACE}svg"
    return root, ["".join(text.itertext()) for text in root.iter(f"{SPACE}text")]


def cells_of(svg, steps):
    """Return the levels of the heat maps' cells, one (rows, steps) array a map."""
    maps = []
    for group in re.findall(r"<g [^>]*>(.*?)</g>", svg, re.DOTALL):
        found = {}
        for sign, level, path in re.findall(r'class="sr-([pn])(\d)"[^>]* d="([^"]*)"', group):
            for at, row, length in re.findall(r"M(\d+) (\d+)h(\d+)", path):
                for t in range(int(at), int(at) + int(length)):
                    assert (int(row), t) not in found, "a cell has one color"
                    found[int(row), t] = int(level) * (1 if sign == "p" else -1)
        levels = np.zeros((max(row for row, _ in found) + 1, steps), int)
        for place, level in found.items():
            levels[place] = level
        maps.append(levels)
    return maps


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm", "none"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_picture_holds_x_gates_memory_and_outputs(kind, layers):
    """It is XML, each part has its title, each feature and head its name."""
    model = models.small(kind, 8, layers)
    _, texts = parsed(unrolled_svg(unrolled_of(model, 30)))
    memory = {"none": [], "lstm": ["h", "c"]}.get(kind, ["h"])
    for word in ["UA-EWR", "x", *model.encoder.names, *GATES[kind], *memory, "big", "wait", "next"]:
        assert word in texts, word
    assert ("layer 1" in texts) == (layers == 2 and kind != "none")
    said = " ".join(texts)
    assert "flights, partition 3" in said
    assert "all 30 steps since offset 0: 1970-01-01 00:00:00 to 1970-01-01 00:29:00 UTC" in said
    assert ("memoryless" in said) == (kind == "none")


def test_the_surprise_of_a_head_is_a_line_with_gaps():
    """It begins at 0; an event without a surprise, such as the first of a memory, has no point."""
    unrolled = unrolled_of(models.small("gru", 8), 6)
    values = np.array([np.nan, 1, 3, np.nan, 0, 6], np.float32)
    plain = unrolled_svg(unrolled)
    svg = unrolled_svg(replace(unrolled, surprises={"big": values}))
    assert "surprise" not in parsed(plain)[1]
    texts = parsed(svg)[1]
    assert texts[texts.index("big") :].index("surprise") < texts[texts.index("big") :].index("wait")
    assert "nats" in texts
    lines = re.findall(r'class="sr-stroke0" d="([^"]*)"', svg)
    known = re.findall(r'class="sr-stroke0" d="([^"]*)"', plain)
    (drawn,) = [line for line in lines if line not in known and line.count("M") == 2]
    runs = [re.findall(r"([\d.]+) ([\d.]+)", run) for run in drawn.split("M")[1:]]
    assert [len(run) for run in runs] == [2, 2]
    heights = [float(y) for run in runs for _, y in run]
    bottom, top = heights[2], heights[3]  # of the surprises 0 and 6
    shares = [(bottom - y) / (bottom - top) for y in heights]
    assert shares == pytest.approx([1 / 6, 1 / 2, 0, 1], abs=0.01)
    none = unrolled_svg(replace(unrolled, surprises={"big": np.full(6, np.nan, np.float32)}))
    assert "surprise" in parsed(none)[1]


def test_the_color_of_a_cell_is_its_value():
    """Every cell of h has the level next to its value, and the rows are the units in their order."""
    unrolled = unrolled_of(models.small("elman", 24), 40)
    _, memory = cells_of(unrolled_svg(unrolled), 40)
    expected = np.rint(unrolled.h[:, 0].T * palette.LEVELS).astype(int)
    assert np.array_equal(memory, expected)
    assert {-8, 0, 8} < set(memory.ravel().tolist())


def test_a_value_that_is_beyond_the_scale_or_no_number_is_drawn_too():
    """X and c are scaled by their greatest magnitude; what is not a number has no color."""
    model = models.small("lstm", 8)
    unrolled = unrolled_of(model, 12)
    h = unrolled.h.copy()
    h[:, 1] *= 50
    h[3, 1, 0, 2] = 100
    gates = {**unrolled.gates, "i": np.full_like(unrolled.gates["i"], np.nan)}
    gates["i"][:, 0, 0] = 1
    unrolled.x[:, 0] = np.linspace(-4, 2, 12)
    svg = unrolled_svg(replace(unrolled, h=h, gates=gates))
    x, i, *_, c = cells_of(svg, 12)
    assert x[0].tolist() == np.rint(np.linspace(-8, 4, 12)).astype(int).tolist()
    assert i.tolist() == [[8] * 12]
    assert c[2, 3] == 8
    texts = parsed(svg)[1]
    assert "±4" in texts
    assert "±100" in texts


def test_only_the_last_steps_are_drawn_and_it_says_so():
    """Two hundred of a hundred thousand, whatever was asked for not more than a thousand."""
    unrolled = unrolled_of(models.small("gru", 8), 100_000)
    svg = unrolled_svg(unrolled)
    said = " ".join(parsed(svg)[1])
    assert "the last 200 of 100,000 steps" in said
    assert "998,000" in said  # the offset of the first of them
    assert len(svg) < 300_000
    many = unrolled_svg(unrolled, last=50_000)
    assert "the last 1,000 of 100,000 steps" in " ".join(parsed(many)[1])
    assert len(many) < 1_500_000


def test_of_many_units_those_that_vary_most_are_drawn_and_it_says_so():
    """128 of 2,048, in their order, the same in every heat map."""
    model = models.small.__wrapped__("lstm", 512, 4)
    unrolled = unrolled_of(model, 200)
    still = np.ones(2048, bool)
    moving = np.arange(5, 2048, 16)
    still[moving] = False
    unrolled.h[:, 0].reshape(200, -1)[:, still] = 0
    svg = unrolled_svg(unrolled)
    root, texts = parsed(svg)
    assert "the 128 of 2048 units that vary most" in " ".join(texts)
    maps = cells_of(svg, 200)
    assert [len(levels) for levels in maps[1:]] == [128] * 6
    flat = unrolled.gates["f"].reshape(200, -1)[:, moving]
    assert np.array_equal(maps[2], np.rint(flat.T * palette.LEVELS).astype(int))
    assert float(root.get("height")) < 4000
    assert len(svg) < 2_500_000


def wide_model():
    """Make a model of 300 columns, 64 heads and 40 classes with nasty names."""
    features = [
        {"name": f"f{i}", "kind": "numeric", "path": f"f{i}", "missing": "mean"} for i in range(300)
    ]
    heads = [{"name": f"h{i}", "kind": "time_to_next"} for i in range(63)]
    classes = [f"{NASTY}{i}" for i in range(40)]
    first = {"name": "c", "kind": "multiclass", "of": "next", "path": "z", "classes": classes}
    spec = {"name": "wide", "features": features, "heads": [first, *heads]}
    return Model.initialize(FeatureSpec.model_validate(spec), CellSpec(kind="gru", hidden=8))


def test_everything_is_escaped_and_bounded():
    """Keys, classes and reasons come from a topic: none of them is markup, none is long."""
    key = (NASTY * 1000).encode()
    between = [Between(95, "skipped", NASTY)]
    svg = unrolled_svg(unrolled_of(wide_model(), 20, key=key, between=between))
    root, texts = parsed(svg)
    assert not list(root.iter(f"{SPACE}script"))
    assert "<script>" not in svg
    assert any(text.startswith("<script>&") for text in texts)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", svg)
    said = " ".join(texts)
    assert "the 64 of 300 columns of x that vary most" in said
    assert "12 of 64 heads are drawn" in said
    assert max(len(text) for text in texts) < 200
    plain = "Zürich & <co>".encode()
    assert parsed(unrolled_svg(unrolled_of(models.small(), 3, key=plain)))[1][0] == plain.decode()


def test_what_happened_between_steps_stands_where_it_happened():
    """A line before the next step for an expiry and a forget, a mark for a skip, with its words."""
    between = [
        Between(20, "expired", "memory expired, 8 s after its last event"),
        Between(45, "forgotten", "forgotten at offset 45"),
        Between(99, "skipped", "skipped at offset 99: why"),
    ]
    svg = unrolled_svg(unrolled_of(models.small(), 10, between=between))
    root, texts = parsed(svg)
    left, cell = canvas.LEFT, canvas.CELL_MAX
    lines = re.findall(r'class="sr-cut"[^>]* d="M([\d.]+) [^>]*><title>(.*?)</title>', svg)
    assert lines == [
        (f"{left + 2 * cell:.1f}", between[0].text),
        (f"{left + 5 * cell:.1f}", between[1].text),
    ]
    (skip,) = [p for p in root.iter(f"{SPACE}path") if p.get("class") == "sr-mark"]
    assert "".join(skip.itertext()) == between[2].text
    (legend,) = [text for text in texts if "skipped" in text]
    assert "expired" in legend
    assert "forgotten" in legend
    quiet = parsed(unrolled_svg(unrolled_of(models.small(), 10)))[1]
    assert not any("skipped" in text for text in quiet)


def test_a_key_without_a_step_has_a_picture_that_says_so():
    """Not an error: its records are all bad."""
    svg = unrolled_svg(replace(unrolled_of(models.small(), 0), records=3))
    assert "none of the 3 records of this key is valid" in " ".join(parsed(svg)[1])


@pytest.mark.parametrize("width", [1, 400, 960, 3000])
def test_nothing_is_drawn_outside_of_the_picture(width):
    """At any width, with few steps and with many."""
    for count in (1, 7, 150):
        root, _ = parsed(unrolled_svg(unrolled_of(models.small("lstm"), count), width=width))
        right, bottom = float(root.get("width")), float(root.get("height"))
        assert right == max(width, pictures.WIDTH_MIN)
        for node in root.iter():
            assert 0 <= float(node.get("x", 0)) < right
            assert 0 <= float(node.get("y", 0)) < bottom
        for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", " ".join(outlines(root))):
            assert 0 < float(x) <= right
            assert 0 < float(y) <= bottom


def outlines(root):
    """Return the paths that are drawn in the picture's own pixels."""
    scaled = {id(path) for group in root.iter(f"{SPACE}g") for path in group}
    return [p.get("d") for p in root.iter(f"{SPACE}path") if id(p) not in scaled]


def luminance(color):
    """Return the relative luminance of a color; WCAG 2.2."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, other):
    """Return the contrast of two colors, from 1 to 21; WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("paper", [0, 1])
def test_the_colors_are_readable_on_light_and_on_dark(paper):
    """Text has a contrast of 4.5 at least, lines and the ends of the scale one of 3."""
    ground = palette.PAPER[paper]
    for name in ("ink", "dim", "mark"):
        assert contrast(palette.FILLS[name][paper], ground) >= 4.5, name
    for color in palette.LINES:
        assert contrast(color[paper], ground) >= 4.5  # names of classes have them, too
    for sign in (-1, 1):
        levels = [palette.level_color(sign * n)[paper] for n in range(1, palette.LEVELS + 1)]
        steps = [contrast(color, palette.ZERO[paper]) for color in levels]
        assert steps == sorted(steps)
        assert steps[-1] >= 3


def test_every_class_has_a_rule_for_light_and_for_dark():
    """And every rule is a variable with a fallback, so a page may have colors of its own."""
    between = [Between(0, kind, "x") for kind in ("expired", "forgotten", "skipped")]
    svg = unrolled_svg(unrolled_of(models.small("lstm"), 40, between=between))
    light, dark = palette.style().split("@media (prefers-color-scheme:dark)")
    used = set(re.findall(r'class="(sr-\w+)"', svg)) - {"sr-trace"}
    assert len(used) > 25
    for name in used:
        rule = rf"\.sr-trace \.{name}\{{(fill|stroke):var\(--sr-\w+,#[0-9a-f]{{6}}\)\}}"
        assert re.search(rule, light), name
        assert re.search(rule, dark), name
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", ""), "nothing is loaded"
