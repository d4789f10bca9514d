"""The result of ``train``: the bundle, the settings and losses of its training, and its metrics."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.charts import Series, group_chart
from stream_rnn.evaluation.report.figures import format_metric
from stream_rnn.evaluation.result import MEMORYLESS
from stream_rnn.metrics.figure import Figure
from stream_rnn.model.cells import AnyCell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.html import framed, page, table, text
from stream_rnn.training import run as training_run
from stream_rnn.training.run import RESTARTED
from stream_rnn.training.search import Trial
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import Metrics

SCHEMA = {
    "network": pl.String,
    "epoch": pl.Int64,
    "training_loss": pl.Float64,
    "validation_loss": pl.Float64,
}

Epoch = tuple[str, int, float, float]


@dataclass(frozen=True)
class TrainingResult:
    """A trained bundle, with the settings, losses and metrics of its training.

    Attributes:
        out: Directory of the bundle.
        spec: Feature spec, fitted to the training part.
        cell: Cell of the network.
        training: Settings of training.
        scores: Metrics of the network, its memoryless baseline and its naive rules.
        trials: Trials of the search, the best one first; empty without a search.
        epochs: Network, epoch, training loss and validation loss of each epoch of this call.
        advice: Sentences on heads whose network is no better than a simpler one.
    """

    out: Path
    spec: FeatureSpec
    cell: AnyCell
    training: TrainingSettings
    scores: training_run.TrainingScores
    trials: tuple[Trial, ...]
    epochs: tuple[Epoch, ...]
    advice: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the metrics of all models."""
        lines = [f"<Bundle {self.out}: {self.cell.description}"]
        for part, head, metric, *values in self._texts():
            figures = zip(("memory", "memoryless", "naive"), values, strict=True)
            shown = ", ".join(f"{name} {value}" for name, value in figures)
            lines.append(f"  {part} {head} {metric}: {shown}")
        return "\n".join(lines) + ">"

    def metrics(self) -> list[tuple[str, str, str, float, float, float]]:
        """Return a row for each metric: part, head, metric, and the values of the three models."""
        memoryless, naive = self.scores.memoryless, self.scores.naive
        return [
            (
                *(part, head, metric, value),
                _metric(memoryless, part, head, metric),
                _metric(naive, part, head, metric),
            )
            for part, heads in self.scores.memory.items()
            for head, metrics in heads.items()
            for metric, value in metrics.items()
        ]

    def _texts(self) -> list[tuple[str, ...]]:
        """Return the rows of :meth:`metrics` as text."""
        units = {head.name: unit(head) for head in self.spec.heads}
        return [
            (*(part, head, metric), *(format_metric(v, metric, units[head]) for v in values))
            for part, head, metric, *values in self.metrics()
        ]

    def _repr_html_(self) -> str:
        """Return the losses as a chart and the metrics as a table."""
        header = ("part", "head", "metric", "memory", "memoryless", "naive")
        advice = "".join(f"<p>{text(sentence)}</p>" for sentence in self.advice)
        metrics = table(header, self._texts(), texts=3)
        body = f"<h1>{text(self.out)}</h1>{advice}{self._chart()}{metrics}"
        return framed(page(str(self.out), body), f"Training of {self.out}")

    def _chart(self) -> str:
        """Draw the losses; the curves of a network with several seeds share a style."""
        frame = self.to_polars().sort("epoch", maintain_order=True)
        numbers = frame["epoch"].unique(maintain_order=True).to_list()
        series, seeds = [], len(self.scores.seeds)
        for network in frame["network"].unique(maintain_order=True):
            name = network.rpartition(" ")[2]
            losses = dict(frame.filter(network=network).select("epoch", "validation_loss").rows())
            figures = [Figure(losses[n]) if n in losses else None for n in numbers]
            style = "s2" if name == MEMORYLESS else "s3" if name.endswith(RESTARTED) else "s1"
            series.append(Series(style, name, figures))
        return group_chart(
            "validation loss of each epoch" + (f", {seeds} seeds" if seeds > 1 else ""),
            [str(n) for n in numbers],
            series,
            [],
            quantity="validation loss",
            along="epoch",
        )

    def to_polars(self) -> pl.DataFrame:
        """Return one row for each network and epoch of this call, in the order of training.

        Columns: ``network``, such as ``gru`` or ``memoryless``, and with several seeds
        ``seed 1 gru``, or ``gru-restarted`` for a second start from the baseline (String); ``epoch`` (Int64); ``training_loss`` and ``validation_loss``
        (Float64).
        """
        return pl.DataFrame(self.epochs, schema=SCHEMA, orient="row")

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``stream-rnn train --json`` prints."""
        scores = self.scores
        return {
            "out": str(self.out),
            "cell": self.cell.model_dump(),
            "training": asdict(self.training),
            "memory": scores.memory,
            "memoryless": scores.memoryless,
            "naive": scores.naive,
            "naive_rules": scores.rules,
            "seeds": scores.seeds,
            "worth": {name: asdict(figure) for name, figure in scores.worth.items()},
            "advice": self.advice,
            "trials": [
                {
                    "cell": trial.cell.model_dump(),
                    "training": asdict(trial.settings),
                    "validation_loss": trial.validation_loss,
                }
                for trial in self.trials
            ],
        }


def _metric(metrics: Metrics, part: str, head: str, metric: str) -> float:
    return metrics.get(part, {}).get(head, {}).get(metric, math.nan)
