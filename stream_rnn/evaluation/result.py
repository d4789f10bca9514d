"""The result of an evaluation: figures, independent of how they are shown.

Three models predict each event: ``memory`` is the network, ``memoryless`` a feed-forward network of
the same size on the same features, and ``naive`` a rule that needs no network.  The worth of the
memory is the difference between the first two.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stream_rnn.metrics.figure import Figure

MEMORY, MEMORYLESS, NAIVE = "memory", "memoryless", "naive"
MODELS = (MEMORY, MEMORYLESS, NAIVE)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of events, with the main metric of each model."""

    name: str
    events: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Bin:
    """Events with similar predictions: their mean prediction and their mean target."""

    predicted: float
    observed: float
    events: int


@dataclass(frozen=True, slots=True)
class WorstPrediction:
    """An event with one of the largest losses; prediction and target are texts for people."""

    key: str
    partition: int
    offset: int
    event_time_ms: int
    steps: int
    predicted: str
    actual: str
    loss: float


@dataclass(frozen=True, slots=True)
class SurprisingKey:
    """A key with a high mean surprise."""

    key: str
    events: int
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class SurprisingEvent:
    """An event with one of the highest surprises."""

    key: str
    partition: int
    offset: int
    event_time_ms: int
    steps: int
    surprise: float


@dataclass(frozen=True, slots=True)
class SurpriseSummary:
    """The surprise of a head over the scored events.

    Attributes:
        unit: Unit of a surprise.
        events: Number of scored events with a surprise.
        mean: Mean surprise; NaN without events.
        quantiles: Quantile by name, such as ``p99``; empty without events.
        keys: Keys with the highest mean, highest first.
        highest: Events with the highest surprise, highest first.
    """

    unit: str
    events: int
    mean: float
    quantiles: Mapping[str, float]
    keys: tuple[SurprisingKey, ...]
    highest: tuple[SurprisingEvent, ...]


@dataclass(frozen=True, slots=True)
class HeadEvaluation:
    """The metrics of one head.

    Attributes:
        name: Name of the head.
        kind: Kind of the head.
        question: Question that the head answers, as a sentence.
        unit: Unit of its values; empty for classes and probabilities.
        metric: Name of the main metric.
        better: Whether higher or lower values of the main metric are better.
        events: Number of scored events, all of which have a label.
        models: Model -> metric -> figure.
        naive: Name of the naive rule.
        worth: Main metric of ``memory`` minus that of ``memoryless``, on the same draws of keys.
        by_memory: Groups by the number of events in memory.
        by_time: Groups by event time, in order.
        by_key: Groups by the key if there are few, else by the number of events of the key.
        calibration: Model -> bins, in the order of their predictions.
        largest: Events with the largest losses, largest first.
        surprise: Surprise of the network; ``None`` for a head without.
        has_key_groups: Whether each group in ``by_key`` is a key.
        naive_factor: How many times larger the error of the better network is than that of the
            naive rule, if the rule is clearly better; ``None`` if it is not.
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
    surprise: SurpriseSummary | None = None
    has_key_groups: bool = False
    naive_factor: float | None = None


@dataclass(frozen=True, slots=True)
class HiddenStateGroup:
    """Hidden states of the sample with similar numbers of events in memory.

    Attributes:
        steps: Numbers of events in memory, such as ``3-5``.
        states: Number of hidden states.
        norm: Mean of |h| / sqrt(units); 1 is the largest value that tanh allows.
        norm_high: 95th percentile of |h| / sqrt(units).
        saturated: Share of units with |h| above 0.99.
        update_norm: Mean of |h - previous h| / sqrt(units).
    """

    steps: str
    states: int
    norm: float
    norm_high: float
    saturated: float
    update_norm: float


@dataclass(frozen=True, slots=True)
class HiddenStateHealth:
    """The health of a sample of hidden states.

    Attributes:
        keys: Number of keys in the sample.
        units: Number of units of a hidden state.
        dead_units: Number of units that are nearly constant over the whole sample.
        at: Groups by the number of events in memory.
        drift: Shift of a unit's mean from the first to the last third of the time, in standard
            deviations of the unit; mean over the units.
    """

    keys: int
    units: int
    dead_units: int
    at: tuple[HiddenStateGroup, ...]
    drift: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of evaluating a bundle on a log.

    Attributes:
        model: Name of the bundle.
        fingerprint: First 16 hex digits of its fingerprint.
        cell: Description of the cell, such as ``gru, hidden 64, layers 1``.
        log: Name of the file or topic.
        events: Number of predicted events, warm-up included.
        keys: Number of keys.
        skipped: Number of skipped records by reason; ``filtered`` counts those that are filtered.
        first_ms: First event time, in milliseconds since 1970.
        last_ms: Last event time, in milliseconds since 1970.
        warm_up: Warm-up that is not scored, as the caller gave it; empty for none.
        part: Part of the split that is scored; empty for the whole log.
        heads: Evaluation of each head by name.
        health: Health of the hidden states; ``None`` for a model without any.
        shown: Three example keys: reason, partition and key of each.
        warnings: What to know before any figure, as sentences: naive rules that are better than
            every network, then features far beyond the training part.
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
    health: HiddenStateHealth | None = None
    shown: tuple[tuple[str, int, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation as plain objects; values and intervals are separate objects."""
        whole = {"warnings": self.warnings, **asdict(self)}
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
            fields = whole["heads"][name]
            del fields["models"], fields["naive"], fields["name"]
            if head.surprise is None:
                del fields["surprise"]
            rule = {"naive_rule": head.naive}
            whole["heads"][name] = {**values, "intervals": intervals, **rule, **fields}
        return whole
