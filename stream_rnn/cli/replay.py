"""``stream-rnn replay``: fold a range of a log again."""

import sys
from typing import Any

import click
from rich.console import Console

from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.printing import format_skipped, print_json, print_note
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.fold.crash_points import Counts
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.notebook.replay import ReplayResult, replay
from stream_rnn.replay.no_event import field_advice
from stream_rnn.replay.to_file import Written

STANDARD_OUTPUT = "-"


def run(log: tuple[str, ...], out: str, processes: int, as_json: bool, **options: Any) -> None:
    """Fold a log again with hidden states in memory, and write its predictions."""
    if out == STANDARD_OUTPUT and as_json:
        raise click.UsageError(
            "--json prints a summary on standard output, and --out - prints the predictions there; "
            "give one of them"
        )
    tune_garbage_collector()
    (source,) = split_words(log, options["topic"])
    predictions = replay(source, **options)
    if out == STANDARD_OUTPUT:
        written = _write_to_standard_output(predictions)
    else:
        with RecordBars() as bars:
            written = predictions.write_and_count(out, processes, bars)
    if not written.predictions:
        print_note(Console(stderr=True), predictions.explain_empty())
    if as_json:
        print_json({"out": out, **written._asdict()})
        return
    place = "standard output" if out == STANDARD_OUTPUT else out
    note = f"{written.predictions} predictions written to {place}"
    if written.skipped:
        remedy = field_advice(options["topic"])
        note += f"; {format_skipped(written.skipped)} ({remedy})"
    if written.filtered:
        note += f"; {written.filtered} records filtered"
    print_note(Console(stderr=True), note)


def _write_to_standard_output(predictions: ReplayResult) -> Written:
    counts: list[Counts] = []
    for value in predictions.values(counts.append):
        sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()
    return Written.of(counts)
