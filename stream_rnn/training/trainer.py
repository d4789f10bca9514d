"""Training by truncated back-propagation through time, with hidden states carried over windows.

All keys run in parallel, window after window (Werbos 1990; Williams and Peng 1990).  The hidden
state at the end of a window, without its gradient, is the start of the next one, so the network
learns with memories as long as those in production.  A run never mixes keys, and no event sees a
later one.  Each event counts once in the loss of an epoch.  Scalings are fitted to the training
part alone; the validation part chooses the epoch; the test part is only scored.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from stream_rnn.errors import TrainingError
from stream_rnn.model.cells import AnyCell, CellSpec, chrono_init_
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.evidence import HeldOut, take_held_out
from stream_rnn.training.examples import Examples
from stream_rnn.training.losses import (
    ClassWeights,
    WindowLoss,
    balanced_weights,
    label_counts,
    window_loss,
)
from stream_rnn.training.noise import Noise
from stream_rnn.training.optimizer import AdamW
from stream_rnn.training.progress import Meter, OnProgress
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import (
    EncodedExamples,
    Metrics,
    events_per_window,
    predict_labelled,
    score_outputs,
    validation_loss,
)
from stream_rnn.training.warm_start import start_from_memoryless_
from stream_rnn.training.windows import (
    STEPS_PER_EPOCH,
    Window,
    choose_steps,
    cut_windows,
    needed_lengths,
    shuffle_batches,
)

RUNS_MIN, RUNS_MAX = 8, 256  # windows of so many runs' events, however short the runs are
ALGORITHM = (
    4  # raise this when the same settings give other bits, so that old checkpoints are ignored
)


@dataclass(slots=True)
class Trained:
    """A trained model.

    Attributes:
        model: The model of the best epoch.
        metrics: Its metrics by part and head.
        epochs: Number of epochs of training.
        validation_loss: Lowest validation loss.
        held_out: Its outputs by head for the part that is not trained on.
        is_from_memoryless: Whether training started from the memoryless baseline.
    """

    model: Model
    metrics: Metrics = field(default_factory=dict)
    epochs: int = 0
    validation_loss: float = math.inf
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    is_from_memoryless: bool = False

    @property
    def initial_weights(self) -> str:
        """Name of the weights from which training started, as in :class:`TrainingSettings`."""
        return "memoryless" if self.is_from_memoryless else "random"


OnCheckpoint = Callable[[Checkpoint], None]


def train(
    spec: FeatureSpec,
    cell: AnyCell,
    examples: Examples,
    settings: TrainingSettings,
    on_progress: OnProgress = lambda _progress: None,
    on_checkpoint: OnCheckpoint = lambda _checkpoint: None,
    resume: Checkpoint | None = None,
    memoryless: Network | None = None,
) -> Trained:
    """Train one model on examples.

    Args:
        spec: Feature spec, fitted by :func:`stream_rnn.training.examples.fit`.
        cell: Cell of the network; kind ``none`` trains the memoryless baseline.
        examples: Examples of all parts; the test part is scored only at the end.
        settings: Settings of training.
        on_progress: Called with the progress about a hundred times in an epoch.
        on_checkpoint: Called with a checkpoint after every epoch.
        resume: Checkpoint to resume from.  Training then ends with the same bits as without the
            interruption.
        memoryless: Trained memoryless baseline of the same size, from whose function training
            starts, and which counts as the best epoch so far; ``None`` starts from random weights.

    Raises:
        SpecError: No event of the training part has a label.
        TrainingError: A loss is not finite.
    """
    training = _Training(spec, cell, examples, settings, on_progress)
    if memoryless is not None and resume is None:
        training.start_from(memoryless)
    if resume is not None:
        training.resume(resume)
    patience = settings.epochs_without_progress
    while training.epoch < settings.epochs and training.waited < patience:
        training.run_epoch()
        on_checkpoint(training.checkpoint())
    trained = training.finish()
    trained.is_from_memoryless = memoryless is not None
    return trained


class _Training:
    """One run of training, from epoch to epoch."""

    def __init__(
        self,
        spec: FeatureSpec,
        cell: AnyCell,
        examples: Examples,
        settings: TrainingSettings,
        on_progress: OnProgress,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.spec, self.cell, self.settings = spec, cell, settings
        self.data = EncodedExamples.encode(spec, examples)
        self.labels = self.data.labels(0)
        self.weights = self._class_weights()
        self.label_counts = label_counts(spec, self.labels, self.weights)
        self.network = Network(spec, cell)
        self.network.set_dropout(settings.dropout)
        if settings.chrono_steps:
            chrono_init_(self.network.cell, settings.chrono_steps)
        self.optimizer = AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = copy.deepcopy(self.network) if settings.ema_decay else None
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss, self.waited, self.epoch = math.inf, 0, 0
        events = self._event_count(0) + self._event_count(self.data.validation_part)
        what = "memoryless" if cell.kind == "none" else cell.kind
        self.meter = Meter(what, settings.epochs, events, on_progress)

    def start_from(self, memoryless: Network) -> None:
        """Start from the function of a memoryless baseline, whose validation loss is to be beaten."""
        assert isinstance(self.cell, CellSpec), "only torch's cells start from a baseline"
        for network in filter(None, (self.network, self.averaged)):
            start_from_memoryless_(network, self.cell, memoryless)
        self.best = copy.deepcopy(self.network.state_dict())
        model = Model(self.spec, self.cell, self.network)
        self.best_loss = validation_loss(model, self.data, self.settings)

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

    def _event_count(self, part: int | None) -> int:
        is_labelled = self.data.is_labelled(part)
        return self.data.event_count(is_labelled, is_memoryless=self.cell.kind == "none")

    def _cut(self) -> list[Window]:
        """Cut the training part into windows, in an order that is drawn for each epoch."""
        is_needed, settings = self.data.is_labelled(0), self.settings
        if self.cell.kind == "none":
            return shuffle_batches(is_needed)
        steps = settings.window or choose_steps(self.data.examples.runs, is_needed)
        width = self.network.head.out_features
        events = int((self.data.examples.part == 0).sum()) // STEPS_PER_EPOCH
        lengths = needed_lengths(self.data.examples.runs, is_needed)
        length = math.ceil(np.minimum(lengths[lengths > 0], steps).mean())
        events = min(max(events, RUNS_MIN * length), RUNS_MAX * steps)
        if settings.batch_sequences:
            events = settings.batch_sequences * steps
        return cut_windows(
            self.data.examples.runs,
            is_needed,
            steps,
            events_per_window(width, events),
            settings.batch_sequences or None,
            is_shuffled=True,
        )

    def run_epoch(self) -> None:
        """Train once on the training part, then compute the validation loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        self.epoch += 1
        self.meter.begin(self.epoch, self.best_loss)
        self.network.train()
        self._train_windows()
        model = Model(self.spec, self.cell, self.validated_network)
        self.meter.phase = "validation"
        loss = validation_loss(model, self.data, self.settings, self.meter.step)
        if math.isnan(loss):
            raise self._not_finite("validation loss")
        if loss < self.best_loss:
            self.best = copy.deepcopy(self.validated_network.state_dict())
            self.best_loss, self.waited = loss, 0
        else:
            self.waited += 1
        self.meter.end(self.best_loss, loss)

    def _train_windows(self) -> None:
        """Train on the training part, window by window."""
        settings = self.settings
        cut = self._cut()
        is_memoryless = self.cell.kind == "none"
        runs = 0 if is_memoryless else max((window.runs.stop for window in cut), default=0)
        noise = Noise(self.spec, settings.noise, settings.key_noise, runs)
        mean_counts = self._mean_counts(cut)
        losses = shares = 0.0
        h = torch.zeros(0)
        for window in cut:
            if window.is_first:
                h = torch.zeros(window.runs.stop - window.runs.start, *self.network.hidden_shape)
            y, events, ends = self._step(window, h, noise)
            labels = {name: label[events] for name, label in self.labels.items()}
            loss = window_loss(self.spec, y, labels, self.weights, mean_counts, settings)
            if loss is not None:
                losses += self._learn(loss)
                shares += loss.share
            for end in ends:
                h[: len(end)] = end
            self.meter.training_loss = losses / shares if shares else math.nan
            self.meter.step(len(events))

    def _step(self, window: Window, h: Tensor, noise: Noise) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Step through a window, beginning with h (A, ...).

        Returns:
            The outputs y (M, O), the indices (M,) of their events, and for each block the hidden
            states of its runs after it, without a gradient.
        """
        outputs, indices, ends = [], [], []
        now = h[: window.runs.stop - window.runs.start]
        for block in window.blocks:
            index, mask = torch.from_numpy(block.events), torch.from_numpy(block.valid)
            runs = slice(window.runs.start, window.runs.start + len(index))
            x = noise.add(self.data.x[index], runs)  # (A, T, F)
            y, now = self.network(x.transpose(0, 1), now[: len(index)])  # (T, A, O)
            outputs.append(y.transpose(0, 1)[mask])
            indices.append(index[mask])
            ends.append(now.detach())
        return torch.cat(outputs), torch.cat(indices), ends

    def _mean_counts(self, cut: Sequence[Window]) -> dict[str, float]:
        """Return for each head the mean number of labels in a window that has labels."""
        is_labelled = self.data.is_labelled(0)
        count = sum(bool(is_labelled[window.events].any()) for window in cut)
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
        self.meter.begin_scoring(self._event_count(None))
        found = predict_labelled(model, self.data, self.meter.step)
        metrics = score_outputs(self.spec, self.data, found)
        held_out = take_held_out(self.spec, self.data, found, metrics)
        return Trained(
            model=model,
            metrics=metrics,
            epochs=self.epoch,
            validation_loss=self.best_loss,
            held_out=held_out,
        )
