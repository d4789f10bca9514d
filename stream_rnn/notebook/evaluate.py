"""The function ``evaluate``, which measures a bundle on a log, and the worth of its memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.evaluation.evaluate import fold_with_baseline, measure
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.report.example_keys import pictures
from stream_rnn.evaluation.report.figures import format_metric
from stream_rnn.evaluation.report.html import render, write_report
from stream_rnn.evaluation.result import MEMORY, Evaluation
from stream_rnn.evaluation.scoring import choose_scored
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.notebook.columns import in_log_order, output_columns, place_columns, target_column
from stream_rnn.notebook.html import framed
from stream_rnn.notebook.log import LabelOptions, LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.overwriting import check_report
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings


@dataclass(frozen=True)
class EvaluationResult:
    """The evaluation of a bundle on a log, with its predictions.

    Attributes:
        log: Log that was folded.
        evaluation: Figures; ``heads["NAME"].worth`` is what the memory is worth.
        predictions: N predictions with their targets.
        is_scored: Mask (N,) of the predictions that are scored.
        heads: Heads of the model.
        pictures: Title and SVG of each example key, as in the report.
    """

    log: Log
    evaluation: Evaluation
    predictions: PredictionsWithTargets
    is_scored: NDArray[np.bool_]
    heads: tuple[AnyHead, ...]
    pictures: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """Return the main metric of each head, for each model."""
        it = self.evaluation
        lines = [f"<Evaluation of {it.model} on {it.log}: {it.events:,} events of {it.keys:,} keys"]
        lines += [f"  warning: {warning}" for warning in it.warnings]
        for head in it.heads.values():
            figures = ", ".join(
                f"{model} {format_metric(values[head.metric].value, head.metric, head.unit)}"
                for model, values in head.models.items()
                if head.metric in values
            )
            lines.append(f"  {head.name}: {head.metric} {figures or 'nothing is scored'}")
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        """Return the report."""
        return framed(render(self.evaluation, self.pictures), repr(self).splitlines()[0][1:])

    def to_polars(self) -> pl.DataFrame:
        """Return the predictions in log order, one row each.

        Columns: those of :mod:`stream_rnn.notebook.columns`; for each head also ``HEAD.target``,
        the target, which is null if there is none; and ``is_scored`` (Boolean).
        """
        it = self.predictions
        keys = [it.keys[number] for number in it.key.tolist()]
        places = place_columns(it.partition, it.offset, keys, it.time_ms, it.steps)
        columns = [
            column
            for head in self.heads
            for column in (
                *output_columns(head, it.outputs[head.name], it.surprises),
                target_column(head, it.targets[head.name]),
            )
        ]
        whole = places.with_columns(*columns, pl.Series("is_scored", self.is_scored))
        return in_log_order(whole, self.log)

    def write_report(self, path: str | Path) -> None:
        """Write the report as an HTML file.

        Args:
            path: Path of the file; an existing report is replaced.

        Raises:
            ConfigError: The file cannot be written, or exists and is not a report.
        """
        write_report(self.evaluation, self.pictures, path)


@keywords(options=LogOptions, labels=LabelOptions, scoring=ScoringOptions)
def evaluate(
    log: LogLike,
    bundle: str | Path,
    *,
    report: str | Path | None = None,
    with_pictures: bool = True,
    on_progress: OnProgress | None = None,
    options: LogOptions,
    labels: LabelOptions,
    scoring: ScoringOptions,
    settings: Settings,
) -> EvaluationResult:
    """Measure how good a bundle is on a log, and what its memory is worth.

    The keywords are the options of ``stream-rnn evaluate``.

    Args:
        log: Path of a file, data frame of polars or pandas, or ``Log``; ``None`` with ``topic``.
        bundle: Directory of the bundle.
        report: Path of an HTML file for the report; ``None`` writes no file.
        with_pictures: Whether the report has pictures of keys, for which the log is read again.
        on_progress: Called with the name of a model and the number of newly read records.
        options: Choice of the records to read.
        labels: Labels of the heads with ``of = "label"``.
        scoring: Choice of the scored predictions, and options of the bootstrap.
        settings: Settings of the fold.

    Returns:
        The evaluation; a notebook displays its report.

    Raises:
        ConfigError: The log cannot be read, the report not written, or no prediction is scored.
        BundleError: The bundle cannot be loaded.

    Example:
        >>> from stream_rnn import evaluate
        >>> from stream_rnn.notebook.example import example_bundle, machines
        >>> result = evaluate(machines(), example_bundle(), split="time:0.5")
        >>> sorted(result.evaluation.heads["next_failed"].models)
        ['memory', 'memoryless', 'naive']
        >>> result.to_polars()["next_failed.probability"].is_between(0, 1).all()
        True
    """
    if report is not None:
        check_report(Path(report))
    model = load_bundle(Path(bundle))
    source = open_log(log, model.spec, options, settings)
    settings = settings.replace(source=source.name)
    label_values = labels.read(model.spec)
    with torch_threads(), progress_to(on_progress) as report_progress:
        folds, samples = fold_with_baseline(
            source, model, Path(bundle), settings, scoring, label_values, report_progress
        )
        evaluation = measure(source.name, model, Path(bundle), folds, samples, scoring)
        needs_pictures = with_pictures or report is not None
        drawn = pictures(source, Path(bundle), settings, evaluation) if needs_pictures else []
    result = _build_result(source, evaluation, folds[MEMORY], scoring, model, drawn)
    if report is not None:
        result.write_report(report)
    return result


def _build_result(
    log: Log,
    evaluation: Evaluation,
    predictions: PredictionsWithTargets,
    scoring: ScoringOptions,
    model: Model,
    drawn: Sequence[tuple[str, str]],
) -> EvaluationResult:
    return EvaluationResult(
        log=log,
        evaluation=evaluation,
        predictions=predictions,
        is_scored=choose_scored(predictions, scoring),
        heads=model.spec.heads,
        pictures=tuple(drawn),
    )
