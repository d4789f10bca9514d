"""What a network says of examples: its validation loss and its metrics.

Events go through in windows, the state carried from their run's begin, and each window's outputs
are reduced at once: (events, classes) is never held, however many of both there are.
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
from stream_rnn.training.windows import windows

WINDOW = 256
RUNS_MAX = 1024
FLOATS_MAX = 1 << 24  # of y that are held at once
PARTS = ("training", "validation", "test")

Metrics = dict[str, dict[str, dict[str, float]]]  # part -> head -> metric -> value


@dataclass(slots=True)
class EncodedExamples:
    """Encoded events x (N, F), and for each head their targets (N,), NaN where there is none."""

    x: Tensor
    targets: dict[str, NDArray[np.float64]]
    examples: Examples

    @classmethod
    def encode(cls, spec: FeatureSpec, examples: Examples) -> "EncodedExamples":
        """Encode valid events.

        Raises:
            SpecError: no event of the training part has a label.
        """
        encoder = Encoder(spec)
        x, errors = encoder.encode(examples.columns, examples.time_ms)
        assert not errors, "events that cannot be encoded are left out before training"
        encoder.fill_since_previous(x, examples.since_ms)
        found = {head.name: targets(head, examples) for head in spec.heads}
        if not any(np.isfinite(t[examples.part == 0]).any() for t in found.values()):
            alone = len(examples.runs.first) == len(examples.runs.order) and any(
                head.of == "next" for head in spec.heads
            )
            raise SpecError(
                'no key has a second event, so of = "next" has nothing to learn; give the heads '
                'of = "now", or the event another key'
                if alone
                else "no training event has a label; look at the heads' paths and the split"
            )
        return cls(torch.from_numpy(x), found, examples)

    def labels(self, part: int) -> Mapping[str, Tensor]:
        """Return head -> labels (N,), NaN outside of a part."""
        chosen = self.examples.part == part
        return {
            name: torch.from_numpy(np.where(chosen, target, np.nan)).float()
            for name, target in self.targets.items()
        }


def runs_at_once(width: int, window: int, most: int) -> int:
    """Return how many runs may stand side by side so that y stays within its bound.

    Args:
        width: O, columns of y.
        window: T.
        most: the answer where y is small.
    """
    return max(1, min(most, FLOATS_MAX // (width * window)))


def validation_loss(model: Model, data: EncodedExamples) -> float:
    """Return the mean loss over the validation part, over training's if there is none; or inf."""
    part = 1 if (data.examples.part == 1).any() else 0
    labels, loss = data.labels(part), MeanLoss(model.spec)
    for events, y in _answers(model, data, part_max=1):
        loss.add(y, {name: label[events] for name, label in labels.items()})
    return loss.value


def metrics_of(model: Model, data: EncodedExamples) -> Metrics:
    """Score every part that has labels."""
    places: list[NDArray[np.int64]] = []
    pieces: dict[str, list[Output]] = {head.name: [] for head in model.spec.heads}
    for events, y in _answers(model, data, part_max=2):
        places.append(events.numpy())
        for name, values in model.outputs(y.numpy()).items():
            came = data.targets[name][places[-1]]
            pieces[name].append(RankedClasses.of(values, came) if values.ndim == 2 else values)
    by_event = np.argsort(np.concatenate(places))  # sums do not depend on how runs were grouped
    found: Metrics = {}
    for head in model.spec.heads:
        output = joined(head, pieces[head.name])[by_event]
        target = data.targets[head.name]
        for number, name in enumerate(PARTS):
            chosen = (data.examples.part == number) & np.isfinite(target)
            if chosen.any():
                scored = score(head, output[chosen], target[chosen])
                found.setdefault(name, {})[head.name] = scored
    return found


def joined(head: AnyHead, pieces: Sequence[Output]) -> Output:
    """Put a head's outputs behind one another."""
    if isinstance(head, Multiclass):
        return RankedClasses.concatenate(
            [p for p in pieces if isinstance(p, RankedClasses)], head.width
        )
    return np.concatenate(
        [np.zeros(0, np.float32), *(p for p in pieces if not isinstance(p, RankedClasses))]
    )


def _answers(model: Model, data: EncodedExamples, part_max: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield numbers of events (M,) and their y (M, O), up to the last event of a part."""
    h = model.initial_hidden(len(data.examples.runs.first))
    window = max(1, min(WINDOW, FLOATS_MAX // model.output_count))
    runs_max = runs_at_once(model.output_count, window, RUNS_MAX)
    for runs, events, valid in windows(data.examples, window, runs_max, part_max):
        index, mask = torch.from_numpy(events), torch.from_numpy(valid)
        stepped, h[runs] = model.forward(data.x[index], h[runs])
        yield index[mask], stepped[mask]
