"""``stream-rnn train``: a bundle, its memoryless baseline and its naive rules from a log."""

import asyncio
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson
import torch
from rich.console import Console

from stream_rnn import __version__
from stream_rnn.cli.evaluate import format_cell
from stream_rnn.cli.shared.log_options import LogChoice
from stream_rnn.cli.shared.progress import TrainingBars
from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.evaluate import unit
from stream_rnn.evaluation.report.figures import format_metric
from stream_rnn.evaluation.report.sentences import worth_of
from stream_rnn.evaluation.result import MEMORY, MEMORYLESS, NAIVE
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.scores import better, main_metric
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead
from stream_rnn.settings import Settings
from stream_rnn.training import run as training_run
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import Events, read_fitted
from stream_rnn.training.examples import Examples
from stream_rnn.training.search import Trial, search
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import PARTS


def run(settings: Settings, training: TrainingSettings, where: LogChoice, **given: Any) -> None:
    """Train a network that remembers, and beside it what remembers nothing."""
    training_run.check_out(given["out"])
    torch.set_num_threads(given["threads"])
    console = Console(stderr=True)
    spec, name, events, examples = _read(settings, where, given)
    part = examples.part
    counts = [int((part == place).sum()) for place in range(3)]
    console.print(
        f"{len(part)} events, {len(events.examples.runs.first)} memories; training {counts[0]}, "
        f"validation {counts[1]}, test {counts[2]}; skipped {events.skips or 0}"
    )
    for place, what in ((1, "the epoch is chosen by the training part"), (2, "nothing is tested")):
        if not counts[place]:
            console.print(
                f"warning: --split {given['split']} leaves the {PARTS[place]} part empty: {what}"
            )
    for text in check_examples(spec, examples, events.partition):
        console.print(f"warning: {text}", highlight=False, markup=False)
    cell = CellSpec(
        kind=given["cell"], hidden=_multiple_of_8(given["hidden"]), layers=given["layers"]
    )
    how = training
    tried: list[Trial] = []
    with TrainingBars(console) as bars:
        if given["trials"]:
            tried = search(spec, cell, examples, how, given["trials"], bars.trial)
            cell, how = tried[0].cell, tried[0].settings
        provenance = _provenance(name, given, settings, how, events)
        plan = training_run.Run(spec, cell, examples, how, given["seeds"], given["out"], provenance)
        try:
            result = training_run.run(plan, bars)
        except KeyboardInterrupt:
            console.print(f"stopped; the same command goes on from {plan.beside}")
            raise
    if given["as_json"]:
        sys.stdout.write(orjson.dumps(_as_json(given["out"], cell, how, result, tried)).decode())
        sys.stdout.write("\n")
    else:
        _print(output(), spec, result, given["out"])


def _read(
    settings: Settings, where: LogChoice, given: dict[str, Any]
) -> tuple[FeatureSpec, str, Events, Examples]:
    """Return the fitted spec, the log's name, its events, and these as examples."""
    path, _ = where.split(given["log"])
    is_demo = path == Path(flights.NAME)
    if given["spec"] is None and not is_demo:
        raise click.UsageError(
            "give --spec: the feature spec that says what an event is; stream-rnn spec init LOG "
            "proposes one"
        )
    spec = FeatureSpec.read(given["spec"] or flights.SPEC)
    labels = given["labels"](spec)
    log = where.make(settings, spec, path)

    async def read() -> tuple[FeatureSpec, Events, Examples]:
        async with log:
            return await read_fitted(log, spec, settings, given["split"], labels)

    fitted, events, examples = asyncio.run(read())
    return fitted, log.name, events, examples


def _provenance(
    name: str,
    given: dict[str, Any],
    settings: Settings,
    how: TrainingSettings,
    events: Events,
) -> dict[str, Any]:
    return {
        "stream_rnn": __version__,
        "torch": torch.__version__,
        "log": name,
        "split": given["split"],
        "events": len(events.keys),
        "skipped": events.skips,
        "seeds": given["seeds"],
        "search": given["trials"],
        "training": asdict(how),
        "state_ttl": settings.state_ttl,
    }


def _multiple_of_8(hidden: int) -> int:
    if hidden % 8:
        raise ConfigError(
            f"--hidden {hidden} is not a multiple of 8; see stream_rnn/model/cells.py"
        )
    return hidden


def _as_json(
    out: Path,
    cell: CellSpec,
    how: TrainingSettings,
    result: training_run.Result,
    tried: list[Trial],
) -> dict[str, Any]:
    return {
        "out": str(out),
        "cell": cell.model_dump(),
        "training": asdict(how),
        "memory": result.memory,
        "memoryless": result.memoryless,
        "naive": result.naive,
        "naive_rules": result.rules,
        "seeds": result.seeds,
        "trials": [
            {
                "cell": trial.cell.model_dump(),
                "training": asdict(trial.settings),
                "validation_loss": trial.validation_loss,
            }
            for trial in tried
        ],
    }


def _print(console: Console, spec: FeatureSpec, result: training_run.Result, out: Path) -> None:
    units, rows = {head.name: unit(head) for head in spec.heads}, []
    for part, heads in result.memory.items():
        for name, metrics in heads.items():
            for metric, value in metrics.items():
                others = (result.memoryless, result.naive)
                values = (value, *(o[part][name].get(metric, float("nan")) for o in others))
                cells = (format_cell(value, metric, units[name]) for value in values)
                rows.append([part, name, metric, *cells])
    show_table(console, ("part", "head", "metric", MEMORY, MEMORYLESS, NAIVE), rows, texts=3)
    for head in spec.heads:
        if text := worth(head, result):
            show_text(console, text)
    show_text(console, f"written to {out}; the seed with the least validation loss")


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
