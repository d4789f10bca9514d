"""``stream-rnn replay``: fold a range of a log again."""

import sys
from typing import Any

import click
import orjson
from rich.console import Console

from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.notebook.replay import replay

STANDARD_OUTPUT = "-"


def run(log: tuple[str, ...], out: str, processes: int, as_json: bool, **given: Any) -> None:
    """Fold a range of a log again, with hidden states in memory; nothing real is written."""
    if out == STANDARD_OUTPUT and as_json:
        raise click.UsageError(
            "--json says on standard output what was done, where --out - writes the predictions; "
            "give one of them"
        )
    calm_collector()
    (source,) = split_words(log, given["topic"])
    predictions = replay(source, **given)
    if out == STANDARD_OUTPUT:
        sys.stdout.buffer.writelines(value + b"\n" for value in predictions.values())
        sys.stdout.buffer.flush()
        return
    with RecordBars(Console(stderr=True)) as bars:
        written = predictions.write(out, processes, bars)
    if as_json:
        sys.stdout.write(orjson.dumps({"out": out, "predictions": written}).decode() + "\n")
    else:
        Console(stderr=True).print(f"{written} predictions written to {out}")
