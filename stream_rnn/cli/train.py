"""``stream-rnn train``: a bundle, its memoryless baseline and its naive rules from a log."""

import statistics
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_rnn.cli.evaluate import format_cell
from stream_rnn.cli.shared.log_options import require_spec, split_words
from stream_rnn.cli.shared.printing import (
    output_console,
    print_json,
    print_note,
    print_table,
    print_text,
)
from stream_rnn.cli.shared.progress import TrainingBars
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


def run(log: tuple[str, ...], spec: Path | None, as_json: bool, **options: Any) -> None:
    """Train a recurrent network and its memoryless baseline on a log."""
    console = Console(stderr=True)

    def print_message(message: str) -> None:
        print_note(console, message)

    (source,) = split_words(log, options["topic"])
    require_spec(spec, is_given_by_log=source == flights.NAME)
    with TrainingBars(console) as bars:
        result = train(source, spec, on_progress=bars, on_message=print_message, **options)
    if as_json:
        print_json(result.as_json())
    else:
        _print(output_console(), result)


def _print(console: Console, result: TrainingResult) -> None:
    units = {head.name: unit(head) for head in result.spec.heads}
    rows = [
        [part, head, metric, *(format_cell(value, metric, units[head]) for value in values)]
        for part, head, metric, *values in result.metrics()
    ]
    print_table(console, ("part", "head", "metric", MEMORY, MEMORYLESS, NAIVE), rows, texts=3)
    for head in result.spec.heads:
        if text := worth(head, result.scores):
            print_text(console, text)
    print_text(console, f"written to {result.out}: the network with the lowest validation loss")


def worth(head: AnyHead, result: training_run.TrainingScores) -> str:
    """Return a sentence on the worth of the memory for a head; empty if no event has a label.

    The figures are means over the seeds.
    """
    metric, part = main_metric(head), "test" if "test" in result.memory else "validation"
    if head.name not in result.memory.get(part, {}):
        return ""
    with_memory, without = (
        [seed[model][part][head.name][metric] for seed in result.seeds]
        for model in (MEMORY, MEMORYLESS)
    )
    means = Figure(statistics.fmean(with_memory)), Figure(statistics.fmean(without))
    _, sentence = worth_of(metric, unit(head), better(metric), *means, result.worth.get(head.name))
    seeds = ""
    if len(with_memory) > 1:
        deviation = format_metric(statistics.stdev(with_memory), metric, unit(head))
        seeds = f", mean of {len(with_memory)} seeds, standard deviation {deviation}"
    rule = result.rules.get(head.name, "constant")
    return f"{head.name} ({part} part{seeds}): {sentence} The naive rule is {rule}."
