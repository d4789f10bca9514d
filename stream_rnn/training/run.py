"""A training run: from a log to a bundle, its memoryless baseline and its naive rules.

    DIR/bundle.json  model.safetensors     the network with memory: the best of the seeds
    DIR/memoryless/                        the same features, a feed-forward network of the same size
    DIR/naive.json                         what can be said without a network
    DIR.training/                          checkpoints, until the run has come to its end

Everything is written beside and renamed: DIR is either a whole bundle or not there.  DIR gives way
only if it is a bundle and nothing else, DIR.training only if a run marked it as its own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from stream_rnn.errors import BundleError, ConfigError, reason
from stream_rnn.metrics.naive_baselines import RULES, Naive, Rule, predict
from stream_rnn.metrics.scores import main_metric, merit, score
from stream_rnn.model.bundle import JSON_BYTES_MAX, JSON_NAME, TENSORS_NAME, save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.examples import Examples, last_targets, targets
from stream_rnn.training.trainer import ALGORITHM, Progress, Trained, train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import PARTS, Metrics

MEMORYLESS_EPOCHS = 3  # times as many: an epoch of it costs a tenth
NAIVE_NAME = "naive.json"
NAIVE_BYTES_MAX = 64_000_000
MEMORYLESS_NAME = "memoryless"
UNFINISHED = ".training"
BUNDLE_NAMES = {
    *(JSON_NAME, TENSORS_NAME, NAIVE_NAME, MEMORYLESS_NAME),
    *(f"{MEMORYLESS_NAME}/{name}" for name in (JSON_NAME, TENSORS_NAME)),
}
FRESH_NAME, OLD_NAME = "bundle", "old"  # beside: the bundle that was made, and the one before
MARK_NAME, MARK = "stream-rnn-training", b"checkpoints of stream-rnn train\n"

OnProgress = Callable[[str, Progress], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What is trained, on what, and where it goes.

    Attributes:
        spec: fitted to the training part.
        cell: what remembers.
        examples: all parts.
        settings: of training; the seed is the first one.
        seeds: so many, one after the other.
        out: directory of the bundle.
        provenance: stands in ``bundle.json``.
    """

    spec: FeatureSpec
    cell: CellSpec
    examples: Examples
    settings: TrainingSettings
    seeds: int
    out: Path
    provenance: Mapping[str, Any]

    @property
    def beside(self) -> Path:
        """Where checkpoints and the unfinished bundle are."""
        return _beside(self.out)


@dataclass(frozen=True, slots=True)
class Result:
    """What came out.

    Attributes:
        memory: metrics of the bundle: the seed with the least validation loss.
        memoryless: of its baseline.
        naive: of the better rule by the validation part, and which one: head -> rule.
        seeds: of each seed the metrics of memory and memoryless.
        rules: head -> rule.
    """

    memory: Metrics
    memoryless: Metrics
    naive: Metrics
    rules: dict[str, Rule]
    seeds: list[dict[str, Any]]


def _beside(out: Path) -> Path:
    return out.with_name(out.name + UNFINISHED)


def run(plan: Run, on_progress: OnProgress = lambda _name, _progress: None) -> Result:
    """Train all seeds of both networks, and write the bundle.

    What a broken run left is gone on with, if it was the same run.

    Raises:
        ConfigError: ``out`` or what is beside it holds something else, or cannot be written.
        TrainingError: a loss is not finite.
    """
    check_out(plan.out)
    try:
        _claim(plan.beside)
        found = [_both(plan, plan.settings.seed + i, on_progress) for i in range(plan.seeds)]
        best = min(found, key=lambda pair: pair[0].validation_loss)
        naive, naive_metrics, rules = naive_of(plan.spec, plan.examples)
        _write(plan, best, naive)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.out}: {error.strerror or reason(error)}") from error
    seeds = [
        {
            "seed": plan.settings.seed + i,
            "epochs": memory.epochs,
            "memory": memory.metrics,
            "memoryless": memoryless.metrics,
        }
        for i, (memory, memoryless) in enumerate(found)
    ]
    return Result(best[0].metrics, best[1].metrics, naive_metrics, rules, seeds)


def _both(plan: Run, seed: int, on_progress: OnProgress) -> tuple[Trained, Trained]:
    """Train one seed with and without memory."""
    settings = replace(plan.settings, seed=seed)
    longer = replace(settings, epochs=MEMORYLESS_EPOCHS * settings.epochs)
    none = plan.cell.model_copy(update={"kind": "none"})
    name = f"seed {seed} " if plan.seeds > 1 else ""
    memory = _one(plan, plan.cell, settings, f"{name}{plan.cell.kind}", on_progress)
    return memory, _one(plan, none, longer, f"{name}{MEMORYLESS_NAME}", on_progress)


def _one(
    plan: Run, cell: CellSpec, settings: TrainingSettings, name: str, on_progress: OnProgress
) -> Trained:
    recipe = _recipe(plan, cell, settings)
    path = plan.beside / f"seed-{settings.seed}-{cell.kind}.safetensors"
    return train(
        plan.spec,
        cell,
        plan.examples,
        settings,
        lambda progress: on_progress(name, progress),
        lambda checkpoint: checkpoint.write(path, recipe),
        Checkpoint.read(path, recipe),
    )


def _recipe(plan: Run, cell: CellSpec, settings: TrainingSettings) -> str:
    """Return what a checkpoint belongs to: everything that would change its bits."""
    examples = plan.examples
    digest = hashlib.sha256(plan.spec.model_dump_json().encode())
    digest.update(
        json.dumps([ALGORITHM, cell.model_dump(), asdict(settings)], sort_keys=True).encode()
    )
    for array in (examples.time_ms, examples.runs.order, examples.runs.first, examples.part):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr([len(column) for column in examples.columns.values()]).encode())
    for name, values in (*examples.columns.items(), *examples.labels.items()):
        digest.update(repr((name, list(values))).encode())
    return digest.hexdigest()


def naive_of(spec: FeatureSpec, examples: Examples) -> tuple[Naive, Metrics, dict[str, Rule]]:
    """Fit the naive rules on the training part; let the validation part choose one for each head.

    Returns:
        The rules, the metrics of the chosen ones by part, and which were chosen.
    """
    known = {head.name: targets(head, examples) for head in spec.heads}
    lasts = {head.name: last_targets(head, examples) for head in spec.heads}
    train_part = examples.part == 0
    naive = Naive.fit(
        spec,
        {name: target[train_part] for name, target in known.items()},
        {name: last[train_part] for name, last in lasts.items()},
    )
    metrics: Metrics = {}
    rules: dict[str, Rule] = {}
    for head in spec.heads:
        by_rule: dict[Rule, dict[str, dict[str, float]]] = {}
        for rule in RULES:
            target = known[head.name]
            answers = predict(head, naive.heads[head.name], rule, lasts[head.name], target)
            for number, part in enumerate(PARTS):
                chosen = (examples.part == number) & np.isfinite(target)
                if chosen.any():
                    scored = score(head, answers[chosen], target[chosen])
                    by_rule.setdefault(rule, {})[part] = scored
        if by_rule:
            rules[head.name] = _better_rule(main_metric(head), by_rule)
            for part, scored in by_rule[rules[head.name]].items():
                metrics.setdefault(part, {})[head.name] = scored
    return naive.with_rules(rules), metrics, rules


def _better_rule(metric: str, by_rule: Mapping[Rule, dict[str, dict[str, float]]]) -> Rule:
    def value(rule: Rule) -> float:
        parts = by_rule[rule]
        return merit(metric, parts.get("validation", parts.get("training", {})).get(metric, np.nan))

    return max(by_rule, key=value)


def read_naive(bundle: Path) -> Naive | None:
    """Read the naive rules of a bundle; ``None`` if it has none.

    Raises:
        BundleError: they are torn, too large, or not ours.
    """
    path = bundle / NAIVE_NAME
    if not path.is_file():
        return None
    if path.stat().st_size > NAIVE_BYTES_MAX:
        raise BundleError(f"{path} has more than {NAIVE_BYTES_MAX} bytes; it is not ours")
    try:
        return Naive.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BundleError(f"{path}: {first['msg']}; train the bundle again") from error


def check_out(out: Path) -> None:
    """Refuse a place where something stands that training did not write.

    Raises:
        ConfigError: ``out`` is there, not empty, and not a bundle alone; or the directory beside it
            for checkpoints is there, not empty, and no run's; or ``out`` has the name of one, has
            no name of its own, or is within a bundle.
    """
    if out.name in ("", ".."):
        raise ConfigError(f"--out {out} has no name of its own; name a directory")
    if out.name.endswith(UNFINISHED):
        raise ConfigError(
            f"--out {out} has the name of the checkpoints of {out.name.removesuffix(UNFINISHED)}, "
            "which are removed in the end; name another directory"
        )
    try:
        parent = Path(os.path.realpath(out.parent))
        if within := next((p for p in (parent, *parent.parents) if _is_bundle(p)), None):
            raise ConfigError(
                f"--out {out} is within the bundle {within} and would replace or add to what "
                "belongs to it; name a directory outside of it"
            )
        _check_bundle(out)
        _check_beside(_beside(out))
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or reason(error)}") from error


def _check_bundle(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out {out} is there and is no directory; name another one")
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not held:
        return
    if not _is_bundle(out):
        raise ConfigError(
            f"--out {out} is there and is no bundle; name another directory, or remove it"
        )
    below = out / MEMORYLESS_NAME
    held |= {f"{below.name}/{path.name}" for path in below.iterdir()} if below.is_dir() else set()
    if foreign := sorted(held - BUNDLE_NAMES):
        raise ConfigError(
            f"--out {out} is a bundle that also holds {foreign[0]}, which training did not write and "
            "would delete; move it elsewhere, or name another directory"
        )


def _is_bundle(out: Path) -> bool:
    """Tell whether a directory has the description that every bundle has, of whatever version."""
    path = out / JSON_NAME
    if not path.is_file() or path.stat().st_size > JSON_BYTES_MAX:
        return False
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and {"format", "fingerprint", "spec"} <= content.keys()


def _check_beside(beside: Path) -> None:
    if not (beside.is_symlink() or beside.exists()):
        return
    is_ours = beside.is_dir() and not beside.is_symlink()
    if is_ours and any(beside.iterdir()):
        mark = beside / MARK_NAME
        is_ours = mark.is_file() and mark.read_bytes()[: len(MARK) + 1] == MARK
    if not is_ours:
        raise ConfigError(
            f"{beside} is where checkpoints of training go and would be deleted, but no training of "
            "this version made it; name another --out, or move it elsewhere, also if an earlier "
            "version left it: its checkpoints are not gone on with"
        )


def _claim(beside: Path) -> None:
    """Make the directory for checkpoints and mark it as ours."""
    beside.mkdir(parents=True, exist_ok=True)
    (beside / MARK_NAME).write_bytes(MARK)


def _release(beside: Path) -> None:
    """Delete what training wrote beside, and the directory if nothing else is in it."""
    for path in beside.iterdir():
        if path.name in (FRESH_NAME, OLD_NAME):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith("seed-") and path.suffix in (".safetensors", ".writing"):
            path.unlink()
    if {path.name for path in beside.iterdir()} == {MARK_NAME}:
        shutil.rmtree(beside, ignore_errors=True)


def _write(plan: Run, best: tuple[Trained, Trained], naive: Naive) -> None:
    """Write the whole bundle beside, then rename."""
    fresh = plan.beside / FRESH_NAME
    shutil.rmtree(fresh, ignore_errors=True)
    for trained, place in zip(best, (fresh, fresh / MEMORYLESS_NAME), strict=True):
        about = {**plan.provenance, "epochs": trained.epochs}
        save_bundle(trained.model, place, about, trained.metrics)
    (fresh / NAIVE_NAME).write_text(naive.model_dump_json() + "\n", encoding="utf-8")
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    check_out(plan.out)  # again: training takes long
    if plan.out.exists():
        old = plan.beside / OLD_NAME
        shutil.rmtree(old, ignore_errors=True)
        plan.out.rename(old)
    fresh.rename(plan.out)
    _release(plan.beside)
