"""Evaluations for the tests of reports, and pages that are read again."""

from html.parser import HTMLParser

from stream_rnn.evaluation.report.html import render
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

VOID = {"meta", "br", "link", "img"}


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
