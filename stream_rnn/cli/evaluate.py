"""``stream-rnn evaluate``: how good a bundle is on a log, and what its memory is worth."""

import sys
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.evaluation.report.figures import format_metric, interval, is_in_unit
from stream_rnn.evaluation.report.sentences import worth
from stream_rnn.evaluation.result import MODELS, NAIVE, Evaluation, HeadEvaluation
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.metrics.figure import Figure
from stream_rnn.notebook.evaluate import evaluate


def run(log: tuple[str, ...], report: Path | None, as_json: bool, **given: Any) -> None:
    """Say how good a bundle is on a log, and what its memory is worth."""
    calm_collector()
    (source,) = split_words(log, given["topic"])
    with RecordBars(Console(stderr=True)) as bars:
        result = evaluate(
            source, report=report, with_pictures=report is not None, on_progress=bars, **given
        )
    if as_json:
        sys.stdout.write(orjson.dumps(result.evaluation.as_json()).decode() + "\n")
    else:
        show(output(), result.evaluation, report)


def show(console: Console, found: Evaluation, report: Path | None) -> None:
    """Print an evaluation as tables."""
    skipped = ", ".join(f"{count} {code}" for code, count in found.skipped.items()) or "none"
    show_text(
        console,
        f"{found.model} {found.fingerprint}, {found.cell}, on {found.log}: {found.events:,} events "
        f"of {found.keys:,} keys; skipped {skipped}",
    )
    for head in found.heads.values():
        console.print()
        show_text(console, f"{head.name}: {head.question} {head.events:,} scored")
        if NAIVE in head.models:
            show_text(console, f"naive: {head.naive}")
        if not head.events:
            continue
        _metrics(console, head)
        show_text(console, worth(head)[1])
        _by_memory(console, head)
    if report is not None:
        console.print(f"\nreport written to {report}", soft_wrap=True)


def _metrics(console: Console, head: HeadEvaluation) -> None:
    names = [name for name in MODELS if name in head.models]
    rows = [
        [metric, *(_cell(head, head.models[name].get(metric), metric) for name in names)]
        for metric in head.models[names[0]]
    ]
    show_table(console, ["metric", *names], rows)


def _by_memory(console: Console, head: HeadEvaluation) -> None:
    names = [name for name in MODELS if name in head.models]
    rows = [
        [
            group.name,
            f"{group.events:,}",
            *(_cell(head, group.figures.get(name), head.metric) for name in names),
        ]
        for group in head.by_memory
    ]
    console.print(f"{head.metric} by the number of events in memory")
    show_table(console, ["in memory", "scored", *names], rows)


def _cell(head: HeadEvaluation, figure: Figure | None, metric: str) -> str:
    if figure is None or figure.value != figure.value:  # NaN
        return "-"
    text = format_cell(figure.value, metric, head.unit)
    if figure.low is None or figure.high is None:
        return text
    if is_in_unit(metric):
        return f"{text}\n{interval(figure, metric, head.unit)}"
    return f"{text}\n{figure.low:.4f} to {figure.high:.4f}"


def format_cell(value: float, metric: str, unit: str) -> str:
    """Return a metric with four decimals; what has the unit of the target with as many as it needs."""
    return format_metric(value, metric, unit) if is_in_unit(metric) else f"{value:.4f}"
