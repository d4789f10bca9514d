"""``train``: a bundle, its memoryless baseline and its naive rules from a log."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.log import LabelOptions, LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.notebook.spec import ProposedSpec
from stream_rnn.notebook.training_result import Epoch, TrainingResult
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training import run as training_run
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import Events, read_fitted
from stream_rnn.training.examples import Examples
from stream_rnn.training.search import Trial, search
from stream_rnn.training.trainer import Progress
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import PARTS

logger = logging.getLogger(__name__)

CELL = CellSpec()
WARNING = "warning: "
EMPTY_PARTS = (
    (1, "the epoch is chosen by the training part"),
    (2, "nothing is tested"),
)

OnMessage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What is trained, and on which events.

    Attributes:
        cell: ``elman``, ``gru`` or ``lstm``.
        hidden: hidden size, a multiple of 8.
        layers: number of stacked recurrent layers.
        split: where training ends and the test part begins, see ``training/splits.py``.
        seeds: number of seeds to train; the best one is kept.
        search: number of settings to try before training.
        threads: number of torch threads.
    """

    cell: str = CELL.kind
    hidden: int = CELL.hidden
    layers: int = CELL.layers
    split: str = "time:0.8"
    seeds: int = 1
    search: int = 0
    threads: int = 2


@dataclass(frozen=True)
class _Read:
    """A log as it is trained on."""

    log: Log
    spec: FeatureSpec
    events: Events
    examples: Examples


def _log_message(message: str) -> None:
    """Log what is worth knowing before a long training."""
    level = logging.WARNING if message.startswith(WARNING) else logging.INFO
    logger.log(level, "%s", message.removeprefix(WARNING))


@keywords(options=LogOptions, labels=LabelOptions, what=TrainOptions, training=TrainingSettings)
def train(
    log: LogLike,
    spec: str | Path | FeatureSpec | ProposedSpec | None,
    out: str | Path,
    *,
    on_progress: OnProgress | None = None,
    on_message: OnMessage = _log_message,
    options: LogOptions,
    labels: LabelOptions,
    what: TrainOptions,
    training: TrainingSettings,
    settings: Settings,
) -> TrainingResult:
    """Train a network with memory, and beside it one without, and write both as a bundle.

    The keywords are the options of ``stream-rnn train``.

    Args:
        log: path of a file, data frame of polars or pandas, or a log; ``None`` with ``topic``.
        spec: what an event is: path of a TOML file, or what ``load_spec`` or ``propose_spec``
            return; ``None`` for the data of the demo.
        out: directory that the bundle is written to.
        on_progress: receives the name of a network and a ``training.trainer.Progress``.
        on_message: receives what is worth knowing before training.
        options: which records are read.
        labels: of heads that need some.
        what: what is trained, and on which events.
        training: how to train.
        settings: of the fold.

    Raises:
        ConfigError: the log cannot be read, or ``out`` cannot be written or holds something else.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it was, and loses at most an epoch.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from stream_rnn import propose_spec, train
        >>> from stream_rnn.notebook.example import machines
        >>> spec = propose_spec(machines(), target="failed")
        >>> with TemporaryDirectory() as folder:
        ...     result = train(machines(), spec, f"{folder}/bundle", hidden=8, epochs=2)
        >>> result.to_polars()["network"].value_counts(sort=True).rows()
        [('memoryless', 6), ('gru', 2)]
    """
    place, cell = Path(out), _cell(what)
    training_run.check_out(place)
    with torch_threads(what.threads), progress_to(on_progress) as told:
        read = _read(log, spec, what.split, labels, options, settings)
        for message in _messages(read, what.split):
            on_message(message)
        tried = _search(read, cell, training, what.search, told)
        if tried:
            cell, training = tried[0].cell, tried[0].settings
        provenance = _provenance(read, what, training, settings)
        plan = training_run.TrainingRun(
            read.spec, cell, read.examples, training, what.seeds, place, provenance
        )
        return _run(plan, tried, told, on_message)


def _cell(what: TrainOptions) -> CellSpec:
    if what.hidden % 8:
        raise ConfigError(
            f"--hidden {what.hidden} is not a multiple of 8; see stream_rnn/model/cells.py"
        )
    content = {"kind": what.cell, "hidden": what.hidden, "layers": what.layers}
    return CellSpec.model_validate(content)


def _read(
    given: LogLike,
    spec: str | Path | FeatureSpec | ProposedSpec | None,
    split: str,
    labels: LabelOptions,
    options: LogOptions,
    settings: Settings,
) -> _Read:
    if isinstance(spec, ProposedSpec):
        spec = spec.spec
    if not isinstance(spec, FeatureSpec):
        if spec is None and not (isinstance(given, str) and given == flights.NAME):
            raise ConfigError(
                "training needs a spec: propose_spec or stream-rnn spec init propose one"
            )
        spec = FeatureSpec.read(spec or flights.SPEC)
    known = labels.read(spec)
    log = open_log(given, spec, options, settings)

    async def read() -> _Read:
        async with log:
            return _Read(log, *await read_fitted(log, spec, settings, split, known))

    return run_coroutine(read())


def _search(
    read: _Read, cell: CellSpec, how: TrainingSettings, trials: int, told: OnProgress
) -> list[Trial]:
    if not trials:
        return []

    def on_trial_progress(number: int, progress: Progress) -> None:
        told(f"trial {number + 1}", progress)

    return search(read.spec, cell, read.examples, how, trials, on_trial_progress)


def _provenance(
    read: _Read, what: TrainOptions, how: TrainingSettings, settings: Settings
) -> dict[str, Any]:
    return {
        "stream_rnn": version("stream-rnn"),
        "torch": torch.__version__,
        "log": read.log.name,
        "split": what.split,
        "events": len(read.events.keys),
        "skipped": read.events.skips,
        "seeds": what.seeds,
        "search": what.search,
        "training": asdict(how),
        "state_ttl": settings.state_ttl,
    }


def _run(
    plan: training_run.TrainingRun, tried: Sequence[Trial], told: OnProgress, on_message: OnMessage
) -> TrainingResult:
    """Train, and note the losses of each epoch."""
    epochs: list[Epoch] = []

    def note(name: str, now: Progress) -> None:
        if not math.isnan(now.epoch_loss):
            epochs.append((name, now.epoch, now.training_loss, now.epoch_loss))
        told(name, now)

    try:
        scores = training_run.run(plan, note)
    except KeyboardInterrupt:
        on_message(f"stopped; the same command goes on from {plan.checkpoint_directory}")
        raise
    return TrainingResult(
        out=plan.out,
        spec=plan.spec,
        cell=plan.cell,
        training=plan.settings,
        scores=scores,
        trials=tuple(tried),
        epochs=tuple(epochs),
    )


def _messages(read: _Read, split: str) -> list[str]:
    """Return what is worth knowing before training: counts and warnings."""
    part = read.examples.part
    counts = [int((part == number).sum()) for number in range(3)]
    memories = len(read.events.examples.runs.first)
    whole = (
        f"{len(part)} events, {memories} memories; training {counts[0]}, validation {counts[1]}, "
        f"test {counts[2]}; skipped {read.events.skips or 0}"
    )
    empty = [
        f"{WARNING}--split {split} leaves the {PARTS[number]} part empty: {what}"
        for number, what in EMPTY_PARTS
        if not counts[number]
    ]
    checks = check_examples(read.spec, read.examples, read.events.partition)
    return [whole, *empty, *(f"{WARNING}{check}" for check in checks)]
