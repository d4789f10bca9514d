"""Training by truncated back-propagation through time, with hidden states carried over windows.

All keys run in parallel, window after window (Werbos 1990; Williams and Peng 1990).  The hidden
state at the end of a window, without its gradient, is the start of the next one, so the network
learns with memories as long as those in production.  A run never mixes keys, and no event sees a
later one.  Each event counts once in the loss of an epoch.  Scalings are fitted to the training
part alone; the validation part chooses the epoch; the test part is only scored.
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
from stream_rnn.training.losses import (
    ClassWeights,
    WindowLoss,
    balanced_weights,
    label_counts,
    window_loss,
)
from stream_rnn.training.noise import Noise
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import (
    EncodedExamples,
    Metrics,
    parallel_runs_max,
    score_parts,
    validation_loss,
)
from stream_rnn.training.windows import Window, cut_windows, shuffle_batches

RUNS_MIN, RUNS_MAX = 8, 256
STEPS_PER_EPOCH = 60
ALGORITHM = (
    2  # raise this when the same settings give other bits, so that old checkpoints are ignored
)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of training one network.

    Attributes:
        what: Kind of the cell, or ``memoryless``.
        epoch: Number of the current epoch, from 1.
        epochs: Maximum number of epochs.
        done: Finished share of the epoch, from 0 to 1.
        training_loss: Mean training loss of the epoch so far.
        validation_loss: Lowest validation loss so far.
        epoch_loss: Validation loss of this epoch; NaN until the epoch ends.
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
    """A trained model, its metrics by part and head, its epochs and lowest validation loss."""

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
        spec: Feature spec, fitted by :func:`stream_rnn.training.examples.fit`.
        cell: Cell of the network; kind ``none`` trains the memoryless baseline.
        examples: Examples of all parts; the test part is scored only at the end.
        settings: Settings of training.
        on_progress: Called with the progress after every few windows.
        on_checkpoint: Called with a checkpoint after every epoch.
        resume: Checkpoint to resume from.  Training then ends with the same bits as without the
            interruption.

    Raises:
        SpecError: No event of the training part has a label.
        TrainingError: A loss is not finite.
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
        self.network.set_dropout(settings.dropout)
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
        return balanced_weights(self.spec, {n: t[chosen] for n, t in self.data.targets.items()})

    @property
    def validated_network(self) -> Network:
        """The network that is validated and saved: the averaged one, if there is one."""
        return self.network if self.averaged is None else self.averaged

    @property
    def _learning_rate(self) -> float:
        """Learning rate of the next epoch."""
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
        runs = min(max(events // (window * STEPS_PER_EPOCH), RUNS_MIN), RUNS_MAX)
        return parallel_runs_max(self.network.head.out_features, window, runs)

    def run_epoch(self) -> None:
        """Train once on the training part, then compute the validation loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        self.epoch += 1
        self.network.train()
        mean = self._train_windows()
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

    def _train_windows(self) -> float:
        """Train on the training part, window by window; return the mean loss."""
        settings, data = self.settings, self.data
        is_memoryless = self.cell.kind == "none"
        cut = (
            shuffle_batches(data.examples)
            if is_memoryless
            else cut_windows(
                data.examples, settings.window, self._runs_max, part_max=0, is_shuffled=True
            )
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
            loss = window_loss(self.spec, y.transpose(0, 1), labels, self.weights, mean_counts)
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
        """Return for each head the mean number of labels in a window that has labels."""
        known = ~torch.stack(list(self.labels.values())).isnan().all(dim=0).numpy()  # (N,)
        count = sum(bool(known[events[valid]].any()) for _, events, valid in cut)
        return {name: labels / max(count, 1) for name, labels in self.label_counts.items()}

    def _learn(self, loss: WindowLoss) -> float:
        """Take one optimizer step for a window; return its loss."""
        latest = float(loss.value.detach())
        if not math.isfinite(latest):
            raise self._not_finite("training loss")
        self.optimizer.zero_grad()
        loss.value.backward()  # type: ignore[no-untyped-call]  # torch's own
        # In proportion to the window: a fixed bound would give events of large windows less weight.
        norm_max = self.settings.clip_grad_norm * loss.share
        nn.utils.clip_grad_norm_(self.network.parameters(), norm_max)
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
        """Return a checkpoint from which training resumes after this epoch."""
        return Checkpoint.take(
            self.network,
            self.averaged,
            self.best,
            self.optimizer,
            self.best_loss,
            self.waited,
            self.epoch,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint."""
        checkpoint.restore(self.network, self.averaged, self.optimizer)
        self.best, self.best_loss = checkpoint.best, checkpoint.best_loss
        self.waited, self.epoch = checkpoint.waited, checkpoint.epoch

    def finish(self) -> Trained:
        """Return the model of the best epoch with its metrics."""
        self.network.load_state_dict(self.best)
        model = Model(self.spec, self.cell, self.network.requires_grad_(requires_grad=False))
        return Trained(model, score_parts(model, self.data), self.epoch, self.best_loss)
