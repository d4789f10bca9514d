"""``evaluate``: how good a bundle is on a log, and what its memory is worth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.evaluation.evaluate import fold_with_baseline, measure
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.report.example_keys import pictures
from stream_rnn.evaluation.report.html import render, write_report
from stream_rnn.evaluation.result import MEMORY, Evaluation
from stream_rnn.evaluation.scoring import ScoringOptions
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
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
    """An evaluation with the predictions that it is made of.

    Attributes:
        log: what was folded.
        evaluation: the figures; ``heads["NAME"].worth`` is what the memory is worth.
        predictions: N predictions and what came.
        is_scored: (N,) which of them the figures are about.
        heads: of the model.
        pictures: (title, SVG) of some keys, as the report has them.
    """

    log: Log
    evaluation: Evaluation
    predictions: PredictionsWithTargets
    is_scored: NDArray[np.bool_]
    heads: tuple[AnyHead, ...]
    pictures: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """Return each head's main metric with and without memory."""
        it = self.evaluation
        lines = [f"<Evaluation of {it.model} on {it.log}: {it.events:,} events of {it.keys:,} keys"]
        for head in it.heads.values():
            figures = ", ".join(
                f"{model} {values[head.metric].value:.4f}"
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

        Columns: see :mod:`stream_rnn.notebook.columns`; for each head also ``HEAD.target``, what
        came, null where nothing did; and ``is_scored``, Boolean.
        """
        it = self.predictions
        keys = [it.keys[number] for number in it.key.tolist()]
        places = place_columns(it.partition, it.offset, keys, it.time_ms, it.steps)
        columns = [
            column
            for head in self.heads
            for column in (
                *output_columns(head, it.outputs[head.name]),
                target_column(head, it.targets[head.name]),
            )
        ]
        whole = places.with_columns(*columns, pl.Series("is_scored", self.is_scored))
        return in_log_order(whole, self.log)

    def write_report(self, path: str | Path) -> None:
        """Write the report as an HTML file.

        Raises:
            ConfigError: it cannot be written, or something else stands there.
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
        log: path of a file, data frame of polars or pandas, or a log; ``None`` with
            ``topic``.
        bundle: directory of the model.
        report: HTML file to write.
        with_pictures: whether the report shows some keys unrolled, for which the log is read again.
        on_progress: receives the name of a model and how many records more it has read.
        options: which records are read.
        labels: of heads that need some.
        scoring: which predictions are scored, and how.
        settings: of the fold.

    Raises:
        ConfigError: the log or the bundle cannot be read, or nothing is scored.

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
    place = Path(bundle)
    model = load_bundle(place)
    source = open_log(log, model.spec, options, settings)
    settings = settings.replace(source=source.name)
    known = labels.read(model.spec)
    with torch_threads(), progress_to(on_progress) as told:
        folds, sample = fold_with_baseline(source, model, place, settings, scoring, known, told)
        found = measure(source.name, model, place, folds, sample, scoring)
        drawn = pictures(source, place, settings, found) if with_pictures or report else []
    memory, heads = folds[MEMORY], model.spec.heads
    is_scored, shown = scoring.choose(memory), tuple(drawn)
    result = EvaluationResult(
        source, found, memory, is_scored=is_scored, heads=heads, pictures=shown
    )
    if report is not None:
        result.write_report(report)
    return result
