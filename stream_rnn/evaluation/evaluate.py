"""Evaluation of a bundle, its memoryless baseline and its naive rules on one log.

1  Fold the log with each of the two networks, by the processor of the worker.
2  Choose the predictions that are scored.
3  Predict the same events by the naive rules.
4  Compute the metrics: overall, by length of memory, by time and by key, and the largest errors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation import segments
from stream_rnn.evaluation.beyond_training import find_beyond_training
from stream_rnn.evaluation.fold_samples import FoldSamples
from stream_rnn.evaluation.hidden_state_health import health
from stream_rnn.evaluation.predictions_with_targets import (
    PredictionsWithTargets,
    predict_with_targets,
)
from stream_rnn.evaluation.questions import question, unit
from stream_rnn.evaluation.report.example_keys import pick_example_keys
from stream_rnn.evaluation.report.sentences import naive_warning
from stream_rnn.evaluation.result import (
    MEMORY,
    MEMORYLESS,
    NAIVE,
    Evaluation,
    Group,
    HeadEvaluation,
)
from stream_rnn.evaluation.scoring import choose_scored
from stream_rnn.evaluation.scoring_options import DEFAULT_SCORING, ScoringOptions
from stream_rnn.evaluation.surprise import summarize_surprise
from stream_rnn.evaluation.worst_predictions import calibration_bins, largest_errors
from stream_rnn.metrics.bootstrap import (
    KeyCounts,
    draw_keys,
    number_keys,
    resampled_metrics,
    with_interval,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.naive_baselines import RULES, Naive, predict
from stream_rnn.metrics.naive_lead import naive_factor
from stream_rnn.metrics.scores import Output, better, main_metric, merit, score
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from stream_rnn.training.naive_rules import read_naive
from stream_rnn.training.run import MEMORYLESS_NAME
from stream_rnn.training.splits import column_of

CHOSEN_BY_SCORED_EVENTS = "chosen by the scored events"

Outputs = Mapping[str, Output]  # model -> (N,)


def evaluate(
    log: Log,
    bundle: Path,
    settings: Settings,
    scoring: ScoringOptions = DEFAULT_SCORING,
    labels: Labels | None = None,
    on_progress: Callable[[str, int], None] = lambda _model, _records: None,
) -> Evaluation:
    """Evaluate a bundle on a log.

    Args:
        log: Log to fold; not yet opened.
        bundle: Directory of the bundle; ``memoryless`` and ``naive.json`` in it are optional.
        settings: Settings of the fold.
        scoring: Choice of the scored predictions, and options of the bootstrap.
        labels: Labels of the heads with ``of = "label"``.
        on_progress: Called with the name of a model and the number of records read since the last
            call.

    Raises:
        ConfigError: The log cannot be read, or no prediction with a target is scored.
        BundleError: The bundle cannot be loaded.
    """
    model = load_bundle(bundle)
    folds, samples = fold_with_baseline(log, model, bundle, settings, scoring, labels, on_progress)
    return measure(log.name, model, bundle, folds, samples, scoring)


def measure(
    log: str,
    model: Model,
    bundle: Path,
    folds: Mapping[str, PredictionsWithTargets],
    samples: FoldSamples,
    scoring: ScoringOptions,
) -> Evaluation:
    """Compute the metrics of the predictions that :func:`fold_with_baseline` returns.

    Raises:
        ConfigError: No prediction is scored.
    """
    memory = folds[MEMORY]
    chosen = choose_scored(memory, scoring)
    beyond = find_beyond_training(model.spec, samples.features, memory, chosen)
    naive = read_naive(bundle)
    heads = {
        head.name: _evaluate_head(head, folds, chosen, naive, scoring) for head in model.spec.heads
    }
    return Evaluation(
        model=model.name,
        fingerprint=model.fingerprint[:16],
        cell=model.cell.description,
        log=log,
        events=len(memory.offset),
        keys=len(memory.keys),
        skipped=memory.skips,
        first_ms=int(memory.time_ms.min()),
        last_ms=int(memory.time_ms.max()),
        warm_up=scoring.warm_up or "",
        part=f"{scoring.part} of {scoring.split}" if scoring.split else "",
        heads=heads,
        warnings=(*filter(None, map(naive_warning, heads.values())), *beyond),
        health=health(samples.hidden, model.hidden_shape, has_cell_state=model.cell.kind == "lstm"),
        shown=pick_example_keys(memory, heads),
    )


def fold_with_baseline(
    log: Log,
    model: Model,
    bundle: Path,
    settings: Settings,
    scoring: ScoringOptions,
    labels: Labels | None,
    on_progress: Callable[[str, int], None],
) -> tuple[dict[str, PredictionsWithTargets], FoldSamples]:
    """Fold a log with a model and, if the bundle has one, its memoryless baseline.

    Returns:
        The predictions of each model, and samples of the fold of ``memory``.

    Raises:
        ConfigError: The baseline has a memory, or predicts other events than the model.
    """
    baseline = _load_baseline(bundle)
    samples = FoldSamples.of(model)
    column = column_of(scoring.split) if scoring.split else None

    async def fold() -> dict[str, PredictionsWithTargets]:
        async with log:
            predictions = {
                MEMORY: await predict_with_targets(
                    log,
                    model,
                    settings,
                    labels,
                    column,
                    samples,
                    lambda records: on_progress(MEMORY, records),
                )
            }
            if baseline is not None:
                predictions[MEMORYLESS] = await predict_with_targets(
                    log,
                    baseline,
                    settings,
                    labels,
                    on_progress=lambda records: on_progress(MEMORYLESS, records),
                )
        return predictions

    folds = run_coroutine(fold())
    if MEMORYLESS in folds and not np.array_equal(folds[MEMORY].offset, folds[MEMORYLESS].offset):
        raise ConfigError(
            f"{bundle / MEMORYLESS_NAME} predicts other events of {log.name} than {bundle}: the log "
            "grew meanwhile, or the two do not belong together; give --to, or train the bundle again"
        )
    return folds, samples


def _load_baseline(bundle: Path) -> Model | None:
    """Load the memoryless baseline of a bundle; return ``None`` if the bundle has none."""
    directory = bundle / MEMORYLESS_NAME
    if not directory.is_dir():
        return None
    model = load_bundle(directory)
    if model.cell.kind != "none":
        raise ConfigError(
            f"{directory} is not a memoryless baseline: its cell is {model.cell.kind}, not none; "
            f"move it elsewhere, or train {bundle} again"
        )
    return model


def _evaluate_head(
    head: AnyHead,
    folds: Mapping[str, PredictionsWithTargets],
    chosen: NDArray[np.bool_],
    naive: Naive | None,
    scoring: ScoringOptions,
) -> HeadEvaluation:
    memory = folds[MEMORY]
    target = memory.targets[head.name]
    surprise = summarize_surprise(head, memory, chosen)
    chosen = chosen & np.isfinite(target)
    outputs = {name: fold.outputs[head.name][chosen] for name, fold in folds.items()}
    rule = ""
    if naive is not None and head.name in naive.heads and chosen.any():
        is_next = head.of == "next"
        last = memory.own_targets[head.name] if is_next else np.full(len(target), np.nan)
        rule, outputs[NAIVE] = _predict_naively(head, naive, last[chosen], target[chosen])
    key = number_keys(memory.key[chosen])
    keys = int(key.max()) + 1 if len(key) else 0
    draws = (
        draw_keys(keys, scoring.seed, scoring.bootstrap_samples)
        if scoring.bootstrap_samples
        else None
    )
    scorer = _HeadScorer(head, target[chosen], key, draws)
    models, worth = scorer.score_models(outputs) if chosen.any() else ({}, None)
    metric = main_metric(head)
    values = {name: figures[metric].value for name, figures in models.items()}
    factor = None
    if NAIVE in values:
        networks = [value for name, value in values.items() if name != NAIVE]
        factor = naive_factor(head, values[NAIVE], networks, target[chosen])
    return HeadEvaluation(
        name=head.name,
        kind=head.kind,
        question=question(head),
        unit=unit(head),
        metric=metric,
        better=better(metric),
        events=int(chosen.sum()),
        models=models,
        naive=rule,
        naive_factor=factor,
        worth=worth,
        by_memory=scorer.score_groups(
            outputs, segments.by_steps(memory.steps[chosen]), with_intervals=True
        ),
        by_time=scorer.score_groups(outputs, segments.by_time(memory.time_ms[chosen])),
        by_key=scorer.score_groups(outputs, segments.by_key(memory.key, chosen, memory.keys)),
        has_key_groups=segments.has_few_keys(keys),
        calibration={
            name: calibration_bins(head, output, target[chosen]) for name, output in outputs.items()
        },
        largest=largest_errors(
            head, memory, outputs[MEMORY], target[chosen], np.flatnonzero(chosen)
        ),
        surprise=surprise,
    )


def _predict_naively(
    head: AnyHead, naive: Naive, last: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[str, Output]:
    """Return the name of the naive rule, and its predictions.

    Training chooses the rule by its validation part.  If a bundle does not record the choice, this
    function uses the rule that scores best on these events, and appends this to the name.
    """
    rule = naive.heads[head.name].rule
    if rule is not None:
        return rule, predict(head, naive.heads[head.name], rule, last, target)
    metric = main_metric(head)
    outputs = {rule: predict(head, naive.heads[head.name], rule, last, target) for rule in RULES}
    best = max(RULES, key=lambda rule: merit(metric, score(head, outputs[rule], target)[metric]))
    return f"{best}, {CHOSEN_BY_SCORED_EVENTS}", outputs[best]


@dataclass(frozen=True, slots=True)
class _HeadScorer:
    """Scores the outputs of several models for one head, on the same events and draws of keys."""

    head: AnyHead
    target: NDArray[np.float64]
    key: NDArray[np.int64]
    draws: KeyCounts | None

    def score_models(self, outputs: Outputs) -> tuple[dict[str, dict[str, Figure]], Figure | None]:
        """Return the metrics of each model, and what the memory is worth.

        The worth is ``None`` if there is no memoryless baseline.
        """
        metric = main_metric(self.head)
        models: dict[str, dict[str, Figure]] = {}
        drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name, output in outputs.items():
            drawn[name] = self._resample(output, slice(None))
            values = score(self.head, output, self.target)
            models[name] = {m: with_interval(v, drawn[name].get(m)) for m, v in values.items()}
        if MEMORYLESS not in models:
            return models, None
        difference = models[MEMORY][metric].value - models[MEMORYLESS][metric].value
        pairs = None
        if metric in drawn[MEMORY]:
            pairs = drawn[MEMORY][metric] - drawn[MEMORYLESS][metric]
        return models, with_interval(difference, pairs)

    def score_groups(
        self,
        outputs: Outputs,
        groups: Sequence[tuple[str, NDArray[np.intp]]],
        *,
        with_intervals: bool = False,
    ) -> tuple[Group, ...]:
        """Return the main metric of each model in groups of events."""
        metric, scored_groups = main_metric(self.head), []
        for name, events in groups:
            figures = {}
            for model, output in outputs.items():
                value = score(self.head, output[events], self.target[events])[metric]
                drawn = self._resample(output, events).get(metric) if with_intervals else None
                figures[model] = with_interval(value, drawn)
            scored_groups.append(Group(name, len(events), figures))
        return tuple(scored_groups)

    def _resample(
        self, output: Output, events: slice | NDArray[np.intp]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the metrics of each draw of keys; none if there are no draws."""
        if self.draws is None:
            return {}
        return resampled_metrics(
            self.head, output[events], self.target[events], self.key[events], self.draws
        )
