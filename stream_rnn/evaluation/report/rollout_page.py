"""The report of a roll-out: the comparison of its folds as one HTML file, like ``html.py``."""

import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from stream_rnn.evaluation.fold_comparison import FoldComparison, HeadComparison
from stream_rnn.evaluation.report import charts, rollout_sentences
from stream_rnn.evaluation.report.charts import Series
from stream_rnn.evaluation.report.environment import (
    WITH_MS_BELOW,
    Excerpt,
    render_template,
    shorten,
)
from stream_rnn.evaluation.report.figures import (
    is_duration,
    is_in_unit,
    metric_name,
)
from stream_rnn.evaluation.result import Bin
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.scores import better
from stream_rnn.overwriting import check_report, write_whole
from stream_rnn.text import duration_unit

HEADS_MAX = 64
METRICS_MAX = 20
PARTITIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class RolloutHead:
    """The section of the page for one head.

    Attributes:
        anchor: Anchor of the section.
        name: Name of the head.
        head: Its comparison.
        metric: Readable name of the main metric.
        verdict: Which fold is better, in a few words.
        quality: The same as a sentence.
        differences: How much the folds differ, as a sentence.
        flips: How many decisions differ, as a sentence; empty without decisions.
        metrics: Names of the metrics, the main one first.
        chart: Differences of the metrics with their intervals; empty without metrics.
        outputs: New against old, in bins; empty for classes.
    """

    anchor: str
    name: str
    head: HeadComparison
    metric: str
    verdict: str
    quality: str
    differences: str
    flips: str
    metrics: Excerpt
    chart: Markup
    outputs: Markup


def write_rollout_report(comparison: FoldComparison, path: str | Path) -> None:
    """Write the report to a temporary file and rename it, so that no reader sees half a file.

    Raises:
        ConfigError: The file cannot be written, or exists and is not a report.
    """
    target = Path(path)
    check_report(target)
    write_whole(target, render_rollout(comparison), "the report", check_report)


def render_rollout(comparison: FoldComparison) -> str:
    """Return the report as HTML."""
    heads = list(comparison.heads.items())
    return render_template(
        "rollout.html.jinja",
        with_ms=comparison.last_ms - comparison.first_ms < WITH_MS_BELOW,
        it=comparison,
        parts=Excerpt(
            tuple(
                _section(place, name, head, comparison.events)
                for place, (name, head) in enumerate(heads[:HEADS_MAX], 1)
            ),
            len(heads),
        ),
        ranges=shorten(comparison.ranges, PARTITIONS_MAX),
        notes=rollout_sentences.join_notes(comparison),
        gap=rollout_sentences.format_gap,
    )


def _section(place: int, name: str, head: HeadComparison, events: int) -> RolloutHead:
    verdict, quality = rollout_sentences.quality(head)
    names = sorted(head.metrics, key=lambda metric: metric != head.metric)
    return RolloutHead(
        anchor=f"head-{place}",
        name=name,
        head=head,
        metric=metric_name(head.metric, head.unit),
        verdict=verdict,
        quality=quality,
        differences=rollout_sentences.differences(head),
        flips=rollout_sentences.flips(head, events),
        metrics=shorten(names, METRICS_MAX),
        chart=Markup(_metrics_chart(name, head)),  # noqa: S704  # escaped where it is drawn
        outputs=Markup(_outputs_chart(name, head)),  # noqa: S704  # escaped where it is drawn
    )


def _metrics_chart(name: str, head: HeadComparison) -> str:
    """Draw the differences of the metrics that share the scale of the main one."""
    is_like = is_in_unit(head.metric)
    rows = {m: row.difference for m, row in head.metrics.items() if is_in_unit(m) == is_like}
    if not rows:
        return ""
    scale, quantity = 1.0, "new − old"  # noqa: RUF001  # the sign of a difference
    if is_duration(head.metric, head.unit):
        scale, unit = _duration_scale([figure.value for figure in rows.values()])
        quantity = f"{quantity} ({unit})"
    series = [
        Series("s1", f"{m} {'↑' if better(m) == 'higher' else '↓'}", [_over(f, scale)])
        for m, f in rows.items()
    ]
    return charts.interval_chart(f"{name}: metrics, new minus old", series, quantity=quantity)


def _outputs_chart(name: str, head: HeadComparison) -> str:
    bins = head.differences.bins
    if not bins:
        return ""
    scale, unit = 1.0, head.unit
    if unit == "s":
        scale, unit = _duration_scale([v for b in bins for v in (b.predicted, b.observed)])
    scaled = [Bin(b.predicted / scale, b.observed / scale, b.events) for b in bins]
    return charts.calibration_chart(
        f"{name}: new against old",
        [("s1", "mean of new", scaled)],
        unit=unit,
        is_share=head.kind == "binary",
        axes=("old", "new"),
    )


def _duration_scale(values: list[float]) -> tuple[float, str]:
    """Return the length in seconds and the name of a unit that suits some durations."""
    return duration_unit(max((abs(value) for value in values if math.isfinite(value)), default=1))


def _over(figure: Figure, scale: float) -> Figure:
    low, high = (None if end is None else end / scale for end in (figure.low, figure.high))
    return Figure(figure.value / scale, low, high)
