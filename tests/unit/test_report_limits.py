"""Reports of any evaluation, of the largest one, and of one that lacks something."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.evaluation.report import html as report
from stream_rnn.evaluation.report.html import REPORT_BYTES_MAX, render
from stream_rnn.evaluation.result import (
    MODELS,
    Bin,
    Group,
    HeadEvaluation,
    WorstPrediction,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import DASH
from tests.unit.report_pages import Page, evaluation, figure, groups, head, page

TEXTS = st.text(st.characters(exclude_characters="Nn"))  # so that none of them is "None" or "nan"
ANY_FIGURE = st.builds(Figure, st.floats(), *[st.one_of(st.none(), st.floats())] * 2)
FIGURES = st.dictionaries(st.sampled_from(MODELS), ANY_FIGURE)
GROUPS = st.lists(st.builds(Group, TEXTS, st.integers(0), FIGURES), max_size=3).map(tuple)
HEADS = st.builds(
    HeadEvaluation,
    TEXTS,
    st.sampled_from(["binary", "multiclass", "regression", "time_to_next"]),
    TEXTS,
    st.sampled_from(["", "s", "€<b>"]),
    st.sampled_from(["auc", "mae"]),
    st.sampled_from(["higher", "lower"]),
    st.integers(0, 10**12),
    st.dictionaries(
        st.sampled_from(MODELS), st.dictionaries(st.sampled_from(["auc", "mae", "x"]), ANY_FIGURE)
    ),
    TEXTS,
    st.one_of(st.none(), ANY_FIGURE),
    GROUPS,
    GROUPS,
    GROUPS,
    st.dictionaries(
        st.sampled_from(MODELS),
        st.lists(st.builds(Bin, st.floats(), st.floats(), st.integers(0)), max_size=2).map(tuple),
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(HEADS, max_size=2))
def test_any_evaluation_makes_a_page(heads):
    """Whatever is missing, not a number or infinite."""
    html = render(evaluation(*heads), [])
    Page(html)
    assert not re.search(r">\s*(nan|None|inf)\b", html)


@pytest.mark.parametrize(
    ("heads", "more", "text"),
    [
        ([], {}, "The model has no head"),
        ([head(events=0, models={})], {}, "No scored event has a label."),
        ([head(models={"memory": {"auc": Figure(0.7)}})], {}, "There is no memoryless baseline"),
        ([head(models={"memory": {"auc": Figure(0.7)}})], {}, "No naive rule was scored."),
        ([head(by_memory=groups("1"))], {}, "Only one length of memory has a figure"),
        ([head(by_key=groups("1"))], {}, "Only one group has a figure"),
        ([head(by_memory=groups("1", "2", models=()))], {}, "No length of memory has a figure"),
        ([head(by_key=groups("1", "2", models=()))], {}, "No group has a figure"),
        ([head(calibration={"memory": (Bin(0.5, 0.25, 0),)})], {}, "No bin has events."),
        ([head()], {"health": None}, "This model has no hidden states"),
        ([head()], {"skipped": {}}, "none"),
        ([head()], {}, "The report has no pictures of keys."),
    ],
)
def test_what_is_missing_is_said(heads, more, text):
    """Rather than left empty."""
    assert text in page(*heads, **more).text


def test_nan_and_nothing_are_dashes():
    """Nobody reads NaN as a number."""
    one = head(models={m: {"auc": Figure(math.nan)} for m in MODELS}, worth=None)
    row = next(row for row in page(one).cells() if row[0] == "AUC")
    assert row == ["AUC", DASH, DASH, DASH]


def test_long_lists_are_cut_with_a_sentence(monkeypatch):
    """A thousand of each: the page says how many are missing, and where they are."""
    many = [str(i) for i in range(1000)]
    miss = head().largest[0]
    long = head(
        models={m: {f"class_{i}": figure(0.5) for i in many} for m in MODELS},
        by_memory=groups(*many),
        calibration={"memory": tuple(Bin(i / 1000, 0.5, 1) for i in range(1000))},
        largest=(miss,) * 1000,
    )
    text = page(long, skipped=dict.fromkeys(many, 1)).text
    for words in (
        "20 of 1,000 metrics",
        "40 of 1,000 groups",
        "30 of 1,000 bins",
        "20 of 1,000 errors",
        "20 of 1,000 reasons",
    ):
        assert f"{words} " in text
    monkeypatch.setattr(report, "HEADS_MAX", 2)
    monkeypatch.setattr(report, "HEAD_ROWS_MAX", 3)
    found = page(*[head(f"h{i}") for i in range(5)])
    assert "3 of 5 heads are shown" in found.text
    assert "The first 2 of 5 heads have a section of their own" in found.text
    assert {link[1:] for link in found.links} <= set(found.ids)


def test_the_largest_report_keeps_its_bound(monkeypatch):
    """Every list, text and picture too long; of 64 heads alike, two are drawn and counted."""
    odd = '"' * 2000
    miss = WorstPrediction(odd, 2**31, 2**63, 2**62, 2**63, odd, odd, 1e300)
    names = [f"{i}{odd}" for i in range(60)]
    long = head(
        odd,
        kind=odd,
        question=odd,
        unit=odd,
        naive=odd,
        models={m: {n: figure(1 / 3) for n in ("auc", *names)} for m in MODELS},
        by_memory=groups(*names),
        by_time=groups(*names),
        by_key=groups(*names),
        calibration={m: (Bin(1 / 3, 1 / 3, 10**9),) * 60 for m in MODELS},
        largest=(miss,) * 60,
    )
    texts = dict.fromkeys(("model", "fingerprint", "cell", "log", "warm_up", "part"), odd)
    picture = f"<svg>{' ' * (report.PICTURE_BYTES_MAX - 11)}</svg>"
    rows = {f"h{i}": long for i in range(report.HEAD_ROWS_MAX)}
    monkeypatch.setattr(report, "HEADS_MAX", 0)
    no_head = len(render(replace(evaluation(**texts), heads=rows), [(odd, picture)] * 9).encode())
    monkeypatch.setattr(report, "HEADS_MAX", 2)
    two_heads = len(render(replace(evaluation(**texts), heads=rows), [(odd, picture)] * 9).encode())
    assert two_heads > no_head > report.PICTURES_MAX * report.PICTURE_BYTES_MAX
    assert no_head + 64 * (two_heads - no_head) / 2 < REPORT_BYTES_MAX
