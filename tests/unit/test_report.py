"""The report: the evaluation's own numbers, every text harmless, and a sensible page always."""

import re

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.report import html as report
from stream_rnn.evaluation.report.html import render, write_report
from stream_rnn.evaluation.result import (
    MODELS,
    HiddenStateGroup,
    HiddenStateHealth,
    WorstPrediction,
)
from tests.unit.report_pages import Page, evaluation, figure, groups, head, page

HOSTILE = "</style><script>alert('x')</script>\"&amp;\u202e\x00\ud800\u2028👩‍🚒{{ 7 * 7 }}"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0,0h1"/></svg>'


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


def test_a_warning_is_the_first_thing_that_the_page_says():
    """Before any figure; a page without one has no such section."""
    warnings = (
        "head late: the naive rule last is better than <every> network here",
        "feature x: 9%",
    )
    warned = page(head(naive_factor=10.0), warnings=warnings)
    at = [warned.text.index(text) for text in (*warnings, "Contents", "Data", "0.768")]
    assert at == sorted(at)
    assert ["late", "naive is better"] in [row[:2] for row in warned.cells() if len(row) > 1]
    assert "Before you read on" not in page(head()).text


def test_the_groups_by_key_of_few_keys_are_called_keys():
    """And those of many by the number of their events."""
    few = page(head(by_key=groups("LGA", "EWR"), has_key_groups=True))
    assert ["key", "events", "memory", "memoryless", "naive"] in few.cells()
    assert any(row[:1] == ["LGA"] for row in few.cells())
    assert ["events of the key", "events", "memory", "memoryless", "naive"] in page(head()).cells()
