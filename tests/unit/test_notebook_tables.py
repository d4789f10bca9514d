"""Tables and texts of the results in a notebook: numbers as in the report, dashes for none."""

import html as entities
import re

import pytest

from stream_rnn import compare, evaluate, propose_spec, replay, train
from stream_rnn.evaluation.report.charts import LETTER
from stream_rnn.notebook.example import example_bundle, machines
from stream_rnn.notebook.html import table
from stream_rnn.text import DASH, format_number

FRAME = machines(3, 24)


def test_a_table_has_dashes_and_aligns_numbers_to_the_right():
    """A column with a missing number is a column of numbers."""
    html = table(("name", "low"), [("a", None), ("b", 1e-7)])
    right = "<td style=text-align:right>"
    assert re.findall(r"<td.*?</td>", html) == [
        "<td>a</td>",
        f"{right}{DASH}</td>",
        "<td>b</td>",
        f"{right}{format_number(1e-7)}</td>",
    ]


def test_the_caption_of_a_replay_is_whole():
    """Without the brackets of its ``repr``."""
    html = replay(FRAME, example_bundle())._repr_html_()
    caption = re.search("<caption>(.*)</caption>", html)[1]
    assert re.fullmatch("Replay of frame by frame [0-9a-f]{16}, the first 10", caption)


def test_a_comparison_without_intervals_has_dashes():
    """Three keys have no interval."""
    result = compare(FRAME, example_bundle(), example_bundle())
    html = result._repr_html_()
    assert "None" not in html
    assert html.count(f"text-align:right&gt;{DASH}&lt;") == 2 * result.to_polars().height


@pytest.mark.parametrize("scale", [1e-8, 1e30])
def test_figures_have_significant_digits(scale, tmp_path):
    """As in the report, whatever the unit of the target is."""
    frame = FRAME.with_columns(FRAME["vibration"] * scale)
    spec = propose_spec(frame, target="vibration")
    trained = train(frame, spec, tmp_path / "b", hidden=8, epochs=1)
    evaluation = evaluate(frame, tmp_path / "b", with_pictures=False)
    rmse = evaluation.evaluation.heads["next_vibration"].models["memory"]["rmse"].value
    assert f"memory {format_number(rmse)}, " in repr(evaluation)
    for text in (repr(trained), trained._repr_html_()):
        assert "0.0000" not in text
        assert not re.search(r"\d{8}", text)
        assert format_number(trained.scores.memory["test"]["next_vibration"]["mae"]) in text
    same = compare(frame, tmp_path / "b", tmp_path / "b")
    assert "next_vibration: mae B - A 0\n" in repr(same)
    assert format_number(rmse) in same._repr_html_()


@pytest.mark.parametrize(("seeds", "end"), [(1, ""), (3, ", 3 seeds")])
def test_the_curves_of_a_network_share_style_and_label(seeds, end, tmp_path):
    """A legend has room for two entries, and each entry has its own style."""
    spec = propose_spec(FRAME, target="failed")
    result = train(
        FRAME, spec, tmp_path / "b", hidden=8, epochs=2, seeds=seeds, initial_weights="random"
    )
    html = entities.unescape(result._repr_html_())
    chart = re.search("<svg.*?</svg>", html, re.DOTALL)[0]
    assert [chart.count(label) for label in (">gru<", ">memoryless<")] == [1, 1]
    assert f"<title>validation loss of each epoch{end}</title>" in chart
    assert "seed 1" not in chart
    curves = re.findall(r'class="curve (s\d)"', chart)
    assert (curves.count("s1"), curves.count("s2")) == (seeds + 1, seeds + 1)  # and the legend
    assert len(curves) == 2 * (seeds + 1)


def test_a_second_start_has_a_curve_of_its_own(tmp_path):
    """And the legend with all three kinds of curves ends within the picture."""
    spec = propose_spec(FRAME, target="failed")
    settings = {"hidden": 8, "epochs": 2, "seeds": 3}
    result = train(FRAME, spec, tmp_path / "b", initial_weights="memoryless", **settings)
    chart = re.search("<svg.*?</svg>", entities.unescape(result._repr_html_()), re.DOTALL)[0]
    curves = re.findall(r'class="curve (s\d)"', chart)
    assert (curves.count("s2"), curves.count("s3"), len(curves)) == (4, 4, 8)
    width = float(re.search(r'viewBox="0 0 (\S+)', chart)[1])
    longest = ("elman", "memoryless", "elman-restarted")
    assert sum(len(label) * LETTER + 34 for label in longest) <= width
