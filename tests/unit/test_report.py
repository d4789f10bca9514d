"""The report: the evaluation's own numbers, every text harmless, and a sensible page always."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.report import html as report
from stream_rnn.evaluation.report.html import REPORT_BYTES_MAX, render, write_report
from stream_rnn.evaluation.result import (
    MODELS,
    Bin,
    Evaluation,
    Group,
    HeadEvaluation,
    HiddenStateGroup,
    HiddenStateHealth,
    WorstPrediction,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import DASH

VOID = {"meta", "br", "link", "img"}
HOSTILE = "</style><script>alert('x')</script>\"&amp;\u202e\x00\ud800\u2028👩‍🚒{{ 7 * 7 }}"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0,0h1"/></svg>'


class Page(HTMLParser):
    """A page as text, tags and tables; fails where a tag is not closed by its own."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], ""
        self.attributes, self.rows = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def cells(self):
        """Return the rows of all tables, each cell without needless white space."""
        return [[" ".join(cell.split()) for cell in row] for row in self.rows]


def figure(value, half=0.01):
    """Make a figure with an interval."""
    return Figure(value, value - half, value + half)


def groups(*names, models=MODELS):
    """Make groups, of which each next one is a little better."""
    return tuple(
        Group(name, 100 + i, {m: figure(0.7 + 0.02 * i - 0.05 * k) for k, m in enumerate(models)})
        for i, name in enumerate(names)
    )


def head(name="late", **more):
    """Make the evaluation of a binary head."""
    metrics = {"memory": 0.768, "memoryless": 0.729, "naive": 0.637}
    full = {
        "name": name,
        "kind": "binary",
        "question": "Is the next departure late?",
        "unit": "",
        "metric": "auc",
        "better": "higher",
        "events": 109421,
        "models": {m: {"log_loss": Figure(0.5), "auc": figure(v)} for m, v in metrics.items()},
        "naive": "the last answer of the key",
        "worth": figure(0.039, 0.004),
        "by_memory": groups("1", "2-5", "6+"),
        "by_time": groups("2013-09", "2013-10"),
        "by_key": groups("1-9", "10+"),
        "calibration": {"memory": (Bin(0.1, 0.125, 700), Bin(0.6, 0.525, 300))},
        "largest": (WorstPrediction("UA-EWR", 2, 1234, 1357034220000, 17, "0.012", "late", 4.42),),
    }
    return HeadEvaluation(**{**full, **more})


def evaluation(*heads, **more):
    """Make an evaluation."""
    at = (
        HiddenStateGroup("1", 300, 0.21, 0.32, 0.01, 0.3),
        HiddenStateGroup("2+", 200, 0.4, 0.5, 0.02, 0.1),
    )
    full = {
        "model": "delay",
        "fingerprint": "3fa94bc0d1e2f377",
        "cell": "gru, hidden 48, layers 1",
        "log": "flights.parquet",
        "events": 336776,
        "keys": 45,
        "skipped": {"no key": 3},
        "first_ms": 1357034220000,
        "last_ms": 1388534400000,
        "warm_up": "",
        "part": "",
        "heads": {one.name: one for one in heads},
        "health": HiddenStateHealth(2000, 48, 3, at, 0.62),
    }
    return Evaluation(**{**full, **more})


def page(*heads, pictures=(), **more):
    """Render and parse."""
    return Page(render(evaluation(*heads, **more), pictures))


def test_the_page_shows_the_numbers_of_the_evaluation():
    """Each model's figure with its interval, the worth, and the data."""
    found = page(head())
    rows = found.cells()
    shown_models = ["0.768 0.758 to 0.778", "0.729 0.719 to 0.739", "0.637 0.627 to 0.647"]
    worth = "+0.039 0.035 to 0.043"
    metric = "AUC higher is better"
    assert ["late", "memory helps", "109,421", metric, *shown_models, worth] in rows
    assert ["AUC", *shown_models] in rows
    assert ["log loss", "0.500", "0.500", "0.500"] in rows
    assert rows.index(["AUC", *shown_models]) < rows.index(["log loss", *["0.500"] * 3])
    assert [
        "2-5",
        "101",
        "0.720 0.710 to 0.730",
        "0.670 0.660 to 0.680",
        "0.620 0.610 to 0.630",
    ] in rows
    assert ["memory", "0.100", "0.125", "700"] in rows
    miss = ["UA-EWR", "0.012", "late", "4.42", "17", "2013-01-01 09:57:00", "2", "1,234"]
    assert miss in rows
    assert ["1", "300", "0.210", "0.320", "0.010", "0.300"] in rows
    for text in (
        "336,776",
        "3fa94bc0d1e2f377",
        "Is the next departure late?",
        "3\xa0\xd7\xa0no key",
    ):
        assert text in found.text


def test_the_loss_of_a_time_is_a_duration():
    """As its prediction and the actual time are."""
    late = WorstPrediction("UA-EWR", 2, 1234, 0, 17, "102 d", "2,638 d", 219_034_060.0)
    found = page(head(kind="time_to_next", unit="s", metric="mae", largest=(late,)))
    assert any(row[:4] == ["UA-EWR", "102 d", "2,638 d", "2,535 d"] for row in found.cells())


def test_times_of_a_short_log_have_milliseconds_and_its_chart_names_the_day_once():
    """The table below the chart has the whole times."""
    times = ("2013-01-01T09:57:00.000", "2013-01-01T09:57:00.250")
    html = render(evaluation(head(by_time=groups(*times)), last_ms=1357034220500), [])
    assert "2013-01-01 09:57:00.000 to 2013-01-01 09:57:00.500" in Page(html).text
    assert ">09:57:00.250</text>" in html
    assert ">event time (UTC), 2013-01-01</text>" in html
    assert times[1] in [row[0] for row in Page(html).cells()]
    across = render(evaluation(head(by_time=groups(times[0], "2013-01-02T00:00:00.000"))), [])
    assert f">{times[0]}</text>" in across


def test_the_page_needs_nothing_but_itself():
    """No script, no address, no other file; and the browser is forbidden to look for one."""
    html = render(evaluation(head()), [("UA-EWR", PICTURE)])
    found = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    assert not re.search(r"https?:|url\(|@import|\bsrc=|javascript:", html.replace(PICTURE, ""))
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in (
        found.attributes
    )
    assert all(link.startswith("#") for link in found.links)


def test_every_link_has_its_place():
    """Contents and overview lead to each head, and no place has two names alike."""
    found = page(*[head(f"h{i}") for i in range(64)])
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert {f"#head-{i}" for i in range(1, 65)} <= set(found.links)
    assert len(found.ids) == len(set(found.ids))


def test_texts_of_a_log_are_only_texts():
    """Wherever they stand: no tag, no template, nothing unseen, nothing that is not UTF-8."""
    hostile = head(
        HOSTILE,
        kind=HOSTILE,
        question=HOSTILE,
        unit=HOSTILE,
        metric=HOSTILE,
        naive=HOSTILE,
        models={m: {HOSTILE: figure(0.7)} for m in MODELS},
        by_memory=groups(HOSTILE, "2"),
        by_time=groups(HOSTILE),
        by_key=groups(HOSTILE, "2"),
        largest=(WorstPrediction(HOSTILE, 0, 0, 0, 1, HOSTILE, HOSTILE, 1.0),),
    )
    at = (HiddenStateGroup(HOSTILE, 1, 0.1, 0.1, 0.1, 0.1),)
    texts = dict.fromkeys(("model", "fingerprint", "cell", "log", "warm_up", "part"), HOSTILE)
    whole = evaluation(
        hostile, **texts, skipped={HOSTILE: 1}, health=HiddenStateHealth(1, 1, 0, at, 0.1)
    )
    html = render(whole, [(HOSTILE, PICTURE)])
    found = Page(html)
    assert "script" not in found.tags
    assert found.tags.count("style") == 1
    assert html.encode().decode() == html
    assert not set(html) & {"\u202e", "\x00", "\ud800", "\u2028"}
    seen = "</style><script>alert('x')</script>\"&amp;\\u202e\\x00\\ud800\\u2028👩‍🚒{{ 7 * 7 }}"
    assert found.text.count(seen) >= 20
    assert {name for name, _ in found.attributes} <= {
        *(
            "data-title",
            "lang",
            "charset",
            "http-equiv",
            "content",
            "name",
            "id",
            "class",
            "href",
            "scope",
        ),
        *("aria-label", "aria-labelledby", "tabindex", "role", "viewbox", "d", "x", "y"),
        *("width", "height", "xmlns"),
    }


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


def test_pictures_are_shown_as_they_are_unless_too_large():
    """They are this package's own; one that is left out is spoken of."""
    large = f"<svg>{' ' * report.PICTURE_BYTES_MAX}</svg>"
    html = render(evaluation(head()), [("UA-EWR", PICTURE), ("AA-JFK", large)])
    assert PICTURE in html
    assert "AA-JFK" not in html
    assert "1 of 2 pictures are shown" in Page(html).text


def test_every_figure_has_its_numbers_beside_it():
    """A chart is never the only place of a number."""
    html = render(evaluation(head()), [])
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    charts = [one for one in figures if "<svg" in one]
    assert len(charts) == 6
    assert all("<table>" in one for one in charts[:-1])
    assert html.index("<svg", html.index(charts[-1])) < html.index("By events in memory")


def test_a_table_scrolls_within_its_own_box():
    """Never the page; and its box can be reached and scrolled by keyboard."""
    html = render(evaluation(head()), [])
    tables = re.findall(r".{60}<table", html, re.DOTALL)
    assert len(tables) >= 8
    assert html.count("<table") == len(
        re.findall(
            r'<div class="scroll" tabindex="0" role="region" aria-label="[^"]+"><table', html
        )
    )


def test_the_style_speaks_of_light_dark_and_print():
    """Without a script, by what the reader's system prefers."""
    html = render(evaluation(head()), [])
    for words in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto"):
        assert words in html


def test_a_report_replaces_the_one_before(tmp_path):
    """Written beside and renamed, with nothing left over."""
    path = tmp_path / "report.html"
    for _ in range(2):
        write_report(evaluation(head()), [], path)
    assert Page(path.read_text(encoding="utf-8")).text.count("109,421")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("name", ["missing/report.html", "", "directory", "n" * 300])
def test_a_report_that_cannot_be_written_says_where(tmp_path, name):
    """The place, the reason, and what to do; nothing is left over."""
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigError, match=r"cannot write the report .*name a file in a directory"):
        write_report(evaluation(head()), [], tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["directory"]
