"""``stream-rnn train``: a bundle, its memoryless baseline and its naive rules from a log."""

import statistics
import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from stream_rnn.cli.evaluate import format_cell
from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.progress import TrainingBars
from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.demo import flights
from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.figures import format_metric
from stream_rnn.evaluation.report.sentences import worth_of
from stream_rnn.evaluation.result import MEMORY, MEMORYLESS, NAIVE
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.scores import better, main_metric
from stream_rnn.model.heads import AnyHead
from stream_rnn.notebook.train import train
from stream_rnn.notebook.training_result import TrainingResult
from stream_rnn.training import run as training_run


def run(log: tuple[str, ...], spec: Path | None, as_json: bool, **given: Any) -> None:
    """Train a network that remembers, and beside it what remembers nothing."""
    console = Console(stderr=True)

    def print_message(message: str) -> None:
        console.print(message, highlight=False, markup=False)

    (source,) = split_words(log, given["topic"])
    if spec is None and source != flights.NAME:
        raise click.UsageError(
            "give --spec: the feature spec that says what an event is; stream-rnn spec init LOG "
            "proposes one"
        )
    with TrainingBars(console) as bars:
        result = train(source, spec, on_progress=bars, on_message=print_message, **given)
    if as_json:
        sys.stdout.write(orjson.dumps(result.as_json()).decode() + "\n")
    else:
        _print(output(), result)


def _print(console: Console, result: TrainingResult) -> None:
    units = {head.name: unit(head) for head in result.spec.heads}
    rows = [
        [part, head, metric, *(format_cell(value, metric, units[head]) for value in values)]
        for part, head, metric, *values in result.metrics()
    ]
    show_table(console, ("part", "head", "metric", MEMORY, MEMORYLESS, NAIVE), rows, texts=3)
    for head in result.spec.heads:
        if text := worth(head, result.scores):
            show_text(console, text)
    show_text(console, f"written to {result.out}; the seed with the least validation loss")


def worth(head: AnyHead, result: training_run.Result) -> str:
    """Return what the memory is worth for a head, by the mean of the seeds; empty without a label."""
    metric, part = main_metric(head), "test" if "test" in result.memory else "validation"
    if head.name not in result.memory.get(part, {}):
        return ""
    has, lacks = (
        [seed[model][part][head.name][metric] for seed in result.seeds]
        for model in (MEMORY, MEMORYLESS)
    )
    means = Figure(statistics.fmean(has)), Figure(statistics.fmean(lacks))
    _, sentence = worth_of(metric, unit(head), better(metric), *means)
    seeds = ""
    if len(has) > 1:
        seeds = f", mean of {len(has)} seeds, deviation {format_metric(statistics.stdev(has), metric, unit(head))}"
    rule = result.rules.get(head.name, "constant")
    return f"{head.name} ({part} part{seeds}): {sentence} The naive rule is {rule}."
