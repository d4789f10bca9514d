"""The report: an evaluation as one HTML file that needs no network, no script and no other file.

Every text from a log is escaped, with control characters made visible; the content security policy
of the page forbids the browser to load or run anything.  Long lists are shortened, with a note, so
that the file stays below ``REPORT_BYTES_MAX``; ``evaluate --json`` prints all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from stream_rnn.evaluation.report import charts, sentences
from stream_rnn.evaluation.report.charts import Series
from stream_rnn.evaluation.report.environment import (
    WITH_MS_BELOW,
    Excerpt,
    render_template,
    shorten,
)
from stream_rnn.evaluation.report.figures import (
    is_duration,
    metric_name,
)
from stream_rnn.evaluation.report.health_signs import health_signs
from stream_rnn.evaluation.result import (
    MODELS,
    Bin,
    Evaluation,
    Group,
    HeadEvaluation,
    HiddenStateHealth,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.overwriting import check_report, write_whole
from stream_rnn.text import duration_unit

REPORT_BYTES_MAX = 40_000_000
HEADS_MAX = 64  # with a section of their own
HEAD_ROWS_MAX = 500
METRICS_MAX = 20
GROUPS_MAX = 40
BINS_MAX = 30
LARGEST_MAX = 20
SKIPPED_MAX = 20
PICTURES_MAX = 6
PICTURE_BYTES_MAX = 1_500_000
STYLES = dict(zip(MODELS, ("s1", "s2", "s3"), strict=True))


@dataclass(frozen=True, slots=True)
class GroupSection:
    """The groups of one head, as a chart, a sentence and a table."""

    title: str
    along: str
    sentence: str
    chart: Markup
    models: tuple[str, ...]
    groups: Excerpt


@dataclass(frozen=True, slots=True)
class HeadSection:
    """The section of the page for one head.

    Attributes:
        anchor: Anchor of the section.
        head: Evaluation of the head.
        metric: Readable name of the main metric.
        models: Models that have figures, in the order of ``MODELS``.
        metrics: Names of the metrics, the main metric first.
        verdict: What the memory is worth, in two words.
        worth: What the memory is worth, as a sentence.
        chart: Main metric of each model.
        groups: Sections by memory, by time and by key, without those that have no groups.
        calibration: Sentence, chart, and rows of (model, bin); ``None`` if there are no bins.
        largest: Events with the largest errors.
        surprise: Distribution of the surprise, as a sentence; empty for a head without.
    """

    anchor: str
    head: HeadEvaluation
    metric: str
    models: tuple[str, ...]
    metrics: Excerpt
    verdict: str
    worth: str
    chart: Markup
    groups: tuple[GroupSection, ...]
    calibration: tuple[str, Markup, Excerpt] | None
    largest: Excerpt
    surprise: str


def write_report(
    evaluation: Evaluation, pictures: Sequence[tuple[str, str]], path: str | Path
) -> None:
    """Write the report to a temporary file and rename it, so that no reader sees half a file.

    Args:
        evaluation: Evaluation to show.
        pictures: Title and SVG of each picture.  The SVG is inserted unescaped, so it must come
            from this package.
        path: Path of the HTML file; an existing report is replaced.

    Raises:
        ConfigError: The file cannot be written, or exists and is not a report.
    """
    target = Path(path)
    check_report(target)
    write_whole(target, render(evaluation, pictures), "the report", check_report)


def render(evaluation: Evaluation, pictures: Sequence[tuple[str, str]]) -> str:
    """Return the report as HTML."""
    with_ms = evaluation.last_ms - evaluation.first_ms < WITH_MS_BELOW
    heads = list(evaluation.heads.values())
    return render_template(
        "report.html.jinja",
        with_ms=with_ms,
        it=evaluation,
        skipped=shorten(sorted(evaluation.skipped.items(), key=lambda r: -r[1]), SKIPPED_MAX),
        parts=Excerpt(
            tuple(_head_section(i, h) for i, h in enumerate(heads[:HEADS_MAX], 1)), len(heads)
        ),
        rows=Excerpt(tuple((h, *sentences.worth(h)) for h in heads[:HEAD_ROWS_MAX]), len(heads)),
        health_signs=health_signs(evaluation.health) if evaluation.health else (),
        health_chart=_health_chart(evaluation.health) if evaluation.health else "",
        health_at=shorten(evaluation.health.at if evaluation.health else (), GROUPS_MAX),
        pictures=_pictures(pictures),
        models=MODELS,
    )


def _head_section(place: int, head: HeadEvaluation) -> HeadSection:
    verdict, worth = sentences.worth(head)
    models = tuple(model for model in MODELS if head.models.get(model))
    names = dict.fromkeys(metric for model in models for metric in head.models[model])
    metrics = sorted(names, key=lambda metric: metric != head.metric)
    metric = metric_name(head.metric, head.unit)
    rows = {model: [head.models[model].get(head.metric)] for model in models}
    series, quantity = _series(head, rows)
    chart = charts.interval_chart(f"{metric} of each model", series, quantity=quantity)
    groupings = (
        ("Against the length of memory", "events in memory", head.by_memory, sentences.memory),
        ("Over time", "event time (UTC)", head.by_time, sentences.spread),
        ("By key", _along_keys(head), head.by_key, sentences.spread),
    )
    return HeadSection(
        anchor=f"head-{place}",
        head=head,
        metric=metric,
        models=models,
        metrics=shorten(metrics, METRICS_MAX),
        verdict=verdict,
        worth=worth,
        chart=Markup(chart),  # noqa: S704  # escaped where it is drawn
        groups=tuple(
            _group_section(head, title, along, groups, summarize(head, groups))
            for title, along, groups, summarize in groupings
            if groups
        ),
        calibration=_calibration(head),
        largest=shorten(head.largest, LARGEST_MAX),
        surprise=sentences.surprise(head.surprise) if head.surprise else "",
    )


def _along_keys(head: HeadEvaluation) -> str:
    """Return what the groups by key are: keys, or numbers of events of a key."""
    return "key" if head.has_key_groups else "events of the key"


def _series(
    head: HeadEvaluation, figures: Mapping[str, Sequence[Figure | None]]
) -> tuple[list[Series], str]:
    """Return a curve for each model, and the label of the axis; durations share a readable unit."""
    name, scale = metric_name(head.metric, head.unit), 1.0
    if is_duration(head.metric, head.unit):
        values = [abs(f.value) for of_model in figures.values() for f in of_model if f is not None]
        scale, unit = duration_unit(max(filter(math.isfinite, values), default=1))
        name = f"{name} ({unit})"
    series = [
        Series(STYLES[model], model, [f and _divide(f, scale) for f in of_model])
        for model, of_model in figures.items()
    ]
    return series, f"{name}, {head.better} is better"


def _divide(figure: Figure, scale: float) -> Figure:
    low, high = (None if end is None else end / scale for end in (figure.low, figure.high))
    return Figure(figure.value / scale, low, high)


def _group_section(
    head: HeadEvaluation, title: str, along: str, groups: Sequence[Group], sentence: str
) -> GroupSection:
    excerpt = shorten(groups, GROUPS_MAX)
    models = tuple(m for m in MODELS if any(m in group.figures for group in excerpt.items))
    series, quantity = _series(head, {m: [g.figures.get(m) for g in excerpt.items] for m in models})
    names, day = [group.name for group in excerpt.items], ""
    if groups is head.by_time:
        names, day = _split_day(names)
    chart = charts.group_chart(
        f"{head.name}: {title.lower()}",
        names,
        series,
        [group.events for group in excerpt.items],
        quantity=quantity,
        along=f"{along}{day}",
        is_joined=groups is not head.by_key,
    )
    drawn = Markup(chart)  # noqa: S704  # escaped where it is drawn
    return GroupSection(
        title=title, along=along, sentence=sentence, chart=drawn, models=models, groups=excerpt
    )


def _split_day(names: Sequence[str]) -> tuple[list[str], str]:
    """Return times without their day, and the day after a comma, if all have the same day."""
    parts = [name.partition("T") for name in names]
    if len({day for day, _, _ in parts}) > 1 or not all(time for _, _, time in parts):
        return list(names), ""
    return [time for _, _, time in parts], f", {parts[0][0]}"


def _calibration(head: HeadEvaluation) -> tuple[str, Markup, Excerpt] | None:
    bins: Mapping[str, tuple[Bin, ...]] = {
        model: head.calibration[model][:BINS_MAX] for model in MODELS if head.calibration.get(model)
    }
    if not bins:
        return None
    rows = [(model, bin_) for model, of_model in bins.items() for bin_ in of_model]
    total = sum(len(head.calibration[model]) for model in bins)
    scale, unit = 1.0, head.unit
    if unit == "s":
        values = [abs(v) for _, bin_ in rows for v in (bin_.predicted, bin_.observed)]
        scale, unit = duration_unit(max(filter(math.isfinite, values), default=1))
    chart = charts.calibration_chart(
        f"{head.name}: calibration",
        [
            (STYLES[m], m, [Bin(b.predicted / scale, b.observed / scale, b.events) for b in of_m])
            for m, of_m in bins.items()
        ],
        unit=unit,
        is_share=head.kind in {"binary", "multiclass", "quantile"},
    )
    return sentences.calibration(head), Markup(chart), Excerpt(tuple(rows), total)  # noqa: S704


def _health_chart(health: HiddenStateHealth) -> Markup:
    groups = health.at[:GROUPS_MAX]
    series = [
        Series("s1", "mean", [Figure(group.norm) for group in groups]),
        Series("s2", "95th percentile", [Figure(group.norm_high) for group in groups]),
    ]
    chart = charts.group_chart(
        "norm of the hidden states",
        [group.steps for group in groups],
        series,
        [group.states for group in groups],
        quantity="|h| / √units, 1 is full",
        along="events in memory",
        counted="states",
    )
    return Markup(chart)  # noqa: S704  # escaped where it is drawn


def _pictures(pictures: Sequence[tuple[str, str]]) -> Excerpt:
    """Return the first pictures that are not too large."""
    fitting = [
        (title, Markup(svg))  # noqa: S704  # this package's own, escaped where it is drawn
        for title, svg in pictures
        if len(svg.encode()) <= PICTURE_BYTES_MAX
    ]
    return Excerpt(tuple(fitting[:PICTURES_MAX]), len(pictures))
