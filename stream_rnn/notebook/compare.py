"""The function ``compare``, which measures two bundles on the same log."""

from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl

from stream_rnn.evaluation.compare import Comparison
from stream_rnn.evaluation.compare import compare as compare_bundles
from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.charts import Series, interval_chart
from stream_rnn.evaluation.report.figures import format_difference, format_metric
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.model.bundle import read_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.notebook.html import framed, page, table, text
from stream_rnn.notebook.log import LabelOptions, LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.settings import Settings

SCHEMA = {
    "head": pl.String,
    "metric": pl.String,
    "events": pl.Int64,
    "first": pl.Float64,
    "second": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclass(frozen=True)
class ComparisonResult:
    """The comparison of two bundles on a log.

    Attributes:
        comparison: Figures of each head that both bundles have.
        heads: Heads of the first bundle.
    """

    comparison: Comparison
    heads: tuple[AnyHead, ...]

    def __repr__(self) -> str:
        """Return the differences of all metrics."""
        it = self.comparison
        lines = [f"<Comparison of A {it.first} and B {it.second} on {it.log}: {it.events:,} events"]
        lines += [
            f"  {name}: {metric} B - A {difference}"
            for name in it.heads
            for metric, _, _, difference, *_ in self._rows(name)
        ]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        """Return the differences as charts and tables, and the events with the largest ones."""
        it = self.comparison
        parts = [f"<h1>A {text(it.first)}, B {text(it.second)}</h1>"]
        parts.append(
            f"<p>{it.events:,} events of {text(it.log)}; B - A with its 95 % interval.</p>"
        )
        for name, head in it.heads.items():
            differences = [
                Series("s1", metric, [row.difference]) for metric, row in head.metrics.items()
            ]
            parts.append(f"<section><h2>{text(name)}, {head.events:,} events scored</h2>")
            parts.append(interval_chart(f"{name}: B - A", differences, quantity="B - A"))
            parts.append(
                table(("metric", "A", "B", "B - A", "from", "to"), self._rows(name), texts=1)
            )
            events = [
                (e.key, e.partition, e.offset, e.first, e.second, e.actual) for e in head.differ
            ]
            header = ("key", "partition", "offset", "A", "B", "actual")
            caption = "The events with the largest differences between A and B"
            parts.append(table(header, events, caption) + "</section>")
        return framed(page("Comparison", "".join(parts)), f"Comparison on {it.log}")

    def _rows(self, name: str) -> list[tuple[str, ...]]:
        """Return the metrics of a head as text: of A and B, their difference and its interval."""
        in_unit = next(unit(head) for head in self.heads if head.name == name)
        return [
            (
                metric,
                format_metric(row.first, metric, in_unit),
                format_metric(row.second, metric, in_unit),
                *(format_difference(value, metric, in_unit) for value in astuple(row.difference)),
            )
            for metric, row in self.comparison.heads[name].metrics.items()
        ]

    def to_polars(self) -> pl.DataFrame:
        """Return one row for each head and metric.

        Columns: ``head`` and ``metric`` (String); ``events``, the number of scored events (Int64);
        ``first`` and ``second``, the metric of each bundle, and ``difference``, the second minus
        the first (Float64); ``low`` and ``high``, the 95 % interval of the difference (Float64,
        null if there is none).
        """
        rows = [
            (name, metric, head.events, row.first, row.second, *astuple(row.difference))
            for name, head in self.comparison.heads.items()
            for metric, row in head.metrics.items()
        ]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@keywords(options=LogOptions, labels=LabelOptions, scoring=ScoringOptions)
def compare(
    log: LogLike,
    first: str | Path,
    second: str | Path,
    *,
    on_progress: OnProgress | None = None,
    options: LogOptions,
    labels: LabelOptions,
    scoring: ScoringOptions,
    settings: Settings,
) -> ComparisonResult:
    """Measure two bundles on the same log, paired event by event.

    The keywords are the options of ``stream-rnn compare``.

    Args:
        log: Path of a file, data frame of polars or pandas, or ``Log``; ``None`` with ``topic``.
        first: Directory of the first bundle, A.
        second: Directory of the second bundle, B.
        on_progress: Called with ``A`` or ``B`` and the number of newly read records.
        options: Choice of the records to read.
        labels: Labels of the heads with ``of = "label"``.
        scoring: Choice of the scored predictions, and options of the bootstrap.
        settings: Settings of the fold.

    Returns:
        The comparison; a notebook displays its charts and tables.

    Raises:
        ConfigError: The log cannot be read, or the bundles have no head or event in common.
        BundleError: A bundle cannot be loaded.

    Example:
        >>> from stream_rnn import compare
        >>> from stream_rnn.notebook.example import example_bundle, machines
        >>> result = compare(machines(), example_bundle(), example_bundle())
        >>> result.to_polars().filter(metric="auc").select("head", "difference").rows()
        [('next_failed', 0.0)]
    """
    spec = read_bundle(Path(first)).spec
    source = open_log(log, spec, options, settings)
    settings = settings.replace(source=source.name)
    label_values = labels.read(spec)
    with torch_threads(), progress_to(on_progress) as report_progress:
        bundles = Path(first), Path(second)
        comparison = compare_bundles(
            source, bundles, settings, scoring, label_values, report_progress
        )
    return ComparisonResult(comparison, spec.heads)
