"""Training: truncated back-propagation through time, the state carried as it is in production.

All keys run in parallel, window after window (Werbos 1990; Williams and Peng 1990): the hidden
state at the end of a window is the begin of the next one, without its gradient, so the network
learns with memories as long as those it will meet.  A run never mixes keys, and no event sees a
later one.  Scalings are fitted on the training part alone; the validation part chooses the epoch;
the test part is only scored.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.errors import SpecError
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.examples import Examples, targets
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Target
from stream_rnn.model.metrics import score
from stream_rnn.model.model import Model, Network

MEMORYLESS_BATCH = 512
PREDICT_WINDOW = 256
PREDICT_RUNS_MAX = 1024


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train.

    Attributes:
        seed: of weights and dropout.
        epochs: at most so many passes.
        patience: epochs without a better validation loss after which it stops.
        learning_rate: of AdamW, falling to a tenth along a cosine.
        weight_decay: of AdamW.
        window: T, steps of one back-propagation.
        runs_max: runs side by side in a window; bounds memory, and many keys make many steps.
        gradient_norm_max: longer gradients are shortened.
    """

    seed: int = 1
    epochs: int = 12
    patience: int = 3
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    window: int = 64
    runs_max: int = 256
    gradient_norm_max: float = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is, for a progress bar."""

    what: str
    epoch: int
    epochs: int
    done: float
    training_loss: float
    validation_loss: float


@dataclass(slots=True)
class Trained:
    """A model and what it scored: part -> head -> metric -> value."""

    model: Model
    metrics: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    epochs: int = 0


Say = Callable[[Progress], None]


def train(
    spec: FeatureSpec,
    cell: CellSpec,
    examples: Examples,
    settings: TrainingSettings,
    say: Say = lambda _progress: None,
) -> Trained:
    """Train one model on examples.

    Args:
        spec: fitted, see :func:`stream_rnn.model.examples.fit`.
        cell: what it remembers with; ``none`` trains the memoryless baseline.
        examples: all parts; the test part is scored at the end and nowhere else.
        settings: how.
        say: told after every few windows.

    Raises:
        SpecError: no event has a label.
    """
    torch.manual_seed(settings.seed)
    encoder = Encoder(spec)
    x, errors = encoder.encode(examples.columns, examples.time_ms)
    assert not errors, "events that cannot be encoded are left out before training"
    encoder.fill_since_previous(x, examples.since_ms)
    data = _Data(torch.from_numpy(x), {h.name: targets(h, examples) for h in spec.heads}, examples)
    if not any(np.isfinite(t[examples.part == 0]).any() for t in data.targets.values()):
        raise SpecError("no training event has a label; look at the heads' paths and the split")
    network = Network(spec, cell)
    best, best_loss, waited, epoch = copy.deepcopy(network.state_dict()), float("inf"), 0, 0
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.epochs, settings.learning_rate / 10
    )
    for epoch in range(1, settings.epochs + 1):
        _epoch(network, spec, cell, data, settings, optimizer, epoch, best_loss, say)
        schedule.step()
        loss = _validation_loss(spec, data, _predict(Model(spec, cell, network), data, part_max=1))
        network.train()
        if loss < best_loss:
            best, best_loss, waited = copy.deepcopy(network.state_dict()), loss, 0
        else:
            waited += 1
            if waited >= settings.patience:
                break
    network.load_state_dict(best)
    model = Model(spec, cell, network.requires_grad_(requires_grad=False))
    return Trained(model, _score(model, data, _predict(model, data, part_max=2)), epoch)


@dataclass(slots=True)
class _Data:
    x: Tensor  # (N, F)
    targets: dict[str, NDArray[np.float64]]
    examples: Examples


def _epoch(
    network: Network,
    spec: FeatureSpec,
    cell: CellSpec,
    data: _Data,
    settings: TrainingSettings,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    best_loss: float,
    say: Say,
) -> None:
    """Pass once over the training part, window by window."""
    labels = {
        name: torch.from_numpy(np.where(data.examples.part == 0, target, np.nan)).float()
        for name, target in data.targets.items()
    }
    is_memoryless = cell.kind == "none"
    windows = (
        _shuffled(data.examples)
        if is_memoryless
        else _windows(data.examples, settings.window, settings.runs_max, part_max=0)
    )
    h = torch.zeros(len(data.examples.first), *cell.hidden_shape)
    mean_loss = float("nan")
    for number, (runs, events, valid) in enumerate(windows):
        index = torch.from_numpy(events)  # (A, T)
        y, new = network(data.x[index].transpose(0, 1), h[runs])  # (T, A, F) -> (T, A, O)
        mask = torch.from_numpy(valid)
        loss = _loss(
            spec,
            y.transpose(0, 1),
            {n: t[index].masked_fill(~mask, torch.nan) for n, t in labels.items()},
        )
        if loss is not None:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm_max)
            optimizer.step()
            latest = float(loss.detach())
            mean_loss = latest if math.isnan(mean_loss) else 0.95 * mean_loss + 0.05 * latest
        if not is_memoryless:
            h = h.clone()
            h[runs] = new.detach()
        if number % 16 == 0 or number == len(windows) - 1:
            what = "memoryless" if is_memoryless else cell.kind
            done = (number + 1) / len(windows)
            say(Progress(what, epoch, settings.epochs, done, mean_loss, best_loss))


Window = tuple[slice, NDArray[np.int64], NDArray[np.bool_]]


def _windows(examples: Examples, window: int, runs_max: int, part_max: int) -> list[Window]:
    """Cut runs, longest first, into windows, up to the last with a part that counts.

    Returns:
        Places of A runs, their events (A, T), and which of them are real (A, T).
    """
    longest_first = np.argsort(-examples.length, kind="stable")
    lengths, first = examples.length[longest_first], examples.first[longest_first]
    counts = examples.part <= part_max
    found: list[Window] = []
    for group in range(0, len(lengths), runs_max):
        windows: list[Window] = []
        for start in range(0, int(lengths[group]), window):
            active = int(np.searchsorted(-lengths, -start, side="left"))
            runs = slice(group, min(group + runs_max, active))
            places = first[runs, None] + np.arange(start, start + window)
            end = (first + lengths)[runs, None]
            windows.append((runs, examples.order[np.minimum(places, end - 1)], places < end))
        while windows and not counts[windows[-1][1]].any():
            windows.pop()
        found += windows
    return found


def _shuffled(examples: Examples) -> list[Window]:
    """Cut events into batches in random order: without memory their order teaches nothing."""
    train = np.flatnonzero(examples.part == 0)
    shuffled = train[torch.randperm(len(train)).numpy()]
    batches = np.array_split(shuffled, max(1, len(shuffled) // MEMORYLESS_BATCH))
    return [(slice(len(b)), b[:, None], np.ones((len(b), 1), bool)) for b in batches]


def _loss(spec: FeatureSpec, y: Tensor, labels: Mapping[str, Tensor]) -> Tensor | None:
    """Return the sum of the heads' mean losses over events that have a label."""
    total, at = None, 0
    for head in spec.heads:
        label = labels[head.name]
        known = ~torch.isnan(label)
        if known.any():
            loss = _head_loss(head, y[..., at : at + head.width][known], label[known])
            total = loss if total is None else total + loss
        at += head.width
    return total


def _head_loss(head: AnyHead, y: Tensor, label: Tensor) -> Tensor:
    match head:
        case Binary():
            return nn.functional.binary_cross_entropy_with_logits(y[:, 0], label)
        case Multiclass():
            return nn.functional.cross_entropy(y, label.long())
        case _:
            fitted = head.fitted or Target()
            return nn.functional.smooth_l1_loss(y[:, 0], (label - fitted.mean) / fitted.std)


def _predict(model: Model, data: _Data, part_max: int) -> Tensor:
    """Return y (N, O) of the events up to a part, the state carried from their run's begin."""
    y = torch.zeros(len(data.x), model.output_count)
    h = model.initial_hidden(len(data.examples.first))
    for runs, events, valid in _windows(data.examples, PREDICT_WINDOW, PREDICT_RUNS_MAX, part_max):
        index = torch.from_numpy(events)
        stepped, new = model.forward(data.x[index], h[runs])
        mask = torch.from_numpy(valid)
        y[index[mask]] = stepped[mask]
        h[runs] = new
    return y


def _validation_loss(spec: FeatureSpec, data: _Data, y: Tensor) -> float:
    part = 1 if (data.examples.part == 1).any() else 0
    chosen = data.examples.part == part
    labels = {
        n: torch.from_numpy(np.where(chosen, t, np.nan)).float() for n, t in data.targets.items()
    }
    loss = _loss(spec, y, labels)
    return float("inf") if loss is None else float(loss)


def _score(model: Model, data: _Data, y: Tensor) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    outputs = model.outputs(y.numpy())
    for number, part in enumerate(("training", "validation", "test")):
        for head in model.spec.heads:
            target = data.targets[head.name]
            chosen = (data.examples.part == number) & np.isfinite(target)
            if chosen.any():
                found.setdefault(part, {})[head.name] = score(
                    head, outputs[head.name][chosen], target[chosen]
                )
    return found
