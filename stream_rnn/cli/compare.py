"""``stream-rnn compare``: two bundles on the same log."""

from typing import Any

from rich.console import Console

from stream_rnn.cli.evaluate import format_cell
from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.printing import (
    format_skipped,
    output_console,
    print_json,
    print_table,
    print_text,
)
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.evaluation.compare import Comparison
from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.figures import format_difference, is_in_unit
from stream_rnn.evaluation.report.sentences import NO_LABEL
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.notebook.compare import compare


def run(words: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare two bundles on the same log."""
    tune_garbage_collector()
    log, first, second = split_words(words, options["topic"], "DIRECTORY", "DIRECTORY")
    with RecordBars() as bars:
        result = compare(log, first, second, on_progress=bars, **options)
    if as_json:
        print_json(result.comparison)
    else:
        units = {head.name: unit(head) for head in result.heads}
        _print(output_console(), result.comparison, units)


def _print(console: Console, comparison: Comparison, units: dict[str, str]) -> None:
    for line in (
        f"A {comparison.first}; {format_skipped(comparison.first_skipped)}",
        f"B {comparison.second}; {format_skipped(comparison.second_skipped)}",
        f"{comparison.events:,} events of {comparison.log}",
    ):
        print_text(console, line)
    for name, head in comparison.heads.items():
        console.print()
        print_text(console, f"{name}: {head.events:,} predictions scored")
        if not head.events:
            print_text(console, NO_LABEL)
            continue
        rows = []
        for metric, row in head.metrics.items():
            measure, ends = (metric, units[name]), (row.difference.low, row.difference.high)
            low, high = (None if end is None else _signed(end, *measure) for end in ends)
            rows.append(
                [
                    metric,
                    format_cell(row.first, *measure),
                    format_cell(row.second, *measure),
                    _signed(row.difference.value, *measure),
                    "-" if low is None or high is None else f"{low} to {high}",
                ]
            )
        print_table(console, ["metric", "A", "B", "B - A", "95 %"], rows)
        for event in head.differ:
            print_text(
                console,
                f"  {event.key} partition {event.partition} offset {event.offset}: "
                f"A {event.first}, B {event.second}, actual {event.actual}",
                "    ",
            )


def _signed(value: float, metric: str, unit: str) -> str:
    if is_in_unit(metric):
        return format_difference(value, metric, unit)
    return f"{value:+.4f}"
