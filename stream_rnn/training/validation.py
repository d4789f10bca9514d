"""Validation loss and metrics of a network on examples.

The network steps through the runs window by window.  The outputs of each window are reduced at
once, so memory never contains the outputs (events, classes) of all events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_rnn.errors import SpecError
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, score
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.network import Model
from stream_rnn.training.examples import Examples, encode, targets
from stream_rnn.training.losses import MeanLoss
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.windows import Window, cut_windows, needed_lengths, single_events

WINDOW = 256
EVENTS_MAX = 8192  # events in a window, from which its group gets no more runs
FLOATS_MAX = 1 << 23  # maximum size of y in memory

OnEvents = Callable[[int], None]
Metrics = dict[str, dict[str, dict[str, float]]]  # part -> head -> metric -> value


@dataclass(slots=True)
class EncodedExamples:
    """Encoded events x (N, F), with their targets (N,) for each head; NaN for none."""

    x: Tensor
    targets: dict[str, NDArray[np.float64]]
    examples: Examples

    @classmethod
    def encode(cls, spec: FeatureSpec, examples: Examples) -> "EncodedExamples":
        """Encode the valid events of examples.

        Raises:
            SpecError: No event of the training part has a label.
        """
        x = encode(spec, examples)
        encoded = {head.name: targets(head, examples) for head in spec.heads}
        if not any(np.isfinite(t[examples.part == 0]).any() for t in encoded.values()):
            has_single_events = len(examples.runs.first) == len(examples.runs.order) and any(
                head.of == "next" for head in spec.heads
            )
            raise SpecError(
                'no key has a second event, so heads with of = "next" have nothing to learn; set '
                'of = "now" in the heads, or choose another key'
                if has_single_events
                else "no training event has a label; check the paths of the heads and the split"
            )
        return cls(torch.from_numpy(x), encoded, examples)

    def labels(self, part: int) -> Mapping[str, Tensor]:
        """Return the labels (N,) of each head; NaN for events of other parts."""
        chosen = self.examples.part == part
        return {
            name: torch.from_numpy(np.where(chosen, target, np.nan)).float()
            for name, target in self.targets.items()
        }

    def is_labelled(self, part: int | None = None) -> NDArray[np.bool_]:
        """Return whether (N,) an event of a part, or of any part, has the label of some head."""
        known = np.zeros(len(self.examples.part), bool)
        for target in self.targets.values():
            known |= np.isfinite(target)
        return known if part is None else known & (self.examples.part == part)

    @property
    def validation_part(self) -> int:
        """The validation part, or the training part if that is empty."""
        return 1 if (self.examples.part == 1).any() else 0

    def event_count(self, is_needed: NDArray[np.bool_], *, is_memoryless: bool) -> int:
        """Return the number of events that a network steps through for the needed outputs (N,)."""
        runs = self.examples.runs
        return int(is_needed.sum() if is_memoryless else needed_lengths(runs, is_needed).sum())


def events_per_window(width: int, events_max: int) -> int:
    """Return a number of events, so that their y has at most ``FLOATS_MAX`` floats.

    Args:
        width: Number of columns of y, O.
        events_max: Maximum number of events, whatever the size of y.
    """
    return max(1, min(events_max, FLOATS_MAX // width))


def validation_loss(
    model: Model,
    data: EncodedExamples,
    settings: TrainingSettings,
    on_events: OnEvents = lambda _events: None,
) -> float:
    """Return the mean loss of the validation part, or of the training part if that is empty.

    The loss is infinity if no event of the part has a label.  ``on_events`` is called with the
    number of events since its last call.
    """
    part = data.validation_part
    labels, loss = data.labels(part), MeanLoss(model.spec, settings)
    for events, y in _predict(model, data, data.is_labelled(part)):
        loss.add(y, {name: label[events] for name, label in labels.items()})
        on_events(len(events))
    return loss.value


@dataclass(frozen=True, slots=True)
class LabelledOutputs:
    """The outputs of a network for the M events that have the label of some head.

    Attributes:
        events: Indices (M,) of the events, in their order.
        outputs: Outputs (M,) of each head.
    """

    events: NDArray[np.int64]
    outputs: Mapping[str, Output]

    def of_part(
        self, head: str, data: EncodedExamples, part: int
    ) -> tuple[NDArray[np.int64], Output, NDArray[np.float64]]:
        """Return the events of a part that have the label of a head, their outputs and targets."""
        target = data.targets[head][self.events]
        chosen = (data.examples.part[self.events] == part) & np.isfinite(target)
        return self.events[chosen], self.outputs[head][chosen], target[chosen]


def score_parts(model: Model, data: EncodedExamples) -> Metrics:
    """Return the metrics of every part that has labels."""
    return score_outputs(model.spec, data, predict_labelled(model, data))


def score_outputs(spec: FeatureSpec, data: EncodedExamples, found: LabelledOutputs) -> Metrics:
    """Return the metrics of outputs in every part that has labels."""
    metrics: Metrics = {}
    for head in spec.heads:
        for number, name in enumerate(PART_NAMES):
            events, output, target = found.of_part(head.name, data, number)
            if len(events):
                metrics.setdefault(name, {})[head.name] = score(head, output, target)
    return metrics


def predict_labelled(
    model: Model, data: EncodedExamples, on_events: OnEvents = lambda _events: None
) -> LabelledOutputs:
    """Return the outputs for all events that have a label.

    ``on_events`` is called with the number of events since its last call.
    """
    places: list[NDArray[np.int64]] = []
    pieces: dict[str, list[Output]] = {head.name: [] for head in model.spec.heads}
    classes = {head.name for head in model.spec.heads if isinstance(head, Multiclass)}
    for events, y in _predict(model, data, data.is_labelled()):
        places.append(events.numpy())
        for name, values in model.outputs(y.numpy()).items():
            target = data.targets[name][places[-1]]
            is_ranked = name in classes
            pieces[name].append(RankedClasses.of(values, target) if is_ranked else values)
        on_events(len(events))
    events_of = np.concatenate([np.zeros(0, np.int64), *places])
    by_event = np.argsort(events_of)  # so that sums do not depend on the windows
    outputs = {
        head.name: concatenate_outputs(head, pieces[head.name])[by_event]
        for head in model.spec.heads
    }
    return LabelledOutputs(events_of[by_event], outputs)


def concatenate_outputs(head: AnyHead, pieces: Sequence[Output]) -> Output:
    """Concatenate the outputs of a head."""
    if isinstance(head, Multiclass):
        return RankedClasses.concatenate(
            [p for p in pieces if isinstance(p, RankedClasses)], head.width
        )
    none = np.zeros((0, head.width) if head.is_wide else 0, np.float32)
    return np.concatenate([none, *(p for p in pieces if not isinstance(p, RankedClasses))])


def _predict(
    model: Model, data: EncodedExamples, is_needed: NDArray[np.bool_]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield event indices (M,) and their y (M, O), of all needed events (N,) and those between."""
    events_max = events_per_window(model.output_count, EVENTS_MAX)
    if model.cell.kind == "none":
        cut: Iterable[Window] = single_events(np.flatnonzero(is_needed), events_max)
    else:
        steps = events_per_window(model.output_count, WINDOW)
        cut = cut_windows(data.examples.runs, is_needed, steps, events_max)
    h = model.initial_hidden(0)
    for window in cut:
        if window.is_first:
            h = model.initial_hidden(window.runs.stop - window.runs.start)
        for block in window.blocks:
            index, mask = torch.from_numpy(block.events), torch.from_numpy(block.valid)
            y, h[: len(index)] = model.forward(data.x[index], h[: len(index)])
            yield index[mask], y[mask]
