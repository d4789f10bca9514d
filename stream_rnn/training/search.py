"""Hyperparameter search: try settings, and choose the best by the validation part.

The search uses the tree-structured Parzen estimator of optuna (Bergstra et al. 2011).  Each trial
trains the network with memory once; trials that are worse than the median after a few epochs stop
early.  The search does not read the test part.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stream_rnn.errors import TrainingError
from stream_rnn.extras import explain
from stream_rnn.model.cells import AnyCell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.training.examples import Examples
from stream_rnn.training.progress import Progress
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings

WARM_UP_EPOCHS = 3
HIDDEN_FACTORS = (0.5, 1, 2)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: its cell, its settings, and its lowest validation loss.

    The loss is infinity if training failed or the trial was stopped early.
    """

    cell: AnyCell
    settings: TrainingSettings
    validation_loss: float


class _PrunedError(Exception):
    """The trial is worse than the median of the others."""


def import_optuna() -> Any:
    """Return the module ``optuna``.

    Raises:
        MissingExtraError: The package optuna is not installed.
    """
    try:
        import optuna  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        explain(error, "--search")
        raise
    return optuna


def search(
    spec: FeatureSpec,
    cell: AnyCell,
    examples: Examples,
    settings: TrainingSettings,
    trials: int,
    on_progress: Callable[[int, Progress], None] = lambda _trial, _progress: None,
) -> list[Trial]:
    """Try settings, beginning with the given ones; return the trials, the best one first.

    Args:
        spec: Fitted feature spec.
        cell: Cell whose kind is used; hidden size and layers, if it has them, are searched around its
            values.
        examples: Examples of all parts.
        settings: Settings of the first trial; all trials share its epochs, patience and seed.
        trials: Number of trials.
        on_progress: Called with the number of the trial and the progress of its training.

    Raises:
        MissingExtraError: The package optuna is not installed.
    """
    optuna = import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=settings.seed % 2**32),
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=WARM_UP_EPOCHS),
    )
    study.enqueue_trial(_initial_parameters(cell, settings))
    finished: list[Trial] = []
    for number in range(trials):
        trial = study.ask()
        trial_cell, trial_settings = _suggest(trial, cell, settings)
        best = math.inf

        def on_trial_progress(progress: Progress, trial: Any = trial, number: int = number) -> None:
            on_progress(number, progress)
            has_ended = not math.isnan(progress.epoch_loss)
            if has_ended and math.isfinite(progress.validation_loss):
                trial.report(progress.validation_loss, progress.epoch)
                if trial.should_prune():
                    raise _PrunedError

        try:
            trained = train(spec, trial_cell, examples, trial_settings, on_trial_progress)
            best = trained.validation_loss
            study.tell(trial, best)
        except (TrainingError, _PrunedError):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        finished.append(Trial(trial_cell, trial_settings, best))
    return sorted(finished, key=lambda trial: trial.validation_loss)


def _initial_parameters(cell: AnyCell, settings: TrainingSettings) -> dict[str, Any]:
    return {
        **cell.sizes,
        "learning_rate": settings.learning_rate,
        "noise": settings.noise,
        "key_noise": settings.key_noise,
        "chrono_steps": settings.chrono_steps,
        "dropout": settings.dropout,
        "weight_decay": max(settings.weight_decay, 1e-6),
        "window": settings.window,
    }


def _suggest(
    trial: Any, cell: AnyCell, settings: TrainingSettings
) -> tuple[AnyCell, TrainingSettings]:
    chosen, sizes = {}, cell.sizes
    if (hidden := sizes.get("hidden")) is not None:
        tried = {max(8, int(hidden * factor) // 8 * 8) for factor in HIDDEN_FACTORS}
        chosen["hidden"] = trial.suggest_categorical("hidden", sorted(tried | {hidden}))
    if (layers := sizes.get("layers")) is not None:
        chosen["layers"] = trial.suggest_int("layers", 1, max(2, layers))
    return cell.resized(chosen), replace(
        settings,
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 2e-2, log=True),
        noise=trial.suggest_categorical("noise", sorted({0.0, 0.1, 0.3, settings.noise})),
        key_noise=trial.suggest_categorical("key_noise", sorted({0.0, 0.2, settings.key_noise})),
        chrono_steps=trial.suggest_categorical(
            "chrono_steps", sorted({0, 30, 100, 300, settings.chrono_steps})
        ),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        window=trial.suggest_categorical("window", sorted({16, 32, 64, 128, settings.window})),
    )
