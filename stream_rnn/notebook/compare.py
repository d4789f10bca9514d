"""``compare``: two bundles on the same log."""

from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl

from stream_rnn.evaluation.compare import Comparison
from stream_rnn.evaluation.compare import compare as compare_bundles
from stream_rnn.evaluation.report.charts import Series, interval_chart
from stream_rnn.evaluation.scoring import ScoringOptions
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
    """Two bundles on a log.

    Attributes:
        comparison: the figures of each head that both have.
        heads: of the first bundle.
    """

    comparison: Comparison
    heads: tuple[AnyHead, ...]

    def __repr__(self) -> str:
        """Return the differences of all metrics."""
        it = self.comparison
        lines = [f"<Comparison of A {it.first} and B {it.second} on {it.log}: {it.events:,} events"]
        lines += [
            f"  {row['head']}: {row['metric']} B - A {row['difference']:+.4f}"
            for row in self.to_polars().iter_rows(named=True)
        ]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        """Return the differences as charts and tables, and the events that differ most."""
        it = self.comparison
        parts = [f"<h1>A {text(it.first)}, B {text(it.second)}</h1>"]
        parts.append(
            f"<p>{it.events:,} events of {text(it.log)}; B - A with its 95 % interval.</p>"
        )
        frame = self.to_polars()
        for name, head in it.heads.items():
            rows = frame.filter(pl.col("head") == name).drop("head", "events").rows()
            differences = [
                Series("s1", metric, [row.difference]) for metric, row in head.metrics.items()
            ]
            parts.append(f"<section><h2>{text(name)}, {head.events:,} events scored</h2>")
            parts.append(interval_chart(f"{name}: B - A", differences, quantity="B - A"))
            parts.append(table(("metric", "A", "B", "B - A", "from", "to"), rows))
            events = [
                (e.key, e.partition, e.offset, e.first, e.second, e.actual) for e in head.differ
            ]
            header = ("key", "partition", "offset", "A", "B", "came")
            parts.append(
                table(header, events, "The events on which both differ most") + "</section>"
            )
        return framed(page("Comparison", "".join(parts)), f"Comparison on {it.log}")

    def to_polars(self) -> pl.DataFrame:
        """Return a row for each head and metric.

        Columns: ``head`` and ``metric`` (String), ``events`` that are scored (Int64); of ``first``,
        ``second`` and ``difference``, the second less the first, the metric (Float64); ``low`` and
        ``high``, between which 95 % of other draws of keys would lie (Float64, null without draws).
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
    """Measure two bundles on the same log, event by event.

    The keywords are the options of ``stream-rnn compare``.

    Args:
        log: path of a file, data frame of polars or pandas, or a log; ``None`` with
            ``topic``.
        first: directory of a bundle, A.
        second: directory of another one, B.
        on_progress: receives A or B and how many records more it has read.
        options: which records are read.
        labels: of heads that need some.
        scoring: which predictions are scored, and how.
        settings: of the fold.

    Raises:
        ConfigError: the log or a bundle cannot be read, or both have no head or event in common.

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
    known = labels.read(spec)
    with torch_threads(), progress_to(on_progress) as told:
        pair = Path(first), Path(second)
        found = compare_bundles(source, pair, settings, scoring, known, told)
    return ComparisonResult(found, spec.heads)
