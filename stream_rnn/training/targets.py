"""The targets of the heads: what a log's records say about them.

The fields that the heads ask for are decoded from the records that are folded, and from nothing
else, head by head: one that is not of its head's type costs that label, no event and no other label.
Training and evaluation both read and place labels here, so that they mean the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.rounds import latest_before
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass, TimeToNext
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels, value_at

Columns = dict[str, NDArray[np.float64]]  # head -> (N,)
JSON_TYPES = {float: "number", int: "number", bool: "boolean", str: "text"}


@dataclass(frozen=True, slots=True)
class Runs:
    """N events in R runs; a run is one memory of one key.

    Attributes:
        order: (N,) event numbers, run by run.
        first: (R,) index in ``order`` of each run's first event.
        length: (R,) events of each run.
        closes: (R,) whether the key has no later event or forget: its last event is the end.
    """

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    closes: NDArray[np.bool_]


def following(head: AnyHead, own: NDArray[np.float64], runs: Runs) -> NDArray[np.float64]:
    """Return what each event is to predict (N,), as it is learned; NaN where there is no label.

    The label of a next-event head is what the next event of the same run says; a run's last event
    has none, unless the head has a class for it and the key ends there.

    Args:
        head: which asks.
        own: (N,) what each event itself says.
        runs: of the events.
    """
    if head.of != "next":
        return own
    found = np.full(len(own), np.nan)
    order = runs.order
    found[order[:-1]] = own[order[1:]]
    lasts = order[runs.first + runs.length - 1]
    found[lasts] = np.nan
    if isinstance(head, Multiclass) and head.end:
        found[lasts[runs.closes]] = len(head.classes)
    return found


def learned(head: AnyHead, values: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values of a head's field as they are learned (N,); NaN where there is none."""
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        target = None if value != value else head.target(value)  # noqa: PLR0124  # NaN is none
        if target is not None:
            found[i] = target
    return found


@dataclass(frozen=True, slots=True)
class Steps:
    """Where and when a partition's events were, and how long the memory.  N events, K keys.

    Attributes:
        keys: K record keys.
        key: (N,) number of each event's key.
        offset: (N,) source offsets, rising.
        time_ms: (N,) event times.
        steps: (N,) events in the memory that answered, this one included.
    """

    keys: list[bytes]
    key: NDArray[np.int64]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]

    def runs(self, forgets: Mapping[bytes, int]) -> Runs:
        """Group the events into runs: one begins where a memory has taken one step.

        Args:
            forgets: offset of the last forget of each key that has one.
        """
        order = np.lexsort((self.offset, self.key))
        first = np.flatnonzero(self.steps[order] == 1)
        length = np.diff(np.append(first, len(order)))
        last = order[first + length - 1]
        key = self.key[last]
        forgotten = np.array([forgets.get(k, -1) for k in self.keys], np.int64)
        is_last = np.append(np.diff(key) != 0, True)[: len(key)]
        return Runs(order, first, length, is_last & (self.offset[last] > forgotten[key]))


class Questions:
    """Takes what the heads ask for out of records.

    Each head has a decoder of its own: what one may be says nothing of what another may be, or a
    feature at the same path.

    Args:
        spec: the heads; those of the time to the next event ask for no field.
        settings: bounds of keys and values.
        labels: of the heads that need some.
    """

    def __init__(self, spec: FeatureSpec, settings: Settings, labels: Labels | None) -> None:
        self.heads = [head for head in spec.heads if not isinstance(head, TimeToNext)]
        self._labels = labels
        self._decoders = {
            head.name: Decoder(
                spec.model_copy(update={"features": (), "heads": (head,)}),
                settings,
                with_targets=True,
            )
            for head in self.heads
            if head.of != "label"
        }

    def answers(self, partition: int, records: Sequence[Record]) -> dict[str, list[Any]]:
        """Return for each head what each record says, ``None`` where there is nothing to learn."""
        joined = self._labels.of(partition, records) if self._labels else {}
        found: dict[str, list[Any]] = {}
        for head in self.heads:
            if head.of != "label":
                read = _read(self._decoders[head.name], str(head.path), records)
                types = {kind for kind, name in JSON_TYPES.items() if name in head.types}
                found[head.name] = [value if type(value) in types else None for value in read]
            elif head.name in joined:
                found[head.name] = joined[head.name]
        return found


def _read(decoder: Decoder, path: str, records: Sequence[Record]) -> list[Any]:
    """Return what each record says at a path; ``None`` where it cannot be read."""
    decoded = decoder.decode(records)
    values = decoded.columns[path]
    if len(values) == len(records):
        return values
    found: list[Any] = [None] * len(records)
    for row, value in zip(decoded.rows.tolist(), values, strict=True):
        found[row] = value
    return found


@dataclass(slots=True)
class TargetExtractor:
    """What a partition's records say of the heads' questions, by offset."""

    questions: Questions
    heads: Sequence[AnyHead]
    partition: int
    split_column: str | None
    words: dict[int, Any] = field(default_factory=dict)
    offset: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    forgets: dict[bytes, int] = field(default_factory=dict)

    def take(self, records: Sequence[Record]) -> None:
        """Look at records: their targets, and the last forget of each key."""
        for record in records:
            if record.value is None and record.key is not None:
                self.forgets[record.key] = record.offset
            elif self.split_column is not None:
                self.words[record.offset] = value_at(record.value, self.split_column)
        if not self.heads:
            return
        self.offset += [record.offset for record in records]
        answers = self.questions.answers(self.partition, records)
        for head in self.heads:
            values = answers.get(head.name, [None] * len(records))
            self.values.setdefault(head.name, []).extend(learned(head, values).tolist())

    def at(self, offset: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        """Return a head's values at some offsets, NaN where there is none."""
        found = np.full(len(offset), np.nan)
        if self.offset:
            known = np.array(self.offset, np.int64)
            place = np.minimum(np.searchsorted(known, offset), len(known) - 1)
            values = np.array(self.values[name])[place]
            found = np.where(known[place] == offset, values, np.nan)
        return found

    def answer(self, heads: Sequence[AnyHead], found: Steps) -> tuple[Columns, Columns]:
        """Return what events themselves say, and what was to be predicted, as it is learned.

        Both are NaN where there is nothing.
        """
        runs = found.runs(self.forgets)
        own: Columns = {}
        for head in heads:
            if isinstance(head, TimeToNext):
                own[head.name] = learned(head, _since_previous_s(found.time_ms, runs))
            else:
                own[head.name] = self.at(found.offset, head.name)
        return own, {head.name: following(head, own[head.name], runs) for head in heads}


def target_extractor(
    model: Model,
    settings: Settings,
    labels: Labels | None,
    partition: int,
    split_column: str | None,
) -> TargetExtractor:
    """Prepare the decoding of the heads' fields."""
    questions = Questions(model.spec, settings, labels)
    return TargetExtractor(questions, questions.heads, partition, split_column=split_column)


def _since_previous_s(time_ms: NDArray[np.int64], runs: Runs) -> NDArray[np.float64]:
    """Return seconds since the latest event of the same run (N,); NaN at its first."""
    begins = np.zeros(len(time_ms), bool)
    begins[runs.first] = True
    times = time_ms[runs.order]
    before = latest_before(times, np.cumsum(begins), begins, times)
    found = np.empty(len(times))
    found[runs.order] = np.where(begins, np.nan, np.maximum(times - before, 0) / 1000)
    return found
