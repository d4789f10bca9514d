"""``stream-rnn compare``: two bundles on the same log."""

import sys
from typing import Any

import orjson
from rich.console import Console

from stream_rnn.cli.evaluate import format_cell
from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.evaluation.compare import Comparison
from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.figures import format_difference, is_in_unit
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.notebook.compare import compare


def run(words: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Hold two bundles against each other on the same log."""
    calm_collector()
    log, first, second = split_words(words, given["topic"], "DIR", "DIR")
    with RecordBars(Console(stderr=True)) as bars:
        result = compare(log, first, second, on_progress=bars, **given)
    if as_json:
        sys.stdout.write(orjson.dumps(result.comparison).decode() + "\n")
    else:
        units = {head.name: unit(head) for head in result.heads}
        _show(output(), result.comparison, units)


def _show(console: Console, found: Comparison, units: dict[str, str]) -> None:
    for line in (
        f"A {found.first}",
        f"B {found.second}",
        f"{found.events:,} events of {found.log}",
    ):
        show_text(console, line)
    for name, head in found.heads.items():
        console.print()
        show_text(console, f"{name}: {head.events:,} scored")
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
        show_table(console, ["metric", "A", "B", "B - A", "95 %"], rows)
        for event in head.differ:
            show_text(
                console,
                f"  {event.key} partition {event.partition} offset {event.offset}: "
                f"A {event.first}, B {event.second}, came {event.actual}",
                "    ",
            )


def _signed(value: float, metric: str, unit: str) -> str:
    is_plain = not is_in_unit(metric)
    return f"{value:+.4f}" if is_plain else format_difference(value, metric, unit)
