"""What an evaluation says: figures without a word of how they are shown.

Three answers stand side by side everywhere: ``memory`` is the network, ``memoryless`` the
feed-forward network of the same size on the same features, ``naive`` one of some rules that
need no network.  What memory is worth is the difference of the first two.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stream_rnn.metrics.figure import Figure

MEMORY, MEMORYLESS, NAIVE = "memory", "memoryless", "naive"
MODELS = (MEMORY, MEMORYLESS, NAIVE)


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the events: how many, and each model's figure in the head's main metric."""

    name: str
    events: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Bin:
    """Events with like predictions: what was predicted and what came, on the mean."""

    predicted: float
    observed: float
    events: int


@dataclass(frozen=True, slots=True)
class WorstPrediction:
    """An event that the network got most wrong, in words."""

    key: str
    partition: int
    offset: int
    event_time_ms: int
    steps: int
    predicted: str
    actual: str
    loss: float


@dataclass(frozen=True, slots=True)
class HeadEvaluation:
    """How good one head is.

    Attributes:
        name: of the head.
        kind: of the head.
        question: what it answers, as a sentence.
        unit: of its values; empty for classes and probabilities.
        metric: the main one, used where only one can be shown.
        better: which end of the main metric is good.
        events: how many have a label and are scored.
        models: model -> metric -> figure.
        naive: which rule the naive figures are of.
        worth: main metric of memory less that of memoryless, over the same resampled keys.
        by_memory: groups by the number of events in memory.
        by_time: groups by event time, in order.
        by_key: groups by how many events a key has.
        calibration: model -> bins, by what is predicted.
        largest: the largest errors, worst first.
    """

    name: str
    kind: str
    question: str
    unit: str
    metric: str
    better: Literal["higher", "lower"]
    events: int
    models: Mapping[str, Mapping[str, Figure]]
    naive: str
    worth: Figure | None = None
    by_memory: tuple[Group, ...] = ()
    by_time: tuple[Group, ...] = ()
    by_key: tuple[Group, ...] = ()
    calibration: Mapping[str, tuple[Bin, ...]] = field(default_factory=dict)
    largest: tuple[WorstPrediction, ...] = ()


@dataclass(frozen=True, slots=True)
class HiddenAt:
    """Hidden states of some keys at one length of memory.

    Attributes:
        steps: events in memory, such as ``3-5``.
        states: how many hidden states.
        norm: mean of |h| / sqrt(units): 1 is the largest that tanh allows.
        norm_high: the 95th percentile of the same.
        saturated: share of units with |h| above 0.99.
        update_norm: mean of |h - h before| / sqrt(units) at such an event.
    """

    steps: str
    states: int
    norm: float
    norm_high: float
    saturated: float
    update_norm: float


@dataclass(frozen=True, slots=True)
class HiddenHealth:
    """Whether the hidden states of a sample of keys are well.

    Attributes:
        keys: in the sample.
        units: of a hidden state.
        dead_units: units that hardly moved in the whole sample.
        at: by number of events in memory.
        drift: shift of the units' means from the first to the last third of the time, in their
            standard deviations, on the mean.
    """

    keys: int
    units: int
    dead_units: int
    at: tuple[HiddenAt, ...]
    drift: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A bundle on a log.

    Attributes:
        model: name of the bundle.
        fingerprint: its first 16 digits.
        cell: in words, such as ``gru, hidden 64, layers 1``.
        log: name of the file or topic.
        events: that were predicted, warm-up included.
        keys: how many there are.
        skipped: records by reason.
        first_ms, last_ms: event times.
        warm_up: what is not scored, as it was asked for; empty for nothing.
        part: which part of the split is scored; empty for all of the log.
        heads: by name.
        health: of hidden states; ``None`` for a model without.
        shown: three keys worth a look: why, partition and key.
    """

    model: str
    fingerprint: str
    cell: str
    log: str
    events: int
    keys: int
    skipped: Mapping[str, int]
    first_ms: int
    last_ms: int
    warm_up: str
    part: str
    heads: Mapping[str, HeadEvaluation]
    health: HiddenHealth | None = None
    shown: tuple[tuple[str, int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain objects: ``heads`` hold metrics, intervals stand beside them."""
        whole = asdict(self)
        for name, head in self.heads.items():
            values = {
                model: {metric: figure.value for metric, figure in figures.items()}
                for model, figures in head.models.items()
            }
            intervals = {
                model: {
                    metric: [figure.low, figure.high]
                    for metric, figure in figures.items()
                    if figure.low is not None
                }
                for model, figures in head.models.items()
            }
            more = whole["heads"][name]
            del more["models"], more["naive"], more["name"]
            rule = {"naive_rule": head.naive}
            whole["heads"][name] = {**values, "intervals": intervals, **rule, **more}
        return whole
