"""``stream-rnn evaluate``: how good a bundle is on a log, and what its memory is worth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.printing import (
    format_skipped,
    output_console,
    print_json,
    print_table,
    print_text,
)
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.evaluation.report.figures import format_metric, interval, is_in_unit
from stream_rnn.evaluation.report.sentences import surprise, worth
from stream_rnn.evaluation.result import MODELS, NAIVE, Evaluation, HeadEvaluation, SurpriseSummary
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.metrics.figure import Figure
from stream_rnn.notebook.evaluate import evaluate
from stream_rnn.text import format_number, visible

KEYS_SHOWN = 5


def run(log: tuple[str, ...], report: Path | None, as_json: bool, **options: Any) -> None:
    """Measure how good a bundle is on a log, and what its memory is worth."""
    tune_garbage_collector()
    (source,) = split_words(log, options["topic"])
    with RecordBars() as bars:
        result = evaluate(
            source, report=report, with_pictures=report is not None, on_progress=bars, **options
        )
    if as_json:
        print_json(result.evaluation.as_json())
    else:
        _print(output_console(), result.evaluation, report)


def _print(console: Console, evaluation: Evaluation, report: Path | None) -> None:
    _print_warnings(console, evaluation.warnings)
    print_text(
        console,
        f"{evaluation.model} {evaluation.fingerprint}, {evaluation.cell}, on {evaluation.log}: "
        f"{evaluation.events:,} events of {evaluation.keys:,} keys; {format_skipped(evaluation.skipped)}",
    )
    for head in evaluation.heads.values():
        console.print()
        print_text(console, f"{head.name}: {head.question} {head.events:,} predictions scored")
        if NAIVE in head.models:
            print_text(console, f"naive: {head.naive}")
        if head.events:
            _print_metrics(console, head)
        print_text(console, worth(head)[1])
        if head.events:
            _print_by_memory(console, head)
        if head.surprise is not None:
            _print_surprise(console, head.surprise)
    if report is not None:
        console.print(f"\nreport written to {report}", soft_wrap=True)


def _print_warnings(console: Console, warnings: Sequence[str]) -> None:
    for warning in warnings:
        print_text(console, f"warning: {warning}", "  ")
    if warnings:
        console.print()


def _print_metrics(console: Console, head: HeadEvaluation) -> None:
    names = [name for name in MODELS if name in head.models]
    rows = [
        [metric, *(_cell(head, head.models[name].get(metric), metric) for name in names)]
        for metric in head.models[names[0]]
    ]
    print_table(console, ["metric", *names], rows)


def _print_by_memory(console: Console, head: HeadEvaluation) -> None:
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
    print_table(console, ["in memory", "scored", *names], rows)


def _print_surprise(console: Console, summary: SurpriseSummary) -> None:
    print_text(console, surprise(summary))
    if summary.keys:
        rows = [
            [
                visible(one.key),
                f"{one.events:,}",
                format_number(one.mean),
                format_number(one.largest),
            ]
            for one in summary.keys[:KEYS_SHOWN]
        ]
        print_table(console, ["most surprising keys", "events", "mean", "largest"], rows)


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
    """Return a metric as text: in the unit of its target if it has one, else with four decimals."""
    return format_metric(value, metric, unit) if is_in_unit(metric) else f"{value:.4f}"
