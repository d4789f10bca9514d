"""Predictions beside the targets that came, event by event.

The worker's own processor folds the log; ``training/targets.py`` decodes what came from the same records.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError, SpecError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import PredictionBatch
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import Log, Range, topic_partitions
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.training.labels import Labels
from stream_rnn.training.splits import Placed
from stream_rnn.training.targets import Columns, Steps, target_extractor
from stream_rnn.training.validation import joined

HELD_MAX = 64  # classes of which probabilities are held until it is known what came

OnProgress = Callable[[int], None]


@dataclass(slots=True)
class PredictionsWithTargets:
    """What a model said of a log's events.  N events, K keys, in offset order by partition.

    Attributes:
        keys: K record keys.
        key: (N,) number of each event's key.
        partition: (N,) source partitions.
        offset: (N,) source offsets.
        time_ms: (N,) event times.
        steps: (N,) events in the memory that answered, this one included.
        outputs: head -> (N,), classes ranked.
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
    outputs: dict[str, Output]
    own: Columns
    targets: Columns
    skips: dict[str, int]
    words: list[Any]

    @property
    def placed(self) -> Placed:
        """What a split looks at."""
        keys = [self.keys[i] for i in self.key.tolist()]
        return Placed(keys, self.time_ms, self.partition, self.offset, self.words)


class Collector:
    """A sink that keeps what is predicted as columns, and publishes nothing.

    Args:
        heads: whose outputs are kept.
        targets: what will have come of all predictions, if it is known: classes are ranked at once.
    """

    def __init__(self, heads: Sequence[AnyHead], targets: Columns | None = None) -> None:
        self._heads = heads
        self._targets = targets
        self._keys: list[bytes] = []
        self._offset: list[NDArray[np.int64]] = []
        self._time_ms: list[NDArray[np.int64]] = []
        self._steps: list[NDArray[np.int64]] = []
        self._outputs: dict[str, list[Output]] = {head.name: [] for head in self._heads}

    def predictions(self, predicted: PredictionBatch, origin: int) -> list[Message]:  # noqa: ARG002  # it publishes nothing
        """Keep N predictions."""
        place = slice(len(self._keys), len(self._keys) + len(predicted.keys))
        self._keys.extend(predicted.keys)
        self._offset.append(predicted.offsets)
        self._time_ms.append(predicted.time_ms)
        self._steps.append(predicted.steps)
        for head in self._heads:
            values = predicted.outputs[head.name]
            kept: Output = np.array(values)
            if self._targets is not None and values.ndim == 2:
                kept = RankedClasses.of(values, self._targets[head.name][place])
            self._outputs[head.name].append(kept)
        return []

    def dead_letters(
        self,
        skipped: Sequence[tuple[Record, RecordError]],  # noqa: ARG002  # see above
        origin: int,  # noqa: ARG002  # see above
    ) -> list[Message]:
        """Drop skipped records: the fold counts them."""
        return []

    @property
    def found(self) -> Steps:
        """Where and when the events were."""
        number: dict[bytes, int] = {}
        key = np.array([number.setdefault(k, len(number)) for k in self._keys], np.int64)
        offset, time_ms, steps = (
            np.concatenate([np.zeros(0, np.int64), *some])
            for some in (self._offset, self._time_ms, self._steps)
        )
        return Steps(list(number), key, offset, time_ms, steps)

    def answers(self, targets: Columns) -> dict[str, Output]:
        """Return for each head its outputs (N,), classes ranked against what came."""
        found: dict[str, Output] = {}
        for head in self._heads:
            kept = self._outputs[head.name]
            if isinstance(head, Multiclass) and self._targets is None:
                ends = np.cumsum([0, *map(len, kept)]).tolist()
                target = targets[head.name]
                kept = [
                    RankedClasses.of(rows, target[a:b])
                    for rows, (a, b) in zip(kept, pairwise(ends), strict=True)
                    if not isinstance(rows, RankedClasses)
                ]
            found[head.name] = joined(head, kept)
        return found


async def fold_outcomes(
    log: Log,
    model: Model,
    settings: Settings,
    labels: Labels | None = None,
    split_column: str | None = None,
    store: Callable[[], MemoryStore] = MemoryStore,
    on_progress: OnProgress = lambda _records: None,
) -> PredictionsWithTargets:
    """Fold a log and find what came of each prediction.

    Args:
        log: opened.
        model: what is stepped.
        settings: names of app and source, and all that is in the fold id.
        labels: of the heads that need some.
        split_column: dotted path of the field that a split goes by.
        store: makes the store of each partition's states.
        on_progress: how many records were read, now and then.

    Raises:
        SpecError: the log holds no valid event.
        ConfigError: labels do not say of which partition they are, or none is of an event.
    """
    ranges = await log.ranges()
    if labels is not None:
        labels.check(log.name, topic_partitions(ranges))
    parts = [
        await _fold_range(log, wanted, model, settings, labels, split_column, store, on_progress)
        for wanted in ranges
    ]
    skips: dict[str, int] = {}
    for part in parts:
        for code, count in part.skips.items():
            skips[code] = skips.get(code, 0) + count
    if not any(len(part.offset) for part in parts):
        raise SpecError(f"{log.name} holds no valid event; skipped: {skips or 'none'}")
    if labels is not None:
        labels.check_joined(log.name)
    return _joined(model.spec.heads, parts, skips)


async def _fold_range(
    log: Log,
    wanted: Range,
    model: Model,
    settings: Settings,
    labels: Labels | None,
    split_column: str | None,
    store: Callable[[], MemoryStore],
    on_progress: OnProgress,
) -> PredictionsWithTargets:
    """Fold one partition: twice, if its answers are too wide to be held until it is known what came.

    1  fold and keep only how long the memories are: which events are skipped, even by a step that
       is not finite, is known then
    2  find what came
    3  fold again, and rank the answers as they come
    """
    partition, heads = wanted.partition, model.spec.heads
    extractor = target_extractor(model, settings, labels, partition, split_column)
    if not any(isinstance(head, Multiclass) and head.width > HELD_MAX for head in heads):
        collector = Collector(heads)
        skips = await _fold(
            log, wanted, model, settings, collector, store(), extractor.take, on_progress
        )
        own, targets = extractor.answer(heads, collector.found)
    else:
        counter = Collector(())
        first, second = (lambda n: on_progress(n - n // 2)), (lambda n: on_progress(n // 2))
        await _fold(log, wanted, model, settings, counter, MemoryStore(), extractor.take, first)
        own, targets = extractor.answer(heads, counter.found)
        collector = Collector(heads, targets)
        skips = await _fold(log, wanted, model, settings, collector, store(), _nothing, second)
    found = collector.found
    words = [extractor.words[o] for o in found.offset.tolist()] if split_column else []
    return PredictionsWithTargets(
        keys=found.keys,
        key=found.key,
        partition=np.full(len(found.offset), partition, np.int64),
        offset=found.offset,
        time_ms=found.time_ms,
        steps=found.steps,
        outputs=collector.answers(targets),
        own=own,
        targets=targets,
        skips=skips,
        words=words,
    )


async def _fold(
    log: Log,
    wanted: Range,
    model: Model,
    settings: Settings,
    collector: Collector,
    store: MemoryStore,
    take: Callable[[Sequence[Record]], None],
    on_progress: OnProgress,
) -> dict[str, int]:
    """Fold one partition's records; return how many were skipped, by reason."""

    async def watched() -> AsyncIterator[Sequence[Record]]:
        async for records in log.batches(wanted):
            take(records)
            yield records
            on_progress(len(records))

    counts = await replay_partition(
        model,
        settings,
        wanted.partition,
        wanted.start,
        watched(),
        lambda _predictions, _dead_letters: None,
        sink=collector,
        store=store,
    )
    return dict(counts.skips)


def _nothing(_records: Sequence[Record]) -> None:
    """Take records, and look at none."""


def _joined(
    heads: Sequence[AnyHead], parts: Sequence[PredictionsWithTargets], skips: dict[str, int]
) -> PredictionsWithTargets:
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

    return PredictionsWithTargets(
        keys=list(number),
        key=np.concatenate(keys),
        partition=column("partition"),
        offset=column("offset"),
        time_ms=column("time_ms"),
        steps=column("steps"),
        outputs={
            head.name: joined(head, [part.outputs[head.name] for part in parts]) for head in heads
        },
        own={name: np.concatenate([part.own[name] for part in parts]) for name in first.own},
        targets={
            name: np.concatenate([part.targets[name] for part in parts]) for name in first.targets
        },
        skips=skips,
        words=[word for part in parts for word in part.words],
    )
