"""The predictions of a model on a log, each with its target.

The processor of the worker folds the log; ``training/targets.py`` decodes the targets from the same
records.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError, SpecError
from stream_rnn.evaluation.fold_samples import FoldSamples
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import PredictionBatch
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import Log, Range, is_sorted, topic_partitions
from stream_rnn.replay.no_event import explain_no_event
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from stream_rnn.training.splits import SplitEvents
from stream_rnn.training.targets import Columns, FoldedEvents, make_target_extractor
from stream_rnn.training.validation import concatenate_outputs

STORED_CLASSES_MAX = 64  # with more classes, a second fold ranks them as it predicts

OnProgress = Callable[[int], None]


@dataclass(slots=True)
class PredictionsWithTargets:
    """N predictions of a model on a log with K keys, in offset order by partition.

    Attributes:
        keys: The K record keys.
        key: Index (N,) of each event's key in ``keys``.
        partition: Source partitions (N,).
        offset: Source offsets (N,).
        time_ms: Event times (N,), in milliseconds since 1970.
        steps: Numbers (N,) of events in the memory, the predicting event included.
        outputs: Outputs (N,) of each head; classes are ranked.
        surprises: Surprise (N,) of each head that has one; NaN where there is none.
        own_targets: For each head the value (N,) of its field in the event itself, encoded as for
            training; NaN where there is none.
        targets: For each head the targets (N,), encoded as for training; NaN where there is none.
        skips: Number of skipped records by reason; ``filtered`` counts those that are filtered.
        split_values: N values of the split column; empty if the split has no column.
    """

    keys: list[bytes]
    key: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]
    outputs: dict[str, Output]
    surprises: dict[str, NDArray[np.float32]]
    own_targets: Columns
    targets: Columns
    skips: dict[str, int]
    split_values: list[Any]

    @property
    def split_events(self) -> SplitEvents:
        """The events, as a split reads them."""
        keys = [self.keys[i] for i in self.key.tolist()]
        return SplitEvents(keys, self.time_ms, self.partition, self.offset, self.split_values)


class Collector:
    """A sink that collects predictions as columns, and publishes nothing.

    Args:
        heads: Heads whose outputs are collected.
        targets: Targets of all predictions, for ranking the classes at once; ``None`` if they
            are not known yet.
    """

    def __init__(self, heads: Sequence[AnyHead], targets: Columns | None = None) -> None:
        self._heads = heads
        self._targets = targets
        self._keys: list[bytes] = []
        self._offset: list[NDArray[np.int64]] = []
        self._time_ms: list[NDArray[np.int64]] = []
        self._steps: list[NDArray[np.int64]] = []
        self._outputs: dict[str, list[Output]] = {head.name: [] for head in self._heads}
        self._surprises: dict[str, list[NDArray[np.float32]]] = {
            head.name: [] for head in self._heads if head.surprise
        }

    def predictions(self, predicted: PredictionBatch, origin: int) -> list[Message]:  # noqa: ARG002  # it publishes nothing
        """Collect N predictions."""
        place = slice(len(self._keys), len(self._keys) + len(predicted.keys))
        self._keys.extend(predicted.keys)
        self._offset.append(predicted.offsets)
        self._time_ms.append(predicted.time_ms)
        self._steps.append(predicted.steps)
        for head in self._heads:
            values = predicted.outputs[head.name]
            output: Output = np.array(values)
            if self._targets is not None and isinstance(head, Multiclass):
                output = RankedClasses.of(values, self._targets[head.name][place])
            self._outputs[head.name].append(output)
            if head.surprise:
                self._surprises[head.name].append(predicted.surprises[head.name])
        return []

    def dead_letters(
        self,
        skipped: Sequence[tuple[Record, RecordError]],  # noqa: ARG002  # see above
        origin: int,  # noqa: ARG002  # see above
    ) -> list[Message]:
        """Drop skipped records: the fold counts them."""
        return []

    @property
    def events(self) -> FoldedEvents:
        """The events of the predictions."""
        number: dict[bytes, int] = {}
        key = np.array([number.setdefault(k, len(number)) for k in self._keys], np.int64)
        offset, time_ms, steps = (
            np.concatenate([np.zeros(0, np.int64), *arrays])
            for arrays in (self._offset, self._time_ms, self._steps)
        )
        return FoldedEvents(list(number), key, offset, time_ms, steps)

    def surprises(self) -> dict[str, NDArray[np.float32]]:
        """Return the surprise (N,) of each head that has one; NaN where there is none."""
        nothing = np.zeros(0, np.float32)
        return {n: np.concatenate([nothing, *pieces]) for n, pieces in self._surprises.items()}

    def outputs(self, targets: Columns) -> dict[str, Output]:
        """Return the outputs (N,) of each head; classes are ranked with the targets."""
        outputs: dict[str, Output] = {}
        for head in self._heads:
            pieces = self._outputs[head.name]
            if isinstance(head, Multiclass) and self._targets is None:
                ends = np.cumsum([0, *map(len, pieces)]).tolist()
                target = targets[head.name]
                pieces = [
                    RankedClasses.of(rows, target[a:b])
                    for rows, (a, b) in zip(pieces, pairwise(ends), strict=True)
                    if not isinstance(rows, RankedClasses)
                ]
            outputs[head.name] = concatenate_outputs(head, pieces)
        return outputs


async def predict_with_targets(
    log: Log,
    model: Model,
    settings: Settings,
    labels: Labels | None = None,
    split_column: str | None = None,
    samples: FoldSamples | None = None,
    on_progress: OnProgress = lambda _records: None,
) -> PredictionsWithTargets:
    """Fold a log, and return its predictions with their targets.

    Args:
        log: Log to fold; already opened.
        model: Model to step.
        settings: Settings of the fold, with the names of its app and source.
        labels: Labels of the heads with ``of = "label"``.
        split_column: Dotted path of the split column.
        samples: Samples to fill with hidden states and fields; ``None`` for none.
        on_progress: Called with the number of records read since the last call.

    Raises:
        SpecError: The log contains no valid event.
        ConfigError: The log has several partitions and the labels do not name them, or no label
            joins an event.
    """
    ranges = await log.ranges()
    if labels is not None:
        labels.check(log.name, topic_partitions(ranges), is_sorted=is_sorted(log))
    parts = [
        await _fold_range(log, each, model, settings, labels, split_column, samples, on_progress)
        for each in ranges
    ]
    skips: dict[str, int] = {}
    for part in parts:
        for code, count in part.skips.items():
            skips[code] = skips.get(code, 0) + count
    if not any(len(part.offset) for part in parts):
        raise SpecError(await explain_no_event(log, model.spec, settings))
    if labels is not None:
        labels.check_joined(log.name)
    return _concatenate(model.spec.heads, parts, skips)


async def _fold_range(
    log: Log,
    log_range: Range,
    model: Model,
    settings: Settings,
    labels: Labels | None,
    split_column: str | None,
    samples: FoldSamples | None,
    on_progress: OnProgress,
) -> PredictionsWithTargets:
    """Fold one partition; twice if a head has too many classes to store all probabilities.

    1  Fold without collecting outputs: this shows how long the memories are and which events are
       skipped, including those whose step is not finite.
    2  Extract the targets.
    3  Fold again, and rank the classes of each prediction at once.
    """
    partition, heads = log_range.partition, model.spec.heads
    extractor = make_target_extractor(model, settings, labels, partition, split_column)
    if not any(isinstance(head, Multiclass) and head.width > STORED_CLASSES_MAX for head in heads):
        collector = Collector(heads)
        skips = await _fold(
            log, log_range, model, settings, collector, samples, extractor.add, on_progress
        )
        own_targets, targets = extractor.extract(heads, collector.events)
    else:
        counter = Collector(())
        first, second = (lambda n: on_progress(n - n // 2)), (lambda n: on_progress(n // 2))
        await _fold(log, log_range, model, settings, counter, None, extractor.add, first)
        own_targets, targets = extractor.extract(heads, counter.events)
        collector = Collector(heads, targets)
        skips = await _fold(log, log_range, model, settings, collector, samples, _ignore, second)
    events = collector.events
    values = extractor.split_values
    return PredictionsWithTargets(
        keys=events.keys,
        key=events.key,
        partition=np.full(len(events.offset), partition, np.int64),
        offset=events.offset,
        time_ms=events.time_ms,
        steps=events.steps,
        outputs=collector.outputs(targets),
        surprises=collector.surprises(),
        own_targets=own_targets,
        targets=targets,
        skips=skips,
        split_values=[values[o] for o in events.offset.tolist()] if split_column else [],
    )


async def _fold(
    log: Log,
    log_range: Range,
    model: Model,
    settings: Settings,
    collector: Collector,
    samples: FoldSamples | None,
    on_records: Callable[[Sequence[Record]], None],
    on_progress: OnProgress,
) -> dict[str, int]:
    """Fold the records of one partition; return the number of skipped records by reason."""
    sampled = None if samples is None else samples.begin(log_range)

    async def read_batches() -> AsyncGenerator[Sequence[Record]]:
        async with aclosing(log.batches(log_range)) as batches:
            async for records in batches:
                on_records(records)
                for piece in [records] if sampled is None else sampled.cut(records):
                    yield piece  # the fold returns when it has committed the piece
                on_progress(len(records))
        if sampled is not None:
            sampled.end()

    counts = await replay_partition(
        model,
        settings,
        log_range.partition,
        log_range.start,
        read_batches(),
        lambda _predictions, _dead_letters: None,
        sink=collector,
        store=None if sampled is None else sampled.store,
        observer=None if sampled is None else sampled.features,
    )
    return counts.skips | ({"filtered": counts.filtered} if counts.filtered else {})


def _ignore(_records: Sequence[Record]) -> None:
    """Ignore the records."""


def _concatenate(
    heads: Sequence[AnyHead], parts: Sequence[PredictionsWithTargets], skips: dict[str, int]
) -> PredictionsWithTargets:
    """Concatenate the predictions of all partitions; a key has one index in all of them."""
    parts = [part for part in parts if len(part.offset)]
    number: dict[bytes, int] = {}
    keys = []
    for part in parts:
        number_of = np.array([number.setdefault(k, len(number)) for k in part.keys], np.int64)
        keys.append(number_of[part.key])
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
            head.name: concatenate_outputs(head, [part.outputs[head.name] for part in parts])
            for head in heads
        },
        surprises={
            name: np.concatenate([part.surprises[name] for part in parts])
            for name in first.surprises
        },
        own_targets={
            name: np.concatenate([part.own_targets[name] for part in parts])
            for name in first.own_targets
        },
        targets={
            name: np.concatenate([part.targets[name] for part in parts]) for name in first.targets
        },
        skips=skips,
        split_values=[value for part in parts for value in part.split_values],
    )
