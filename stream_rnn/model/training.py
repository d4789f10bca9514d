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
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.errors import SpecError, TrainingError
from stream_rnn.model.cells import CellSpec, remember_for
from stream_rnn.model.checkpoint import Checkpoint
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.examples import Examples, targets
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.losses import ClassWeights, balanced, loss_of
from stream_rnn.model.metrics import score
from stream_rnn.model.model import Model, Network
from stream_rnn.model.windows import shuffled, windows

PREDICT_WINDOW = 256
PREDICT_RUNS_MAX = 1024
RUNS_MIN, RUNS_MAX = 8, 256
STEPS_AN_EPOCH = 60
PARTS = ("training", "validation", "test")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train.

    Attributes:
        seed: of weights, dropout and the order of batches.
        epochs: at most so many passes.
        patience: epochs without a better validation loss after which it stops.
        learning_rate: of AdamW (Loshchilov and Hutter 2019).
        schedule: ``cosine`` lets it fall to a tenth over the epochs, ``constant`` does not.
        weight_decay: of AdamW.
        dropout: share of the cell's outputs that are hidden from the heads in training, and
            between layers.
        window: T, steps of one back-propagation.
        memory: events that the cell shall be able to remember from the begin, see
            ``cells.remember_for``; 0 leaves it to torch.
        runs_max: runs side by side in a window; 0: at most ``RUNS_MAX``, and so few that an epoch
            has some ``STEPS_AN_EPOCH`` steps.
        gradient_norm_max: longer gradients are shortened.
        average: decay of the moving average of the weights over steps, which is what is judged and
            kept (Polyak and Juditsky 1992); 0 for none.
        class_weights: ``balanced`` lets rare classes count as much as frequent ones.
    """

    seed: int = 1
    epochs: int = 12
    patience: int = 3
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 1e-4
    dropout: float = 0.0
    window: int = 64
    memory: int = 0
    runs_max: int = 0
    gradient_norm_max: float = 1.0
    average: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"


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
    validation_loss: float = math.inf


Say = Callable[[Progress], None]
Keep = Callable[[Checkpoint], None]


def train(
    spec: FeatureSpec,
    cell: CellSpec,
    examples: Examples,
    settings: TrainingSettings,
    say: Say = lambda _progress: None,
    keep: Keep = lambda _checkpoint: None,
    resume: Checkpoint | None = None,
) -> Trained:
    """Train one model on examples.

    Args:
        spec: fitted, see :func:`stream_rnn.model.examples.fit`.
        cell: what it remembers with; ``none`` trains the memoryless baseline.
        examples: all parts; the test part is scored at the end and nowhere else.
        settings: how.
        say: told after every few windows.
        keep: told after every epoch what is needed to go on from there.
        resume: what ``keep`` was told: training ends with the same bits as without the break.

    Raises:
        SpecError: no event has a label.
        TrainingError: the loss is not finite.
    """
    training = _Training(spec, cell, examples, settings, say)
    if resume is not None:
        training.resume(resume)
    while training.epoch < settings.epochs and training.waited < settings.patience:
        training.run_epoch()
        keep(training.checkpoint())
    return training.finish()


class _Training:
    """One run of training, from epoch to epoch."""

    def __init__(
        self,
        spec: FeatureSpec,
        cell: CellSpec,
        examples: Examples,
        settings: TrainingSettings,
        say: Say,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.spec, self.cell, self.settings, self.say = spec, cell, settings, say
        self.data = _Data.make(spec, examples)
        self.labels = self.data.labels(0)
        self.weights = self._class_weights()
        self.network = Network(spec, cell)
        self.network.drop(settings.dropout)
        if settings.memory:
            remember_for(self.network.cell, settings.memory)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = copy.deepcopy(self.network) if settings.average else None
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss, self.waited, self.epoch = math.inf, 0, 0

    def _class_weights(self) -> ClassWeights:
        if self.settings.class_weights == "none":
            return {}
        chosen = self.data.examples.part == 0
        return balanced(self.spec, {n: t[chosen] for n, t in self.data.targets.items()})

    @property
    def judged(self) -> Network:
        """The network that is validated and kept: the average, if there is one."""
        return self.network if self.averaged is None else self.averaged

    @property
    def _learning_rate(self) -> float:
        """Of the next epoch."""
        first = self.settings.learning_rate
        if self.settings.schedule == "constant":
            return first
        last, turn = first / 10, math.pi * self.epoch / self.settings.epochs
        return last + (first - last) * (1 + math.cos(turn)) / 2

    @property
    def _runs_max(self) -> int:
        if self.settings.runs_max:
            return self.settings.runs_max
        events = int((self.data.examples.part == 0).sum())
        return min(max(events // (self.settings.window * STEPS_AN_EPOCH), RUNS_MIN), RUNS_MAX)

    def run_epoch(self) -> None:
        """Pass once over the training part, then let the validation part judge."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        self.epoch += 1
        self.network.train()
        self._pass()
        y = _predict(Model(self.spec, self.cell, self.judged), self.data, part_max=1)
        part = 1 if (self.data.examples.part == 1).any() else 0
        loss = loss_of(self.spec, y, self.data.labels(part), {})
        validation_loss = math.inf if loss is None else float(loss)
        if math.isnan(validation_loss):
            raise self._not_finite("validation loss")
        if validation_loss < self.best_loss:
            self.best = copy.deepcopy(self.judged.state_dict())
            self.best_loss, self.waited = validation_loss, 0
        else:
            self.waited += 1

    def _pass(self) -> None:
        """Go through the training part, window by window."""
        settings, data = self.settings, self.data
        is_memoryless = self.cell.kind == "none"
        cut = (
            shuffled(data.examples)
            if is_memoryless
            else windows(data.examples, settings.window, self._runs_max, part_max=0)
        )
        h = torch.zeros(len(data.examples.first), *self.cell.hidden_shape)
        mean_loss = math.nan
        for number, (runs, events, valid) in enumerate(cut):
            index = torch.from_numpy(events)  # (A, T)
            y, new = self.network(data.x[index].transpose(0, 1), h[runs])  # (T, A, F) -> (T, A, O)
            mask = torch.from_numpy(valid)
            labels = {n: t[index].masked_fill(~mask, torch.nan) for n, t in self.labels.items()}
            loss = loss_of(self.spec, y.transpose(0, 1), labels, self.weights)
            if loss is not None:
                latest = self._learn(loss)
                mean_loss = latest if math.isnan(mean_loss) else 0.95 * mean_loss + 0.05 * latest
            if not is_memoryless:
                h = h.clone()
                h[runs] = new.detach()
            if number % 16 == 0 or number == len(cut) - 1:
                what = "memoryless" if is_memoryless else self.cell.kind
                done = (number + 1) / len(cut)
                self.say(
                    Progress(what, self.epoch, settings.epochs, done, mean_loss, self.best_loss)
                )

    def _learn(self, loss: Tensor) -> float:
        latest = float(loss.detach())
        if not math.isfinite(latest):
            raise self._not_finite("training loss")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_norm_max)
        self.optimizer.step()
        if self.averaged is not None:
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            with torch.no_grad():
                for mean, now in pairs:
                    mean.lerp_(now, 1 - self.settings.average)
        return latest

    def _not_finite(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} of {self.cell.kind} is not finite in epoch {self.epoch}; give a smaller "
            f'--learning-rate than {self.settings.learning_rate:g}, or scaling = "standard" and a '
            "clip to features with far outliers"
        )

    def checkpoint(self) -> Checkpoint:
        """Return what is needed to go on after this epoch."""
        return Checkpoint.take(
            self.network,
            self.averaged,
            self.best,
            self.optimizer,
            self.best_loss,
            self.waited,
            self.epoch,
        )

    def resume(self, found: Checkpoint) -> None:
        """Go on where a checkpoint was taken."""
        found.restore(self.network, self.averaged, self.optimizer)
        self.best, self.best_loss = found.best, found.best_loss
        self.waited, self.epoch = found.waited, found.epoch

    def finish(self) -> Trained:
        """Score the best epoch."""
        self.network.load_state_dict(self.best)
        model = Model(self.spec, self.cell, self.network.requires_grad_(requires_grad=False))
        metrics = _score(model, self.data, _predict(model, self.data, part_max=2))
        return Trained(model, metrics, self.epoch, self.best_loss)


@dataclass(slots=True)
class _Data:
    """Encoded events (N, F) and their targets."""

    x: Tensor
    targets: dict[str, NDArray[np.float64]]
    examples: Examples

    @classmethod
    def make(cls, spec: FeatureSpec, examples: Examples) -> "_Data":
        encoder = Encoder(spec)
        x, errors = encoder.encode(examples.columns, examples.time_ms)
        assert not errors, "events that cannot be encoded are left out before training"
        encoder.fill_since_previous(x, examples.since_ms)
        found = {head.name: targets(head, examples) for head in spec.heads}
        if not any(np.isfinite(t[examples.part == 0]).any() for t in found.values()):
            raise SpecError("no training event has a label; look at the heads' paths and the split")
        return cls(torch.from_numpy(x), found, examples)

    def labels(self, part: int) -> Mapping[str, Tensor]:
        """Return head -> labels (N,), NaN outside of a part."""
        chosen = self.examples.part == part
        return {
            name: torch.from_numpy(np.where(chosen, target, np.nan)).float()
            for name, target in self.targets.items()
        }


def _predict(model: Model, data: _Data, part_max: int) -> Tensor:
    """Return y (N, O) of the events up to a part, the state carried from their run's begin."""
    y = torch.zeros(len(data.x), model.output_count)
    h = model.initial_hidden(len(data.examples.first))
    for runs, events, valid in windows(data.examples, PREDICT_WINDOW, PREDICT_RUNS_MAX, part_max):
        index = torch.from_numpy(events)
        stepped, new = model.forward(data.x[index], h[runs])
        mask = torch.from_numpy(valid)
        y[index[mask]] = stepped[mask]
        h[runs] = new
    return y


def _score(model: Model, data: _Data, y: Tensor) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    outputs = model.outputs(y.numpy())
    for number, part in enumerate(PARTS):
        for head in model.spec.heads:
            target = data.targets[head.name]
            chosen = (data.examples.part == number) & np.isfinite(target)
            if chosen.any():
                found.setdefault(part, {})[head.name] = score(
                    head, outputs[head.name][chosen], target[chosen]
                )
    return found
