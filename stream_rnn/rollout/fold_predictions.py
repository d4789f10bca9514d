"""Predictions of the two folds of a roll-out, joined by source offset.

A prediction belongs to a fold and an origin: the same fold from another origin has other memories,
so its predictions may differ.  Within one fold and origin, all predictions of an offset are equal.
Which topic a prediction comes from decides nothing: after a cut-over the roles are swapped, and
the shadow topic has predictions of either fold.

This module does no I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stream_rnn.errors import DecodeError
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile
from stream_rnn.predictions.decoder import PredictionDecoder
from stream_rnn.predictions.schema import (
    BinaryOutput,
    ClassOutput,
    NumberOutput,
    Output,
    Prediction,
    QuantileOutput,
)

Classes = tuple[tuple[str, float], ...]  # likeliest classes with their probabilities, descending
OutputValue = float | tuple[float, ...] | Classes
Headers = Sequence[tuple[str, bytes | None]]


class FoldPrediction(NamedTuple):
    """A prediction of one fold.

    Attributes:
        key: Key of the record.
        time_ms: Time of the event, in milliseconds since 1970.
        steps: Number of events in the memory, the predicting event included.
        outputs: Output of each compared head, in their order.
    """

    key: bytes
    time_ms: int
    steps: int
    outputs: tuple[OutputValue, ...]


@dataclass(frozen=True, slots=True)
class JoinedPartition:
    """The predictions of two folds in one source partition, in the range that both have reached.

    Attributes:
        partition: Number of the source partition.
        first: First source offset of the range.
        last: Last source offset of the range; below ``first`` if the folds have none in common.
        old: Predictions of the old fold in the range, by source offset.
        new: Predictions of the new fold in the range, by source offset.
        duplicates: Number of predictions of an offset, fold and origin that was read before.
        unlike: Number of those duplicates that differ from the first one.
        other_origins: Number of predictions from an origin that is not the fold's present one.
        others: Number of records of other apps, source topics, partitions or folds.
        invalid: Number of values that are no prediction of the compared heads.
    """

    partition: int
    first: int
    last: int
    old: Mapping[int, FoldPrediction]
    new: Mapping[int, FoldPrediction]
    duplicates: int = 0
    unlike: int = 0
    other_origins: int = 0
    others: int = 0
    invalid: int = 0

    @property
    def joined(self) -> list[int]:
        """Source offsets that both folds predict, ascending."""
        return sorted(self.old.keys() & self.new.keys())

    @property
    def offsets(self) -> list[int]:
        """Source offsets that either fold predicts, ascending."""
        return sorted(self.old.keys() | self.new.keys())


class PartitionPredictions:
    """Collects the predictions of two folds of one source partition, from any topics.

    Args:
        app: App of the workers.
        source: Source topic.
        partition: Number of the source partition.
        origins: Present origin of the old and of the new fold, by fold id in this order; ``None``
            takes the origin of the prediction with the largest source offset.
        heads: Heads to compare, which both bundles have.
        decoders: Decoders of the predictions of the two folds, by fold id.
    """

    def __init__(
        self,
        app: str,
        source: str,
        partition: int,
        origins: Mapping[str, int | None],
        heads: Sequence[AnyHead],
        decoders: Mapping[str, PredictionDecoder],
    ) -> None:
        self._decoders = decoders
        self.partition, self._origins, self._heads = partition, origins, heads
        self._classes = {h.name: frozenset(h.labels) for h in heads if isinstance(h, Multiclass)}
        self._place = (app.encode(), source.encode(), str(partition).encode())
        self._found: dict[tuple[str, int], dict[int, FoldPrediction]] = {}
        self._duplicates = self._unlike = self._others = self._invalid = 0

    def add(self, value: bytes | None, headers: Headers) -> int | None:
        """Add a record of an output topic.

        Returns:
            Source offset that it predicts; ``None`` if it is no prediction of the two folds.
        """
        named = dict(headers)
        fold_id = (named.get("sr-fold") or b"").decode("ascii", "replace")
        place = tuple(named.get(f"sr-{name}") for name in ("app", "topic", "partition"))
        if place != self._place or fold_id not in self._origins:
            self._others += 1
            return None
        try:
            offset, origin = (int(named[f"sr-{name}"] or b"") for name in ("offset", "origin"))
            prediction = self._read(self._decoders[fold_id].parse(value or b""), offset)
        except (DecodeError, KeyError, ValueError):
            self._invalid += 1
            return None
        first = self._found.setdefault((fold_id, origin), {}).setdefault(offset, prediction)
        if first is not prediction:
            self._duplicates += 1
            self._unlike += first != prediction
        return offset

    def _read(self, prediction: Prediction, offset: int) -> FoldPrediction:
        if prediction.source.offset != offset:
            raise ValueError("the header names another offset than the value")
        outputs = [read_output(head, prediction.outputs[head.name]) for head in self._heads]
        for name, classes in self._classes.items():
            top = prediction.outputs[name]
            if isinstance(top, ClassOutput) and not all(label in classes for label, _ in top.top):
                raise ValueError(f"head {name} has no such class")
        return FoldPrediction(
            prediction.key_bytes, prediction.event_time_ms, prediction.steps, tuple(outputs)
        )

    def count(self, fold_id: str) -> int:
        """Return the number of offsets for which a fold has a prediction from its present origin."""
        return len(self._of(fold_id))

    def _of(self, fold_id: str) -> dict[int, FoldPrediction]:
        """Return the predictions of a fold from its present origin."""
        origin = self._origins[fold_id]
        if origin is None:
            last = {key[1]: max(found) for key, found in self._found.items() if key[0] == fold_id}
            origin = max(last, key=lambda one: last[one], default=0)
        return self._found.get((fold_id, origin), {})

    def join(self, since_ms: int | None = None) -> JoinedPartition:
        """Return the predictions in the range of source offsets that both folds have reached.

        Args:
            since_ms: Event time in milliseconds since 1970; the range begins at the first event
                that is not earlier.  ``None`` for the whole range.
        """
        old, new = (self._of(fold_id) for fold_id in self._origins)
        first = max(min(old, default=0), min(new, default=0))
        last = min(max(old, default=-1), max(new, default=-1))
        if since_ms is not None:
            later = (o for side in (old, new) for o, one in side.items() if one.time_ms >= since_ms)
            first = min((o for o in later if o >= first), default=last + 1)
        return JoinedPartition(
            partition=self.partition,
            first=first,
            last=last,
            old={offset: one for offset, one in old.items() if first <= offset <= last},
            new={offset: one for offset, one in new.items() if first <= offset <= last},
            duplicates=self._duplicates,
            unlike=self._unlike,
            other_origins=sum(map(len, self._found.values())) - len(old) - len(new),
            others=self._others,
            invalid=self._invalid,
        )


def read_output(head: AnyHead, output: Output) -> OutputValue:
    """Return the output of a head as numbers.

    Raises:
        KeyError: A quantile is missing.
        ValueError: The output is that of another kind of head.
    """
    match head, output:
        case Binary(), BinaryOutput(probability=value):
            return value
        case Multiclass(), ClassOutput(top=top):
            return top
        case Quantile(), QuantileOutput():
            return tuple(output[name] for name in head.labels)
        case ((Binary() | Multiclass() | Quantile()), _):
            raise ValueError(f"the output of head {head.name} is of another kind")
        case _, NumberOutput(value=value):
            return value
    raise ValueError(f"the output of head {head.name} is of another kind")
