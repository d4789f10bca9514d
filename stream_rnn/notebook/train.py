"""The function ``train``, which makes a bundle from a log."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.advice import advise
from stream_rnn.model.cells import AnyCell, cell_of
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.package_cells.check import check_cell_of
from stream_rnn.notebook.log import LabelOptions, LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, TrainOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.notebook.spec import ProposedSpec
from stream_rnn.notebook.training_result import Epoch, TrainingResult
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training import run as training_run
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import Events, read_fitted
from stream_rnn.training.examples import Examples
from stream_rnn.training.progress import Progress
from stream_rnn.training.search import Trial, import_optuna, search
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.training_settings import TrainingSettings

logger = logging.getLogger(__name__)

WARNING = "warning: "
EMPTY_PARTS = (
    (1, "the training part chooses the epoch"),
    (2, "there are no test metrics"),
)

OnMessage = Callable[[str], None]


@dataclass(frozen=True)
class _TrainingData:
    """The events of a log, split and encoded for training."""

    log: Log
    spec: FeatureSpec
    events: Events
    examples: Examples


def _log_message(message: str) -> None:
    """Log a message about the training data."""
    level = logging.WARNING if message.startswith(WARNING) else logging.INFO
    logger.log(level, "%s", message.removeprefix(WARNING))


@keywords(options=LogOptions, labels=LabelOptions, what=TrainOptions, training=TrainingSettings)
def train(
    log: LogLike,
    spec: str | Path | FeatureSpec | ProposedSpec | None,
    out: str | Path,
    *,
    on_progress: OnProgress | None = None,
    on_message: OnMessage | None = None,
    options: LogOptions,
    labels: LabelOptions,
    what: TrainOptions,
    training: TrainingSettings,
    settings: Settings,
) -> TrainingResult:
    """Train a network and its memoryless baseline on a log, and write both as a bundle.

    The keywords are the options of ``stream-rnn train``.

    Args:
        log: Path of a file, data frame of polars or pandas, or ``Log``; ``None`` with ``topic``.
        spec: Path or result of ``load_spec`` or ``propose_spec``; ``None`` for the demo's data.
        out: Directory of the bundle; an existing bundle is replaced.
        on_progress: Called with the name of a network and a ``training.progress.Progress``.
        on_message: Called with the size of the data and each warning; ``None`` logs them.
        options: Choice of the records to read.
        labels: Labels of the heads with ``of = "label"``.
        what: Network, split, and numbers of seeds, trials and threads.
        training: Settings of training.
        settings: Settings of the fold.

    Returns:
        The result of training; a notebook displays its losses and metrics.

    Raises:
        ConfigError: The log cannot be read, there is no such cell, or ``out`` cannot be written.
        SpecError: The spec is invalid, or the log has nothing to learn.
        TrainingError: A loss is not finite.
        KeyboardInterrupt: Ctrl-C stopped training; the same call resumes it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from stream_rnn import propose_spec, train
        >>> from stream_rnn.notebook.example import machines
        >>> spec = propose_spec(machines(), target="failed")
        >>> with TemporaryDirectory() as folder:
        ...     result = train(machines(), spec, f"{folder}/bundle", hidden=8, epochs=2)
        >>> result.to_polars()["network"].unique(maintain_order=True).to_list()
        ['gru', 'memoryless', 'gru-restarted']
    """
    directory, cell = Path(out), _check(Path(out), what)
    with torch_threads(what.threads):
        data = _read(log, spec, cell, what.split, labels, options, settings)
        for message in _messages(data, what.split):
            (on_message or _log_message)(message)
        trials = _search(data, cell, training, what.search, on_progress)
        if trials:
            cell, training = trials[0].cell, trials[0].settings
        provenance = _provenance(data, what, training, settings)
        plan = _plan(data, cell, training, what.seeds, directory, provenance)
        return _run(plan, trials, on_progress, on_message or _log_message)


def _check(directory: Path, what: TrainOptions) -> AnyCell:
    """Check, before the log is read, that directory and search are possible; return the cell."""
    cell = cell_of(what.cell, what.hidden, what.layers, what.cell_options or {})
    if what.search:
        import_optuna()
    training_run.check_out(directory)
    return cell


def _read(
    log_like: LogLike,
    spec: str | Path | FeatureSpec | ProposedSpec | None,
    cell: AnyCell,
    split: str,
    labels: LabelOptions,
    options: LogOptions,
    settings: Settings,
) -> _TrainingData:
    if isinstance(spec, ProposedSpec):
        spec = spec.spec
    if not isinstance(spec, FeatureSpec):
        if spec is None and not (isinstance(log_like, str) and log_like == flights.NAME):
            raise ConfigError(
                "training needs a spec: propose_spec or stream-rnn spec init propose one"
            )
        spec = FeatureSpec.read(spec or flights.SPEC)
    label_values = labels.read(spec)
    log = open_log(log_like, spec, options, settings)
    data = _TrainingData(log, *read_fitted(log, spec, settings, split, label_values))
    check_cell_of(data.spec, cell)
    return data


def _search(
    data: _TrainingData,
    cell: AnyCell,
    training: TrainingSettings,
    trials: int,
    on_progress: OnProgress | None,
) -> list[Trial]:
    if not trials:
        return []
    with progress_to(on_progress) as report_progress:

        def on_trial_progress(number: int, progress: Progress) -> None:
            report_progress(f"trial {number + 1}", progress)

        return search(data.spec, cell, data.examples, training, trials, on_trial_progress)


def _provenance(
    data: _TrainingData, what: TrainOptions, training: TrainingSettings, settings: Settings
) -> dict[str, Any]:
    return {
        "stream_rnn": version("stream-rnn"),
        "torch": torch.__version__,
        "log": data.log.name,
        "split": what.split,
        "events": len(data.events.keys),
        "skipped": data.events.skips,
        "seeds": what.seeds,
        "search": what.search,
        "training": asdict(training),
        "state_ttl": settings.state_ttl,
    }


def _plan(
    data: _TrainingData,
    cell: AnyCell,
    training: TrainingSettings,
    seeds: int,
    out: Path,
    provenance: dict[str, Any],
) -> training_run.TrainingRun:
    return training_run.TrainingRun(
        spec=data.spec,
        cell=cell,
        examples=data.examples,
        settings=training,
        seeds=seeds,
        out=out,
        provenance=provenance,
        key=_number_keys(data.events.keys),
    )


def _number_keys(keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Number the keys (N,) of events in the order of their first event."""
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], np.int64)


def _run(
    plan: training_run.TrainingRun,
    trials: Sequence[Trial],
    on_progress: OnProgress | None,
    on_message: OnMessage,
) -> TrainingResult:
    """Train, and record the losses of each epoch; messages come when the progress line is gone."""
    epochs: list[Epoch] = []
    try:
        with progress_to(on_progress) as report_progress:

            def record(name: str, progress: Progress) -> None:
                if not math.isnan(progress.epoch_loss):
                    loss = progress.training_loss, progress.epoch_loss
                    epochs.append((name, progress.epoch, *loss))
                report_progress(name, progress)

            scores = training_run.run(plan, record)
    except KeyboardInterrupt:
        on_message(f"stopped; the same command resumes from {plan.checkpoint_directory}")
        raise
    advice = advise(plan, scores)
    for text in advice:
        on_message(f"{WARNING}{text}")
    return TrainingResult(
        out=plan.out,
        spec=plan.spec,
        cell=plan.cell,
        training=plan.settings,
        scores=scores,
        trials=tuple(trials),
        epochs=tuple(epochs),
        advice=tuple(advice),
    )


def _messages(data: _TrainingData, split: str) -> list[str]:
    """Return the messages before training: the counts of events, and warnings."""
    part = data.examples.part
    counts = [int((part == number).sum()) for number in range(3)]
    memories = len(data.events.examples.runs.first)
    summary = (
        f"{len(part)} events, {memories} memories; training {counts[0]}, validation {counts[1]}, "
        f"test {counts[2]}; skipped {data.events.skips or 0}"
    )
    empty = [
        f"{WARNING}--split {split} leaves the {PART_NAMES[number]} part empty: {consequence}"
        for number, consequence in EMPTY_PARTS
        if not counts[number]
    ]
    checks = check_examples(data.spec, data.examples, data.events.partition)
    return [summary, *empty, *(f"{WARNING}{check}" for check in checks)]
