"""Evaluate: a bundle, its memoryless baseline and its naive rules on one log.

1  fold the log with each of the two networks, by the worker's own processor
2  choose what is scored
3  answer by the naive rules
4  measure: overall, by length of memory, by time, by key, and where it went wrong
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation import segments as groups
from stream_rnn.evaluation.hidden_state_health import Sample, SampledStore, health
from stream_rnn.evaluation.outcomes import PredictionsWithTargets, fold_outcomes
from stream_rnn.evaluation.questions import question, unit
from stream_rnn.evaluation.report.example_keys import pick_example_keys
from stream_rnn.evaluation.result import (
    MEMORY,
    MEMORYLESS,
    NAIVE,
    Evaluation,
    Group,
    HeadEvaluation,
)
from stream_rnn.evaluation.worst_predictions import calibration, largest
from stream_rnn.metrics import bootstrap
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.naive_baselines import RULES, Naive, predict
from stream_rnn.metrics.scores import Output, better, main_metric, merit, score
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from stream_rnn.training.run import MEMORYLESS_NAME, read_naive
from stream_rnn.training.splits import PARTS, column_of, moment_ms, split_parts

HINDSIGHT = "chosen by what is scored"

Answers = Mapping[str, Output]  # model -> (N,)


@dataclass(frozen=True, slots=True)
class Scored:
    """Which predictions are scored; all that have a label if nothing is said.

    Attributes:
        warm_up: up to here nothing is scored: an ISO 8601 time, or a share of the events.
        steps_min: predictions of shorter memories are not.
        only_last: only the last prediction of each key is.
        split: as of ``train``.
        part: the part of the split that is scored.
        seed: of the intervals.
        bootstrap_samples: resamples of the intervals; 0 for none.
    """

    warm_up: str | None = None
    steps_min: int = 1
    only_last: bool = False
    split: str | None = None
    part: str = "test"
    seed: int = 1
    bootstrap_samples: int = bootstrap.BOOTSTRAP_SAMPLES

    def choose(self, found: PredictionsWithTargets) -> NDArray[np.bool_]:
        """Return which of N events are scored.

        Raises:
            ConfigError: none is.
        """
        chosen = found.steps >= self.steps_min
        if self.warm_up is not None:
            chosen &= found.time_ms >= moment_ms(self.warm_up, "--warm-up", found.time_ms)
        if self.split is not None:
            chosen &= split_parts(self.split, found.placed) == PARTS[self.part]
        if self.only_last:
            latest = np.full(len(found.keys), -1)
            latest[found.key] = np.arange(len(found.key))  # events are in offset order
            last = np.zeros(len(found.key), bool)
            last[latest[latest >= 0]] = True
            chosen &= last
        if not chosen.any():
            raise ConfigError(
                f"none of {len(chosen)} predictions is scored; look at --warm-up, --steps-min, "
                "--split and --part"
            )
        return chosen


def evaluate(
    log: Log,
    bundle: Path,
    settings: Settings,
    scored: Scored = Scored(),
    labels: Labels | None = None,
    on_progress: Callable[[str, int], None] = lambda _model, _records: None,
) -> Evaluation:
    """Evaluate a bundle on a log.

    Args:
        log: not opened yet.
        bundle: directory; ``memoryless`` and ``naive.json`` in it are used if they are there.
        settings: of the fold.
        scored: which predictions.
        labels: of the heads that need some.
        on_progress: which model is folded, and how many records more it has read.

    Raises:
        ConfigError: nothing is scored, the log cannot be read, or the bundle cannot.
    """
    model = load_bundle(bundle)
    folds, sample = fold_both(log, model, bundle, settings, scored, labels, on_progress)
    return measure(log.name, model, bundle, folds, sample, scored)


def measure(
    log: str,
    model: Model,
    bundle: Path,
    folds: Mapping[str, PredictionsWithTargets],
    sample: Sample,
    scored: Scored,
) -> Evaluation:
    """Measure what the folds of :func:`fold_both` predicted.

    Raises:
        ConfigError: nothing is scored.
    """
    memory = folds[MEMORY]
    chosen = scored.choose(memory)
    naive = read_naive(bundle)
    heads = {
        head.name: _evaluate_head(head, folds, chosen, naive, scored) for head in model.spec.heads
    }
    cell = model.cell
    return Evaluation(
        model=model.name,
        fingerprint=model.fingerprint[:16],
        cell=f"{cell.kind}, hidden {cell.hidden}, layers {cell.layers}",
        log=log,
        events=len(memory.offset),
        keys=len(memory.keys),
        skipped=memory.skips,
        first_ms=int(memory.time_ms.min()),
        last_ms=int(memory.time_ms.max()),
        warm_up=scored.warm_up or "",
        part=f"{scored.part} of {scored.split}" if scored.split else "",
        heads=heads,
        health=health(sample, model.hidden_shape),
        shown=pick_example_keys(memory, heads),
    )


def fold_both(
    log: Log,
    model: Model,
    bundle: Path,
    settings: Settings,
    scored: Scored,
    labels: Labels | None,
    on_progress: Callable[[str, int], None],
) -> tuple[dict[str, PredictionsWithTargets], Sample]:
    """Fold a log with a model and, if there is one, its memoryless baseline.

    Raises:
        ConfigError: the baseline remembers, or answers other events.
    """
    baseline = _baseline(bundle)
    sample = Sample(model.hidden_size_floats)
    column = column_of(scored.split) if scored.split else None

    async def fold() -> dict[str, PredictionsWithTargets]:
        async with log:
            found = {
                MEMORY: await fold_outcomes(
                    log,
                    model,
                    settings,
                    labels,
                    column,
                    lambda: SampledStore(sample),
                    lambda records: on_progress(MEMORY, records),
                )
            }
            if baseline is not None:
                found[MEMORYLESS] = await fold_outcomes(
                    log,
                    baseline,
                    settings,
                    labels,
                    on_progress=lambda records: on_progress(MEMORYLESS, records),
                )
        return found

    found = run_coroutine(fold())
    if MEMORYLESS in found and not np.array_equal(found[MEMORY].offset, found[MEMORYLESS].offset):
        raise ConfigError(
            f"{bundle / MEMORYLESS_NAME} answers other events of {log.name} than {bundle}: the log "
            "grew meanwhile, or they do not belong together; give --to, or train both again"
        )
    return found, sample


def _baseline(bundle: Path) -> Model | None:
    """Load the memoryless baseline of a bundle; ``None`` if it has none."""
    place = bundle / MEMORYLESS_NAME
    if not place.is_dir():
        return None
    found = load_bundle(place)
    if found.cell.kind != "none":
        raise ConfigError(
            f"{place} is no memoryless baseline: its cell is {found.cell.kind}, not none; something "
            f"else was put there; move it elsewhere, or train {bundle} again"
        )
    return found


def _evaluate_head(
    head: AnyHead,
    folds: Mapping[str, PredictionsWithTargets],
    chosen: NDArray[np.bool_],
    naive: Naive | None,
    scored: Scored,
) -> HeadEvaluation:
    found = folds[MEMORY]
    target = found.targets[head.name]
    chosen = chosen & np.isfinite(target)
    answers = {name: fold.outputs[head.name][chosen] for name, fold in folds.items()}
    rule = ""
    if naive is not None and head.name in naive.heads and chosen.any():
        last = found.own[head.name] if head.of == "next" else np.full(len(target), np.nan)
        rule, answers[NAIVE] = _naive_answer(head, naive, last[chosen], target[chosen])
    key = np.unique(found.key[chosen], return_inverse=True)[1].astype(np.int64)
    keys = int(key.max()) + 1 if len(key) else 0
    draws = (
        bootstrap.draw_keys(keys, scored.seed, scored.bootstrap_samples)
        if scored.bootstrap_samples
        else None
    )
    measured = _Measured(head, target[chosen], key, draws)
    models, worth = measured.all(answers) if chosen.any() else ({}, None)
    metric = main_metric(head)
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
        worth=worth,
        by_memory=measured.groups(
            answers, groups.by_steps(found.steps[chosen]), with_intervals=True
        ),
        by_time=measured.groups(answers, groups.by_time(found.time_ms[chosen])),
        by_key=measured.groups(answers, groups.by_key(found.key, chosen)),
        calibration={
            name: calibration(head, output, target[chosen]) for name, output in answers.items()
        },
        largest=largest(head, found, answers[MEMORY], target[chosen], np.flatnonzero(chosen)),
    )


def _naive_answer(
    head: AnyHead, naive: Naive, last: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[str, Output]:
    """Return the naive rule's name and its answers.

    It is the rule that training chose by its validation part.  Of a bundle that does not say which,
    it is the rule that does best on what is scored, the harder one to beat, and the name says so.
    """
    rule = naive.heads[head.name].rule
    if rule is not None:
        return rule, predict(head, naive.heads[head.name], rule, last, target)
    metric = main_metric(head)
    answers = {rule: predict(head, naive.heads[head.name], rule, last, target) for rule in RULES}

    best = max(RULES, key=lambda rule: merit(metric, score(head, answers[rule], target)[metric]))
    return f"{best}, {HINDSIGHT}", answers[best]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Measures answers of one head on the same events and draws."""

    head: AnyHead
    target: NDArray[np.float64]
    key: NDArray[np.int64]
    draws: bootstrap.KeyCounts | None

    def all(self, answers: Answers) -> tuple[dict[str, dict[str, Figure]], Figure | None]:
        """Return each model's metrics, and what memory is worth."""
        metric = main_metric(self.head)
        models: dict[str, dict[str, Figure]] = {}
        drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name, output in answers.items():
            drawn[name] = self._drawn(output, slice(None))
            values = score(self.head, output, self.target)
            models[name] = {
                m: bootstrap.with_interval(v, drawn[name].get(m)) for m, v in values.items()
            }
        if MEMORYLESS not in models:
            return models, None
        difference = models[MEMORY][metric].value - models[MEMORYLESS][metric].value
        pairs = None
        if metric in drawn[MEMORY]:
            pairs = drawn[MEMORY][metric] - drawn[MEMORYLESS][metric]
        return models, bootstrap.with_interval(difference, pairs)

    def groups(
        self,
        answers: Answers,
        wanted: Sequence[tuple[str, NDArray[np.intp]]],
        *,
        with_intervals: bool = False,
    ) -> tuple[Group, ...]:
        """Return the main metric of each model in groups of events."""
        metric, found = main_metric(self.head), []
        for name, events in wanted:
            figures = {}
            for model, output in answers.items():
                value = score(self.head, output[events], self.target[events])[metric]
                drawn = self._drawn(output, events).get(metric) if with_intervals else None
                figures[model] = bootstrap.with_interval(value, drawn)
            found.append(Group(name, len(events), figures))
        return tuple(found)

    def _drawn(
        self, output: Output, events: slice | NDArray[np.intp]
    ) -> dict[str, NDArray[np.float64]]:
        if self.draws is None:
            return {}
        return bootstrap.resampled_metrics(
            self.head, output[events], self.target[events], self.key[events], self.draws
        )
