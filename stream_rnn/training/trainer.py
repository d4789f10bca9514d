"""Training: truncated back-propagation through time, the state carried as it is in production.

All keys run in parallel, window after window (Werbos 1990; Williams and Peng 1990): the hidden
state at the end of a window is the begin of the next one, without its gradient, so the network
learns with memories as long as those it will meet.  A run never mixes keys, and no event sees a
later one.  Each event counts once in an epoch's loss: a window weighs as much as it holds events.  Scalings are fitted on the training part alone; the validation part chooses the epoch;
the test part is only scored.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from stream_rnn.errors import TrainingError
from stream_rnn.model.cells import CellSpec, chrono_init_
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.examples import Examples
from stream_rnn.training.losses import ClassWeights, WindowLoss, balanced, label_counts, loss_of
from stream_rnn.training.noise import Noise
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import (
    EncodedExamples,
    Metrics,
    metrics_of,
    runs_at_once,
    validation_loss,
)
from stream_rnn.training.windows import Window, shuffled, windows

RUNS_MIN, RUNS_MAX = 8, 256
STEPS_AN_EPOCH = 60
ALGORITHM = 2  # raised when the same settings give other bits: no checkpoint goes on from another


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is, for a progress bar; the training loss is the epoch's mean so far.

    ``validation_loss`` is the best one so far, ``epoch_loss`` that of this epoch once it is known:
    until then it is NaN.
    """

    what: str
    epoch: int
    epochs: int
    done: float
    training_loss: float
    validation_loss: float
    epoch_loss: float = math.nan


@dataclass(slots=True)
class Trained:
    """A model and what it scored: part -> head -> metric -> value."""

    model: Model
    metrics: Metrics = field(default_factory=dict)
    epochs: int = 0
    validation_loss: float = math.inf


OnProgress = Callable[[Progress], None]
OnCheckpoint = Callable[[Checkpoint], None]


def train(
    spec: FeatureSpec,
    cell: CellSpec,
    examples: Examples,
    settings: TrainingSettings,
    on_progress: OnProgress = lambda _progress: None,
    on_checkpoint: OnCheckpoint = lambda _checkpoint: None,
    resume: Checkpoint | None = None,
) -> Trained:
    """Train one model on examples.

    Args:
        spec: fitted, see :func:`stream_rnn.training.examples.fit`.
        cell: what it remembers with; ``none`` trains the memoryless baseline.
        examples: all parts; the test part is scored at the end and nowhere else.
        settings: how.
        on_progress: told after every few windows.
        on_checkpoint: told after every epoch what is needed to go on from there.
        resume: what ``on_checkpoint`` was told: training ends with the same bits as without the break.

    Raises:
        SpecError: no event has a label.
        TrainingError: the loss is not finite.
    """
    training = _Training(spec, cell, examples, settings, on_progress)
    if resume is not None:
        training.resume(resume)
    while training.epoch < settings.epochs and training.waited < settings.patience:
        training.run_epoch()
        on_checkpoint(training.checkpoint())
    return training.finish()


class _Training:
    """One run of training, from epoch to epoch."""

    def __init__(
        self,
        spec: FeatureSpec,
        cell: CellSpec,
        examples: Examples,
        settings: TrainingSettings,
        on_progress: OnProgress,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.spec, self.cell, self.settings, self.on_progress = spec, cell, settings, on_progress
        self.data = EncodedExamples.encode(spec, examples)
        self.labels = self.data.labels(0)
        self.weights = self._class_weights()
        self.label_counts = label_counts(spec, self.labels, self.weights)
        self.network = Network(spec, cell)
        self.network.drop(settings.dropout)
        if settings.chrono_steps:
            chrono_init_(self.network.cell, settings.chrono_steps)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = copy.deepcopy(self.network) if settings.ema_decay else None
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss, self.waited, self.epoch = math.inf, 0, 0

    def _class_weights(self) -> ClassWeights:
        if self.settings.class_weights == "none":
            return {}
        chosen = self.data.examples.part == 0
        return balanced(self.spec, {n: t[chosen] for n, t in self.data.targets.items()})

    @property
    def validated_network(self) -> Network:
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
        if self.settings.batch_sequences:
            return self.settings.batch_sequences
        events, window = int((self.data.examples.part == 0).sum()), self.settings.window
        wanted = min(max(events // (window * STEPS_AN_EPOCH), RUNS_MIN), RUNS_MAX)
        return runs_at_once(self.network.head.out_features, window, wanted)

    def run_epoch(self) -> None:
        """Pass once over the training part, then let the validation part judge."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        self.epoch += 1
        self.network.train()
        mean = self._pass()
        loss = validation_loss(Model(self.spec, self.cell, self.validated_network), self.data)
        if math.isnan(loss):
            raise self._not_finite("validation loss")
        if loss < self.best_loss:
            self.best = copy.deepcopy(self.validated_network.state_dict())
            self.best_loss, self.waited = loss, 0
        else:
            self.waited += 1
        self._report(1.0, mean, loss)

    def _report(self, done: float, mean: float, epoch_loss: float = math.nan) -> None:
        what = "memoryless" if self.cell.kind == "none" else self.cell.kind
        epochs, best = self.settings.epochs, self.best_loss
        self.on_progress(
            Progress(
                what,
                self.epoch,
                epochs,
                done=done,
                training_loss=mean,
                validation_loss=best,
                epoch_loss=epoch_loss,
            )
        )

    def _pass(self) -> float:
        """Go through the training part, window by window; return the mean loss."""
        settings, data = self.settings, self.data
        is_memoryless = self.cell.kind == "none"
        cut = (
            shuffled(data.examples)
            if is_memoryless
            else windows(data.examples, settings.window, self._runs_max, part_max=0, mixed=True)
        )
        h = torch.zeros(len(data.examples.runs.first), *self.cell.hidden_shape)
        noise = Noise(self.spec, settings.noise, settings.key_noise, 0 if is_memoryless else len(h))
        mean_counts = self._mean_counts(cut)
        losses = shares = 0.0
        mean = math.nan
        for number, (runs, events, valid) in enumerate(cut):
            index = torch.from_numpy(events)  # (A, T)
            x = noise.add(data.x[index], runs)
            y, new = self.network(x.transpose(0, 1), h[runs])  # (T, A, F) -> (T, A, O)
            mask = torch.from_numpy(valid)
            labels = {n: t[index].masked_fill(~mask, torch.nan) for n, t in self.labels.items()}
            loss = loss_of(self.spec, y.transpose(0, 1), labels, self.weights, mean_counts)
            if loss is not None:
                losses += self._learn(loss)
                shares += loss.share
            if not is_memoryless:
                h = h.clone()
                h[runs] = new.detach()
            if number % 16 == 0 or number == len(cut) - 1:
                mean = losses / shares if shares else math.nan
                self._report((number + 1) / len(cut), mean)
        return mean

    def _mean_counts(self, cut: Sequence[Window]) -> dict[str, float]:
        """Return for each head how many labels a window with some holds on the mean."""
        known = ~torch.stack(list(self.labels.values())).isnan().all(dim=0).numpy()  # (N,)
        count = sum(bool(known[events[valid]].any()) for _, events, valid in cut)
        return {name: labels / max(count, 1) for name, labels in self.label_counts.items()}

    def _learn(self, loss: WindowLoss) -> float:
        """Step the optimizer by a window; return its loss."""
        latest = float(loss.value.detach())
        if not math.isfinite(latest):
            raise self._not_finite("training loss")
        self.optimizer.zero_grad()
        loss.value.backward()  # type: ignore[no-untyped-call]  # torch's own
        # By its share: else the bound would weigh the events of large windows less.
        longest = self.settings.clip_grad_norm * loss.share
        nn.utils.clip_grad_norm_(self.network.parameters(), longest)
        self.optimizer.step()
        if self.averaged is not None:
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            with torch.no_grad():
                for mean, now in pairs:
                    mean.lerp_(now, 1 - self.settings.ema_decay)
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
        return Trained(model, metrics_of(model, self.data), self.epoch, self.best_loss)
