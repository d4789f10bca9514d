"""A training run: from examples to a bundle, its memoryless baseline and its naive rules.

    DIR/bundle.json  model.safetensors     the network with memory, of the best seed
    DIR/memoryless/                        a feed-forward network of the same size and features
    DIR/naive.json                         rules that predict without a network
    DIR.training/                          checkpoints, which the end of the run deletes

The bundle is written to a temporary directory and renamed, so DIR is a whole bundle or does not
exist.  A run replaces DIR only if it is a bundle and nothing else, and deletes DIR.training only if
a run has marked it as its own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, reason
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.naive_baselines import Naive, Rule
from stream_rnn.model.bundle import JSON_BYTES_MAX, JSON_NAME, TENSORS_NAME, save_bundle
from stream_rnn.model.cells import AnyCell, CellSpec, memoryless_cell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Network
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.evidence import Difference, compare_held_out, mean_worth, number_runs
from stream_rnn.training.examples import Examples
from stream_rnn.training.naive_rules import NAIVE_NAME, fit_naive_rules
from stream_rnn.training.progress import Progress
from stream_rnn.training.trainer import ALGORITHM, Trained, train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import Metrics

MEMORYLESS_EPOCHS = 3  # factor for the number of epochs; an epoch takes a tenth of the time
MEMORYLESS_NAME = "memoryless"
RESTARTED = "-restarted"  # after the cell, where training starts from the memoryless baseline
LOSS_GAIN_MIN = 0.01  # share of the baseline's validation loss, below which training starts again
UNFINISHED = ".training"
BUNDLE_NAMES = {
    *(JSON_NAME, TENSORS_NAME, NAIVE_NAME, MEMORYLESS_NAME),
    *(f"{MEMORYLESS_NAME}/{name}" for name in (JSON_NAME, TENSORS_NAME)),
}
FRESH_NAME, OLD_NAME = "bundle", "old"  # in DIR.training: the new and the replaced bundle
MARK_NAME, MARK = "stream-rnn-training", b"checkpoints of stream-rnn train\n"

OnProgress = Callable[[str, Progress], None]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A plan of training: the network, the examples and the directory of the bundle.

    Attributes:
        spec: Feature spec, fitted to the training part.
        cell: Cell of the network with memory.
        examples: Examples of all parts.
        settings: Settings of training, with the first random seed.
        seeds: Number of seeds to train, one after the other.
        out: Directory of the bundle.
        provenance: Provenance for ``bundle.json``.
        key: Number (N,) of each event's key, in the order of the log; ``None`` takes each run as a
            key of its own.
    """

    spec: FeatureSpec
    cell: AnyCell
    examples: Examples
    settings: TrainingSettings
    seeds: int
    out: Path
    provenance: Mapping[str, Any]
    key: NDArray[np.int64] | None = None

    @property
    def checkpoint_directory(self) -> Path:
        """Directory of the checkpoints and of the unfinished bundle."""
        return _checkpoint_directory(self.out)


@dataclass(frozen=True, slots=True)
class TrainingScores:
    """The metrics of a training run.

    Attributes:
        memory: Metrics of the network with the lowest validation loss of all seeds.
        memoryless: Metrics of its memoryless baseline.
        naive: Metrics of the naive rule of each head.
        rules: Naive rule of each head, chosen by the validation part.
        seeds: For each seed, its epochs, and the lowest validation losses and the metrics of the
            network and the baseline.
        worth: For each head, the main metric of the network minus that of the baseline on the test
            part, or on the validation part if that is empty: the mean over the seeds.
    """

    memory: Metrics
    memoryless: Metrics
    naive: Metrics
    rules: dict[str, Rule]
    seeds: list[dict[str, Any]]
    worth: Mapping[str, Figure] = field(default_factory=dict)


def _checkpoint_directory(out: Path) -> Path:
    return out.with_name(out.name + UNFINISHED)


def run(
    plan: TrainingRun, on_progress: OnProgress = lambda _name, _progress: None
) -> TrainingScores:
    """Train all seeds of both networks, and write the bundle.

    The run resumes from the checkpoints of an interrupted run with the same examples and settings.

    Args:
        plan: Plan of training.
        on_progress: Called with the name of a network and its progress.

    Raises:
        ConfigError: ``out`` cannot be written, training did not write what it contains, or the cell
            cannot start from the baseline.
        TrainingError: A loss is not finite.
    """
    if plan.settings.initial_weights == "memoryless" and not isinstance(plan.cell, CellSpec):
        raise ConfigError(
            f"option initial_weights: the cell {plan.cell.kind} cannot start from the weights of "
            "the memoryless baseline; choose auto or random"
        )
    check_out(plan.out)
    try:
        _claim(plan.checkpoint_directory)
        seeds = [(plan.settings.seed + i) % 2**63 for i in range(plan.seeds)]
        trained, evidence = [], []
        for seed in seeds:
            trained.append(_train_seed(plan, seed, on_progress))
            evidence.append(_take_evidence(plan, *trained[-1]))
        best = min(trained, key=lambda pair: pair[0].validation_loss)
        naive, naive_metrics, rules = fit_naive_rules(plan.spec, plan.examples)
        _write(plan, best, naive)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.out}: {error.strerror or reason(error)}") from error
    metrics_of_seeds = [
        {
            "seed": seed,
            "initial_weights": memory.initial_weights,
            "epochs": memory.epochs,
            "validation_losses": [memory.validation_loss, memoryless.validation_loss],
            "memory": memory.metrics,
            "memoryless": memoryless.metrics,
        }
        for seed, (memory, memoryless) in zip(seeds, trained, strict=True)
    ]
    return TrainingScores(
        memory=best[0].metrics,
        memoryless=best[1].metrics,
        naive=naive_metrics,
        rules=rules,
        seeds=metrics_of_seeds,
        worth=mean_worth(evidence),
    )


def _take_evidence(
    plan: TrainingRun, memory: Trained, memoryless: Trained
) -> dict[str, Difference]:
    """Compare the two networks, and drop their outputs, which may be large."""
    outputs = memory.held_out, memoryless.held_out
    memory.held_out, memoryless.held_out = {}, {}
    key = number_runs(plan.examples.runs) if plan.key is None else plan.key
    return compare_held_out(plan.spec, *outputs, key)


def _train_seed(plan: TrainingRun, seed: int, on_progress: OnProgress) -> tuple[Trained, Trained]:
    """Train the network and its memoryless baseline with one seed.

    The network is never worse than the baseline on the validation part, except by rounding: if
    random weights did not lead below the loss of the baseline, it is trained again from there.  A
    cell that is a class has random weights only: nobody knows how it forgets.
    """
    settings = replace(plan.settings, seed=seed, patience=plan.settings.epochs_without_progress)
    longer = replace(settings, epochs=MEMORYLESS_EPOCHS * settings.epochs)
    prefix, kind = f"seed {seed} " if plan.seeds > 1 else "", plan.cell.kind
    weights = settings.initial_weights if isinstance(plan.cell, CellSpec) else "random"
    found = []
    if weights != "memoryless":
        found = [_train_network(plan, plan.cell, settings, f"{prefix}{kind}", on_progress)]
    none = memoryless_cell(plan.cell, found[0].model.network.output_size if found else 0)
    memoryless = _train_network(plan, none, longer, f"{prefix}{MEMORYLESS_NAME}", on_progress)
    enough = (1 - LOSS_GAIN_MIN) * memoryless.validation_loss
    is_random_enough = weights == "random" or (found and found[0].validation_loss <= enough)
    if not is_random_enough:
        name = f"{prefix}{kind}{RESTARTED}"
        start = memoryless.model.network
        found += [_train_network(plan, plan.cell, settings, name, on_progress, start)]
    return min(found, key=lambda trained: trained.validation_loss), memoryless


def _train_network(
    plan: TrainingRun,
    cell: AnyCell,
    settings: TrainingSettings,
    name: str,
    on_progress: OnProgress,
    memoryless: Network | None = None,
) -> Trained:
    recipe = _recipe(plan, cell, settings)
    suffix = "" if memoryless is None else RESTARTED
    path = plan.checkpoint_directory / f"seed-{settings.seed}-{cell.kind}{suffix}.safetensors"
    return train(
        plan.spec,
        cell,
        plan.examples,
        settings,
        lambda progress: on_progress(name, progress),
        lambda checkpoint: checkpoint.write(path, recipe),
        Checkpoint.read(path, recipe),
        memoryless,
    )


def _recipe(plan: TrainingRun, cell: AnyCell, settings: TrainingSettings) -> str:
    """Return a digest of everything that determines the bits of a checkpoint."""
    examples = plan.examples
    digest = hashlib.sha256(plan.spec.model_dump_json().encode())
    digest.update(
        json.dumps([ALGORITHM, cell.model_dump(), asdict(settings)], sort_keys=True).encode()
    )
    for array in (examples.time_ms, examples.runs.order, examples.runs.first, examples.part):
        digest.update(np.ascontiguousarray(array).tobytes())
    for name, values in (*examples.columns.items(), *examples.labels.items()):
        digest.update(repr((name, len(values))).encode())
        for at in range(0, len(values), 10_000):  # not the text of a whole column at once
            digest.update(repr(list(values[at : at + 10_000])).encode())
    return digest.hexdigest()


def check_out(out: Path) -> None:
    """Check that a run may write to a directory, and would delete only what training wrote.

    Raises:
        ConfigError: The run would delete other files, or ``out`` is not a suitable name.
    """
    if out.name in ("", ".."):
        raise ConfigError(f"--out {out} does not end with the name of a directory; give one")
    if out.name.endswith(UNFINISHED):
        raise ConfigError(
            f"--out {out} has the name of the checkpoints of {out.name.removesuffix(UNFINISHED)}, "
            "which training deletes at its end; name another directory"
        )
    try:
        parent = Path(os.path.realpath(out.parent))
        if within := next((p for p in (parent, *parent.parents) if _is_bundle(p)), None):
            raise ConfigError(
                f"--out {out} is inside the bundle {within} and would change its content; name a "
                "directory outside of it"
            )
        _check_bundle(out)
        _check_checkpoints(_checkpoint_directory(out))
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or reason(error)}") from error


def _check_bundle(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out {out} exists and is not a directory; name another one")
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not names:
        return
    if not _is_bundle(out):
        raise ConfigError(
            f"--out {out} exists and is not a bundle; name another directory, or remove it"
        )
    below = out / MEMORYLESS_NAME
    names |= {f"{below.name}/{path.name}" for path in below.iterdir()} if below.is_dir() else set()
    if foreign := sorted(names - BUNDLE_NAMES):
        raise ConfigError(
            f"--out {out} is a bundle that also contains {foreign[0]}, which training did not write "
            "and would delete; move it elsewhere, or name another directory"
        )


def _is_bundle(directory: Path) -> bool:
    """Return whether a directory has the ``bundle.json`` of a bundle, of any version."""
    path = directory / JSON_NAME
    if not path.is_file() or path.stat().st_size > JSON_BYTES_MAX:
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"format", "fingerprint", "spec"} <= content.keys()


def _check_checkpoints(directory: Path) -> None:
    if not (directory.is_symlink() or directory.exists()):
        return
    is_ours = directory.is_dir() and not directory.is_symlink()
    if is_ours and any(directory.iterdir()):
        mark = directory / MARK_NAME
        is_ours = mark.is_file() and mark.read_bytes()[: len(MARK) + 1] == MARK
    if not is_ours:
        raise ConfigError(
            f"training would write its checkpoints to {directory} and delete it at the end, but "
            "this version did not create it; name another --out, or move the directory elsewhere "
            "(checkpoints of an earlier version are of no use to this one)"
        )


def _claim(directory: Path) -> None:
    """Create the checkpoint directory, and mark it as made by training."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK_NAME).write_bytes(MARK)


def _release(directory: Path) -> None:
    """Delete the checkpoints, and the checkpoint directory unless it contains other files."""
    for path in directory.iterdir():
        if path.name in (FRESH_NAME, OLD_NAME):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith("seed-") and path.suffix in (".safetensors", ".writing"):
            path.unlink()
    if {path.name for path in directory.iterdir()} == {MARK_NAME}:
        shutil.rmtree(directory, ignore_errors=True)


def _write(plan: TrainingRun, best: tuple[Trained, Trained], naive: Naive) -> None:
    """Write the bundle to the checkpoint directory, then rename it."""
    fresh = plan.checkpoint_directory / FRESH_NAME
    shutil.rmtree(fresh, ignore_errors=True)
    for trained, directory in zip(best, (fresh, fresh / MEMORYLESS_NAME), strict=True):
        found = {"epochs": trained.epochs, "initial_weights": trained.initial_weights}
        save_bundle(trained.model, directory, {**plan.provenance, **found}, trained.metrics)
    (fresh / NAIVE_NAME).write_text(naive.model_dump_json() + "\n", encoding="utf-8")
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    check_out(plan.out)  # again, because much time has passed since the first check
    if plan.out.exists():
        old = plan.checkpoint_directory / OLD_NAME
        shutil.rmtree(old, ignore_errors=True)
        plan.out.rename(old)
    fresh.rename(plan.out)
    _release(plan.checkpoint_directory)
