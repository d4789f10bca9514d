"""The function ``compare_rollout``, which compares the two folds of a running roll-out."""

from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.fold_comparison import (
    ComparedFolds,
    FoldComparison,
    common_heads,
    compare_folds,
    find_thresholds,
)
from stream_rnn.evaluation.fold_targets import read_targets
from stream_rnn.evaluation.report.rollout_page import render_rollout, write_rollout_report
from stream_rnn.evaluation.rollout_options import RolloutOptions
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.model.network import Model
from stream_rnn.notebook.compare import SCHEMA
from stream_rnn.notebook.html import framed
from stream_rnn.notebook.log import LabelOptions
from stream_rnn.notebook.options import keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.operate.rollout_predictions import read_joined
from stream_rnn.operate.rollout_status import OpenRollout, open_rollout
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.rollout.bundles import load_bundle_bytes
from stream_rnn.rollout.fold_predictions import JoinedPartition
from stream_rnn.rollout.plan import Plan
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.training.targets import Columns

NEEDS = ("app", "source", "predictions")


@dataclass(frozen=True)
class RolloutComparison:
    """The comparison of the two folds of a roll-out.

    Attributes:
        comparison: Figures of each head that both bundles have.
    """

    comparison: FoldComparison

    def __repr__(self) -> str:
        """Return the main figures of all heads."""
        it = self.comparison
        lines = [f"<RolloutComparison of {it.source}: {it.events:,} events of both folds"]
        for name, head in it.heads.items():
            line = f"  {name}: mean difference {head.differences.mean:.6g}"
            if row := head.metrics.get(head.metric):
                line += f", {head.metric} new - old {row.difference}"
            lines.append(line)
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        """Return the report in a frame."""
        return framed(render_rollout(self.comparison), f"Roll-out of {self.comparison.source}")

    def to_polars(self) -> pl.DataFrame:
        """Return one row for each head and metric.

        Columns: ``head`` and ``metric`` (String); ``events``, the number of events whose target is
        known (Int64); ``first`` and ``second``, the metric of the old and of the new fold, and
        ``difference``, new minus old (Float64); ``low`` and ``high``, the 95 % interval of the
        difference (Float64, null if there is none).
        """
        rows = [
            (name, metric, head.scored, row.first, row.second, *astuple(row.difference))
            for name, head in self.comparison.heads.items()
            for metric, row in head.metrics.items()
        ]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def write_report(self, path: str | Path) -> None:
        """Write a page with all figures.

        Args:
            path: Path of the HTML file; an existing report is replaced.

        Raises:
            ConfigError: The file cannot be written, or exists and is not a report.
        """
        write_rollout_report(self.comparison, path)


@keywords(options=RolloutOptions, labels=LabelOptions)
def compare_rollout(
    source: str | None = None,
    predictions: str | None = None,
    *,
    redis_url: str | None = None,
    on_progress: OnProgress | None = None,
    options: RolloutOptions,
    labels: LabelOptions,
    settings: Settings,
) -> RolloutComparison:
    """Compare the two folds of a running roll-out on the events that both have predicted.

    The keywords are the options of ``stream-rnn rollout report``.  The function reads the last
    predictions of both topics and the records of the source in the same range; it writes nothing.

    Args:
        source: Source topic; ``None`` takes that of the settings.
        predictions: Predictions topic; ``None`` takes that of the settings.
        redis_url: URL of the workers' Redis; ``None`` takes that of the settings.
        on_progress: Called with the name of a topic and the number of newly read records.
        options: What is read, the thresholds of decisions, and options of the bootstrap.
        labels: Labels of the heads with ``of = "label"``, which are not scored without.
        settings: Settings of the workers; ``app`` is required.

    Returns:
        The comparison; a notebook displays its report.

    Raises:
        ConfigError: There is no roll-out, no shadow topic, or no event that both folds predict; or
            an option does not fit.
        BundleError: Redis has a bundle that cannot be loaded.
        FencedError: Kafka does not answer.
        UnavailableError: Redis does not answer.
    """
    given = {"source": source, "predictions": predictions, "redis_url": redis_url}
    replaced = settings.replace(**{n: value for n, value in given.items() if value is not None})
    with progress_to(on_progress) as report_progress:
        return compare_predictions(replaced.of_fold(NEEDS), options, labels, report_progress)


def compare_predictions(
    settings: FoldSettings, options: RolloutOptions, labels: LabelOptions, on_progress: OnProgress
) -> RolloutComparison:
    """Do what :func:`compare_rollout` does, with the settings of a fold that need no bundle."""

    async def read() -> tuple[ComparedFolds, list[JoinedPartition], Columns]:
        async with open_rollout(settings) as rollout:
            return await _read(rollout, options, labels, on_progress)

    folds, joined, targets = run_coroutine(read())
    return RolloutComparison(compare_folds(folds, joined, targets, options))


async def _read(
    rollout: OpenRollout, options: RolloutOptions, labels: LabelOptions, on_progress: OnProgress
) -> tuple[ComparedFolds, list[JoinedPartition], Columns]:
    settings, status = rollout.settings, await rollout.status()
    plan = status.require_plan()
    models = await _load_models(rollout, plan)
    heads, not_compared = common_heads(models)
    find_thresholds(heads, options.threshold)  # before the work
    label_values = None
    if labels.labels is not None:
        label_values = labels.read(models[0].spec)
        label_values.check(settings.source, len(status.partitions))
    decoders = dict(zip(plan.fold_ids, map(model_decoder, models), strict=True))
    joined = await read_joined(
        rollout, status, heads, decoders, options.predictions_max, options.since, on_progress
    )
    targets = await read_targets(
        rollout.cluster, joined, heads, models[0], settings, label_values, on_progress
    )
    folds = ComparedFolds(
        app=settings.app,
        source=settings.source,
        fold_ids=plan.fold_ids,
        models=models,
        heads=heads,
        not_compared=not_compared,
    )
    return folds, joined, targets


async def _load_models(rollout: OpenRollout, plan: Plan) -> tuple[Model, Model]:
    """Return the models of the old and of the new fold.

    Raises:
        ConfigError: Redis does not have one of the bundles.
        BundleError: One cannot be loaded.
    """
    models = []
    for fold in plan.folds:
        bundle = await rollout.plans.get_bundle(fold.fingerprint)
        if bundle is None:
            raise ConfigError(
                f"Redis does not have the bundle of fold {fold.fold_id}, fingerprint "
                f"{fold.fingerprint[:16]}, so its heads are not known; start the roll-out with "
                "that bundle again, or compare the two bundles on the source with stream-rnn "
                "compare --topic"
            )
        models.append(load_bundle_bytes(bundle, fold.fingerprint))
    return models[0], models[1]
