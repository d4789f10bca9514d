"""The targets of the heads: what a log's records say about them.

The fields that the heads ask for are decoded from the records that are folded, and from nothing
else, head by head: one that is not of its head's type costs that label, no event and no other label.
Training and evaluation both ask here.  The label of a next-event head is the field of the
key's next event if that one goes on in the same memory: its ``steps`` are one more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass, TimeToNext
from stream_rnn.model.network import Model
from stream_rnn.replay.labels import Labels, value_at
from stream_rnn.settings import Settings
from stream_rnn.training.examples import fitting, learned

Columns = dict[str, NDArray[np.float64]]  # head -> (N,)


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
                found[head.name] = fitting(head, read)
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
        key, offset, steps = found.key, found.offset, found.steps
        by_key = np.lexsort((offset, key))  # key by key, in offset order
        follows = np.zeros(len(by_key), bool)  # whether the next one goes on in the same memory
        follows[:-1] = (np.diff(key[by_key]) == 0) & (steps[by_key][1:] == steps[by_key][:-1] + 1)
        forgotten = np.array([self.forgets.get(k, -1) for k in found.keys], np.int64)
        is_last = np.append(np.diff(key[by_key]) != 0, True)[: len(by_key)]
        closes = is_last & (offset[by_key] > forgotten[key[by_key]])
        own: Columns = {}
        targets: Columns = {}
        for head in heads:
            if isinstance(head, TimeToNext):
                since = _since_previous_s(found.time_ms[by_key], steps[by_key])
                own[head.name] = _unsorted(learned(head, since), by_key)
            else:
                own[head.name] = self.at(offset, head.name)
            targets[head.name] = own[head.name]
            if head.of == "next":
                following = np.append(own[head.name][by_key][1:], np.nan)[: len(by_key)]
                following = np.where(follows, following, np.nan)
                if isinstance(head, Multiclass) and head.end:
                    following = np.where(closes, len(head.classes), following)
                targets[head.name] = _unsorted(following, by_key)
        return own, targets


def target_extractor(
    model: Model,
    settings: Settings,
    labels: Labels | None,
    partition: int,
    split_column: str | None,
) -> TargetExtractor:
    """Prepare the decoding of the heads' fields."""
    questions = Questions(model.spec, settings, labels)
    return TargetExtractor(questions, questions.heads, partition, split_column)


def _since_previous_s(time_ms: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return seconds since the latest event of the same memory; NaN at its first.

    Args:
        time_ms: (N,) memory by memory.
        steps: (N,) 1 where a memory begins.
    """
    if not len(time_ms):
        return np.zeros(0)
    memory = np.cumsum(steps == 1).astype(np.int64)
    times, rank = np.unique(time_ms, return_inverse=True)
    before = memory * len(time_ms)  # by ranks: millions of memories over 10,000 years fit no int64
    latest = times[np.maximum.accumulate(rank + before) - before]
    since = np.append(np.nan, np.maximum(time_ms[1:] - latest[:-1], 0) / 1000)
    return np.where(steps == 1, np.nan, since)


def _unsorted(values: NDArray[np.float64], by_key: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(len(values))
    found[by_key] = values
    return found
