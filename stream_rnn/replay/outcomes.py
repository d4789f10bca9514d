"""Outcomes: what was predicted and what came, event by event.

The worker's own processor folds the log; beside it the fields that the heads ask for are decoded
from the same records.  The label of a next-event head is the field of the key's next event if that
one goes on in the same memory: its ``steps`` are one more.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.fold.events import Decoder, Record
from stream_rnn.fold.identity import fold_id
from stream_rnn.fold.memory_store import MemoryStore
from stream_rnn.model.examples import learned
from stream_rnn.model.heads import AnyHead, Multiclass, TimeToNext
from stream_rnn.model.model import Model
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.replay.labels import Labels, value_at
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.replay import replay_partition
from stream_rnn.replay.splits import Placed
from stream_rnn.settings import Settings

Told = Callable[[int], None]


@dataclass(slots=True)
class Outcomes:
    """What a model said of a log's events.  N events, K keys, in offset order by partition.

    Attributes:
        keys: K record keys.
        key: (N,) number of each event's key.
        partition: (N,) source partitions.
        offset: (N,) source offsets.
        time_ms: (N,) event times.
        steps: (N,) events in the memory that answered, this one included.
        outputs: head -> (N,), for classes (N, C).
        own: head -> (N,) what the event itself says, as it is learned; NaN for nothing.
        targets: head -> (N,) what was to be predicted, as it is learned; NaN where there is none.
        skips: records by reason.
        words: N values of the column that a split goes by; empty if it goes by none.
    """

    keys: list[bytes]
    key: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]
    outputs: dict[str, NDArray[np.float32]]
    own: dict[str, NDArray[np.float64]]
    targets: dict[str, NDArray[np.float64]]
    skips: dict[str, int]
    words: list[Any]

    @property
    def placed(self) -> Placed:
        """What a split looks at."""
        keys = [self.keys[i] for i in self.key.tolist()]
        return Placed(keys, self.time_ms, self.partition, self.offset, self.words)


class _Collector(PredictionWriter):
    """A writer that keeps what it is to write, as columns, and makes no bytes."""

    def __init__(self, model: Model, settings: Settings, partition: int) -> None:
        super().__init__(
            model.spec.heads,
            model.name,
            model.fingerprint,
            model.numerics(),
            settings.source or "",
            partition,
            settings.app or "",
            fold_id(model.fingerprint, settings),
            settings.top_k,
        )
        self.keys: list[bytes] = []
        self.offset: list[NDArray[np.int64]] = []
        self.time_ms: list[NDArray[np.int64]] = []
        self.steps: list[NDArray[np.int64]] = []
        self.outputs: dict[str, list[NDArray[np.float32]]] = {h.name: [] for h in model.spec.heads}

    def write(
        self,
        keys: Sequence[bytes],
        offsets: NDArray[np.int64],
        time_ms: NDArray[np.int64],
        steps: NDArray[np.int64],
        outputs: Mapping[str, NDArray[np.float32]],
    ) -> list[bytes]:
        """Keep N predictions."""
        self.keys.extend(keys)
        self.offset.append(offsets)
        self.time_ms.append(time_ms)
        self.steps.append(steps)
        for name, values in outputs.items():
            self.outputs[name].append(np.array(values))
        return [b""] * len(keys)


@dataclass(slots=True)
class _Asked:
    """What a partition's records say of the heads' questions, by offset."""

    decoder: Decoder | None
    heads: Sequence[AnyHead]
    labels: Labels | None
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
        if self.decoder is None:
            return
        decoded = self.decoder.decode(records)
        chosen = [records[row] for row in decoded.rows.tolist()]
        self.offset += [record.offset for record in chosen]
        labels = self.labels.of(self.partition, chosen) if self.labels else {}
        for head in self.heads:
            column = labels[head.name] if head.of == "label" else decoded.columns[str(head.path)]
            self.values.setdefault(head.name, []).extend(learned(head, column).tolist())

    def at(self, offset: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        """Return a head's values at some offsets, NaN where there is none."""
        found = np.full(len(offset), np.nan)
        if self.offset:
            known = np.array(self.offset, np.int64)
            place = np.minimum(np.searchsorted(known, offset), len(known) - 1)
            values = np.array(self.values[name])[place]
            found = np.where(known[place] == offset, values, np.nan)
        return found


async def fold_outcomes(
    log: Log,
    model: Model,
    settings: Settings,
    labels: Labels | None = None,
    split_column: str | None = None,
    store: Callable[[], MemoryStore] = MemoryStore,
    told: Told = lambda _records: None,
) -> Outcomes:
    """Fold a log and find what came of each prediction.

    Args:
        log: opened.
        model: what is stepped.
        settings: names of app and source, and all that is in the fold id.
        labels: of the heads that need some.
        split_column: dotted path of the field that a split goes by.
        store: makes the store of each partition's states.
        told: how many records were read, now and then.

    Raises:
        SpecError: the log holds no valid event.
    """
    parts = [
        await _fold_range(log, wanted, model, settings, labels, split_column, store, told)
        for wanted in await log.ranges()
    ]
    skips: dict[str, int] = {}
    for part in parts:
        for code, count in part.skips.items():
            skips[code] = skips.get(code, 0) + count
    if not any(len(part.offset) for part in parts):
        raise SpecError(f"{log.name} holds no valid event; skipped: {skips or 'none'}")
    return _joined(parts, skips)


async def _fold_range(
    log: Log,
    wanted: Range,
    model: Model,
    settings: Settings,
    labels: Labels | None,
    split_column: str | None,
    store: Callable[[], MemoryStore],
    told: Told,
) -> Outcomes:
    asked = _ask(model, settings, labels, wanted.partition, split_column)
    collector = _Collector(model, settings, wanted.partition)

    async def watched() -> AsyncIterator[Sequence[Record]]:
        async for records in log.batches(wanted):
            asked.take(records)
            yield records
            told(len(records))

    counts = await replay_partition(
        model,
        settings,
        wanted.partition,
        wanted.start,
        watched(),
        lambda _predictions, _dead_letters: None,
        writer=collector,
        store=store(),
    )
    return _outcomes(model, collector, asked, wanted.partition, counts.skips)


def _ask(
    model: Model,
    settings: Settings,
    labels: Labels | None,
    partition: int,
    split_column: str | None,
) -> _Asked:
    """Prepare the decoding of the heads' fields alone: a bad one costs its label, no event."""
    heads = [head for head in model.spec.heads if not isinstance(head, TimeToNext)]
    plain = [head for head in heads if head.of != "label"]
    bare = model.spec.model_copy(update={"features": (), "heads": tuple(plain)})
    decoder = Decoder(bare, settings, with_targets=True) if heads else None
    return _Asked(decoder, heads, labels, partition, split_column)


def _outcomes(
    model: Model, found: _Collector, asked: _Asked, partition: int, skips: dict[str, int]
) -> Outcomes:
    number: dict[bytes, int] = {}
    key = np.array([number.setdefault(k, len(number)) for k in found.keys], np.int64)
    offset, time_ms, steps = (
        np.concatenate([np.zeros(0, np.int64), *some])
        for some in (found.offset, found.time_ms, found.steps)
    )
    by_key = np.lexsort((offset, key))  # key by key, in offset order
    follows = np.zeros(len(by_key), bool)  # whether the next one goes on in the same memory
    follows[:-1] = (np.diff(key[by_key]) == 0) & (steps[by_key][1:] == steps[by_key][:-1] + 1)
    forgotten = np.array([asked.forgets.get(k, -1) for k in number], np.int64)
    is_last = np.append(np.diff(key[by_key]) != 0, True)[: len(by_key)]
    closes = is_last & (offset[by_key] > forgotten[key[by_key]])
    own: dict[str, NDArray[np.float64]] = {}
    known: dict[str, NDArray[np.float64]] = {}
    for head in model.spec.heads:
        if isinstance(head, TimeToNext):
            since = _since_previous_s(time_ms[by_key], steps[by_key])
            own[head.name] = _unsorted(learned(head, since), by_key)
        else:
            own[head.name] = asked.at(offset, head.name)
        known[head.name] = own[head.name]
        if head.of == "next":
            following = np.append(own[head.name][by_key][1:], np.nan)[: len(by_key)]
            following = np.where(follows, following, np.nan)
            if isinstance(head, Multiclass) and head.end:
                following = np.where(closes, len(head.classes), following)
            known[head.name] = _unsorted(following, by_key)
    outputs = {name: np.concatenate(some) for name, some in found.outputs.items() if some}
    places = np.full(len(offset), partition, np.int64)
    words = [asked.words[o] for o in offset.tolist()] if asked.split_column else []
    return Outcomes(
        list(number), key, places, offset, time_ms, steps, outputs, own, known, dict(skips), words
    )


def _since_previous_s(time_ms: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return seconds since the latest event of the same memory; NaN at its first.

    Args:
        time_ms: (N,) memory by memory.
        steps: (N,) 1 where a memory begins.
    """
    if not len(time_ms):
        return np.zeros(0)
    memory = np.cumsum(steps == 1).astype(np.int64)
    span = int(time_ms.max()) - int(time_ms.min()) + 1
    running = np.maximum.accumulate(time_ms - time_ms.min() + memory * span) - memory * span
    latest = running + time_ms.min()
    since = np.append(np.nan, np.maximum(time_ms[1:] - latest[:-1], 0) / 1000)
    return np.where(steps == 1, np.nan, since)


def _unsorted(values: NDArray[np.float64], by_key: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(len(values))
    found[by_key] = values
    return found


def _joined(parts: Sequence[Outcomes], skips: dict[str, int]) -> Outcomes:
    """Join partitions; a key is one key wherever its records are."""
    parts = [part for part in parts if len(part.offset)]
    number: dict[bytes, int] = {}
    keys = []
    for part in parts:
        of_key = np.array([number.setdefault(k, len(number)) for k in part.keys], np.int64)
        keys.append(of_key[part.key])
    first = parts[0]

    def column(name: str) -> NDArray[np.int64]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Outcomes(
        list(number),
        np.concatenate(keys),
        column("partition"),
        column("offset"),
        column("time_ms"),
        column("steps"),
        {name: np.concatenate([part.outputs[name] for part in parts]) for name in first.outputs},
        {name: np.concatenate([part.own[name] for part in parts]) for name in first.own},
        {name: np.concatenate([part.targets[name] for part in parts]) for name in first.targets},
        skips,
        [word for part in parts for word in part.words],
    )
