"""An evaluation as one HTML file that needs no network, no script and no other file.

Every text of a log is made visible and escaped where it is written; the page's own policy forbids
the browser to load or run anything.  What is too long is cut with a sentence that says so, which
keeps the file below ``REPORT_BYTES_MAX``; ``evaluate --json`` has all of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from stream_rnn.evaluation.report import charts
from stream_rnn.evaluation.report import sentences as conclusions
from stream_rnn.evaluation.report.charts import Series
from stream_rnn.evaluation.report.figures import (
    format_difference,
    format_metric,
    interval,
    is_duration,
    metric_name,
)
from stream_rnn.evaluation.result import (
    MODELS,
    Bin,
    Evaluation,
    Group,
    HeadEvaluation,
    HiddenHealth,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.overwriting import check_report, write_whole
from stream_rnn.text import duration_unit, format_number, format_time, printable

REPORT_BYTES_MAX = 40_000_000
HEADS_MAX = 64  # with a part of their own
HEAD_ROWS_MAX = 500
METRICS_MAX = 20
GROUPS_MAX = 40
BINS_MAX = 30
LARGEST_MAX = 20
SKIPPED_MAX = 20
PICTURES_MAX = 6
SENTENCE_MAX = 600  # characters of any text; names and values are cut before
PICTURE_BYTES_MAX = 1_500_000
STYLES = dict(zip(MODELS, ("s1", "s2", "s3"), strict=True))


@dataclass(frozen=True, slots=True)
class Cut:
    """The first of a long list, and how many there were."""

    items: tuple[Any, ...]
    total: int

    @property
    def is_cut(self) -> bool:
        """Whether some are missing."""
        return len(self.items) < self.total


@dataclass(frozen=True, slots=True)
class GroupPart:
    """Groups of one head as a chart, a sentence and a table."""

    title: str
    along: str
    sentence: str
    chart: Markup
    models: tuple[str, ...]
    groups: Cut


@dataclass(frozen=True, slots=True)
class HeadPart:
    """What the page says of one head.

    Attributes:
        anchor: where links to it go.
        head: its figures.
        metric: the main metric in words.
        models: those that have a figure, in the usual order.
        metrics: the main one first.
        verdict, worth: what the memory is worth, in two words and as a sentence.
        chart: the main metric of each model.
        groups: by memory, by time and by key; without those that have no groups.
        calibration: (sentence, chart, rows of (model, bin)); ``None`` if there are no bins.
        largest: the largest errors.
    """

    anchor: str
    head: HeadEvaluation
    metric: str
    models: tuple[str, ...]
    metrics: Cut
    verdict: str
    worth: str
    chart: Markup
    groups: tuple[GroupPart, ...]
    calibration: tuple[str, Markup, Cut] | None
    largest: Cut


def write_report(
    evaluation: Evaluation, pictures: Sequence[tuple[str, str]], path: str | Path
) -> None:
    """Write the report beside its place, then rename it: a reader never meets half a file.

    Args:
        evaluation: what is shown.
        pictures: (title, SVG) of some keys, as this package draws them; shown as they are.
        path: of the HTML file; a report that is there is replaced.

    Raises:
        ConfigError: it cannot be written, or something else stands there.
    """
    target = Path(path)
    check_report(target)
    write_whole(target, render(evaluation, pictures), "the report", check_report)


def render(evaluation: Evaluation, pictures: Sequence[tuple[str, str]]) -> str:
    """Return the report as HTML."""
    here = files("stream_rnn.evaluation.report")
    environment = Environment(
        loader=FunctionLoader(lambda name: here.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_written,
    )
    environment.filters.update(
        printable=printable,
        interval=interval,
        format_time=format_time,
        metric_name=metric_name,
        value=format_metric,
        difference=format_difference,
    )
    heads = list(evaluation.heads.values())
    return environment.get_template(
        "report.html.jinja"
    ).render(
        css=Markup(here.joinpath("report.css").read_text(encoding="utf-8")),  # noqa: S704  # ours
        it=evaluation,
        skipped=first(sorted(evaluation.skipped.items(), key=lambda r: -r[1]), SKIPPED_MAX),
        parts=Cut(tuple(_head_part(i, h) for i, h in enumerate(heads[:HEADS_MAX], 1)), len(heads)),
        rows=Cut(tuple((h, *conclusions.worth(h)) for h in heads[:HEAD_ROWS_MAX]), len(heads)),
        readings=conclusions.health(evaluation.health) if evaluation.health else (),
        health_chart=_health_chart(evaluation.health) if evaluation.health else "",
        health_at=first(evaluation.health.at if evaluation.health else (), GROUPS_MAX),
        pictures=_pictures(pictures),
        models=MODELS,
    )


def first(items: Sequence[Any], most: int) -> Cut:
    """Cut a list."""
    return Cut(tuple(islice(items, most)), len(items))


def _written(value: Any) -> Any:
    """Return what stands on the page for a value: what nobody knows is a dash."""
    if isinstance(value, Markup):
        return value
    if value is None or isinstance(value, float):
        return format_number(value)
    return f"{value:,}" if isinstance(value, int) else printable(str(value), SENTENCE_MAX)


def _head_part(place: int, head: HeadEvaluation) -> HeadPart:
    verdict, worth = conclusions.worth(head)
    models = tuple(model for model in MODELS if head.models.get(model))
    names = dict.fromkeys(metric for model in models for metric in head.models[model])
    metrics = sorted(names, key=lambda metric: metric != head.metric)
    metric = metric_name(head.metric, head.unit)
    rows = {model: [head.models[model].get(head.metric)] for model in models}
    series, quantity = _series(head, rows)
    chart = charts.interval_chart(f"{metric} of each model", series, quantity=quantity)
    asked = (
        ("Against the length of memory", "events in memory", head.by_memory, conclusions.memory),
        ("Over time", "event time (UTC)", head.by_time, conclusions.spread),
        ("By key", "events of the key", head.by_key, conclusions.spread),
    )
    return HeadPart(
        anchor=f"head-{place}",
        head=head,
        metric=metric,
        models=models,
        metrics=first(metrics, METRICS_MAX),
        verdict=verdict,
        worth=worth,
        chart=Markup(chart),  # noqa: S704  # escaped where it is drawn
        groups=tuple(
            _group_part(head, title, along, groups, conclude(head, groups))
            for title, along, groups, conclude in asked
            if groups
        ),
        calibration=_calibration(head),
        largest=first(head.largest, LARGEST_MAX),
    )


def _series(
    head: HeadEvaluation, figures: Mapping[str, Sequence[Figure | None]]
) -> tuple[list[Series], str]:
    """Return a curve of each model, and what the axis measures: durations in one readable unit."""
    name, size = metric_name(head.metric, head.unit), 1.0
    if is_duration(head.metric, head.unit):
        values = [abs(f.value) for some in figures.values() for f in some if f is not None]
        size, unit = duration_unit(max(filter(math.isfinite, values), default=1))
        name = f"{name} ({unit})"
    series = [
        Series(STYLES[model], model, [f and _divided(f, size) for f in some])
        for model, some in figures.items()
    ]
    return series, f"{name}, {head.better} is better"


def _divided(figure: Figure, size: float) -> Figure:
    low, high = (None if end is None else end / size for end in (figure.low, figure.high))
    return Figure(figure.value / size, low, high)


def _group_part(
    head: HeadEvaluation, title: str, along: str, groups: Sequence[Group], sentence: str
) -> GroupPart:
    cut = first(groups, GROUPS_MAX)
    models = tuple(m for m in MODELS if any(m in group.figures for group in cut.items))
    series, quantity = _series(head, {m: [g.figures.get(m) for g in cut.items] for m in models})
    chart = charts.group_chart(
        f"{head.name}: {title.lower()}",
        [group.name for group in cut.items],
        series,
        [group.events for group in cut.items],
        quantity=quantity,
        along=along,
        is_joined=groups is not head.by_key,
    )
    drawn = Markup(chart)  # noqa: S704  # escaped where it is drawn
    return GroupPart(
        title=title, along=along, sentence=sentence, chart=drawn, models=models, groups=cut
    )


def _calibration(head: HeadEvaluation) -> tuple[str, Markup, Cut] | None:
    bins: Mapping[str, tuple[Bin, ...]] = {
        model: head.calibration[model][:BINS_MAX] for model in MODELS if head.calibration.get(model)
    }
    if not bins:
        return None
    rows = [(model, one) for model, some in bins.items() for one in some]
    total = sum(len(head.calibration[model]) for model in bins)
    size, unit = 1.0, head.unit
    if unit == "s":
        ends = [abs(v) for _, one in rows for v in (one.predicted, one.observed)]
        size, unit = duration_unit(max(filter(math.isfinite, ends), default=1))
    chart = charts.calibration_chart(
        f"{head.name}: calibration",
        [
            (STYLES[m], m, [Bin(b.predicted / size, b.observed / size, b.events) for b in some])
            for m, some in bins.items()
        ],
        unit=unit,
        is_share=head.kind in {"binary", "multiclass"},
    )
    return conclusions.calibration(head), Markup(chart), Cut(tuple(rows), total)  # noqa: S704


def _health_chart(health: HiddenHealth) -> Markup:
    at = health.at[:GROUPS_MAX]
    series = [
        Series("s1", "mean", [Figure(one.norm) for one in at]),
        Series("s2", "95th percentile", [Figure(one.norm_high) for one in at]),
    ]
    chart = charts.group_chart(
        "norm of the hidden states",
        [one.steps for one in at],
        series,
        [one.states for one in at],
        quantity="|h| / √units, 1 is full",
        along="events in memory",
        counted="states",
    )
    return Markup(chart)  # noqa: S704  # escaped where it is drawn


def _pictures(pictures: Sequence[tuple[str, str]]) -> Cut:
    """Return those that are not too large."""
    fitting = [
        (title, Markup(svg))  # noqa: S704  # this package's own, escaped where it is drawn
        for title, svg in pictures
        if len(svg.encode()) <= PICTURE_BYTES_MAX
    ]
    return Cut(tuple(fitting[:PICTURES_MAX]), len(pictures))
