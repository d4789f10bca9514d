"""Validation loss and metrics of a network on examples.

The network steps through the runs window by window.  The outputs of each window are reduced at
once, so memory never contains the outputs (events, classes) of all events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_rnn.errors import SpecError
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, score
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.network import Model
from stream_rnn.training.examples import Examples, targets
from stream_rnn.training.losses import MeanLoss
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.windows import cut_windows

WINDOW = 256
RUNS_MAX = 1024
FLOATS_MAX = 1 << 24  # maximum size of y in memory

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
        encoder = Encoder(spec)
        x, errors = encoder.encode(examples.columns, examples.time_ms)
        assert not errors, "examples contain only events that can be encoded"
        encoder.fill_since_previous(x, examples.since_ms)
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


def parallel_runs_max(width: int, window: int, runs_max: int) -> int:
    """Return the number of runs to step in parallel, so that y has at most ``FLOATS_MAX`` floats.

    Args:
        width: Number of columns of y, O.
        window: Number of time steps of a window, T.
        runs_max: Maximum number of runs, whatever the size of y.
    """
    return max(1, min(runs_max, FLOATS_MAX // (width * window)))


def validation_loss(model: Model, data: EncodedExamples) -> float:
    """Return the mean loss of the validation part, or of the training part if that is empty.

    The loss is infinity if no event of the part has a label.
    """
    part = 1 if (data.examples.part == 1).any() else 0
    labels, loss = data.labels(part), MeanLoss(model.spec)
    for events, y in _predict(model, data, part_max=1):
        loss.add(y, {name: label[events] for name, label in labels.items()})
    return loss.value


def score_parts(model: Model, data: EncodedExamples) -> Metrics:
    """Return the metrics of every part that has labels."""
    places: list[NDArray[np.int64]] = []
    pieces: dict[str, list[Output]] = {head.name: [] for head in model.spec.heads}
    classes = {head.name for head in model.spec.heads if isinstance(head, Multiclass)}
    for events, y in _predict(model, data, part_max=2):
        places.append(events.numpy())
        for name, values in model.outputs(y.numpy()).items():
            target = data.targets[name][places[-1]]
            is_ranked = name in classes
            pieces[name].append(RankedClasses.of(values, target) if is_ranked else values)
    by_event = np.argsort(np.concatenate(places))  # so that sums do not depend on the windows
    metrics: Metrics = {}
    for head in model.spec.heads:
        output = concatenate_outputs(head, pieces[head.name])[by_event]
        target = data.targets[head.name]
        for number, name in enumerate(PART_NAMES):
            chosen = (data.examples.part == number) & np.isfinite(target)
            if chosen.any():
                scores = score(head, output[chosen], target[chosen])
                metrics.setdefault(name, {})[head.name] = scores
    return metrics


def concatenate_outputs(head: AnyHead, pieces: Sequence[Output]) -> Output:
    """Concatenate the outputs of a head."""
    if isinstance(head, Multiclass):
        return RankedClasses.concatenate(
            [p for p in pieces if isinstance(p, RankedClasses)], head.width
        )
    none = np.zeros((0, head.width) if head.is_wide else 0, np.float32)
    return np.concatenate([none, *(p for p in pieces if not isinstance(p, RankedClasses))])


def _predict(model: Model, data: EncodedExamples, part_max: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield event indices (M,) and their y (M, O), up to the last event of a part."""
    h = model.initial_hidden(len(data.examples.runs.first))
    window = max(1, min(WINDOW, FLOATS_MAX // model.output_count))
    runs_max = parallel_runs_max(model.output_count, window, RUNS_MAX)
    for runs, events, valid in cut_windows(data.examples, window, runs_max, part_max):
        index, mask = torch.from_numpy(events), torch.from_numpy(valid)
        stepped, h[runs] = model.forward(data.x[index], h[runs])
        yield index[mask], stepped[mask]
