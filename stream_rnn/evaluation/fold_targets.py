"""The targets of joined predictions, from the records of the source in their range.

The target of a head of the next event is known as soon as the key's next event is in the range.
An event is one that either fold predicts.  A key's last event in the range has no target, because
nothing is known about the key afterwards, not even that it has ended.  The time since the previous
event is taken from the events in the range alone.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.options import INT64_MAX
from stream_rnn.rollout.fold_predictions import JoinedPartition
from stream_rnn.settings import FoldSettings
from stream_rnn.training.labels import Labels
from stream_rnn.training.targets import (
    Columns,
    FoldedEvents,
    TargetExtractor,
    make_target_extractor,
)

OFFSETS_FACTOR = 8
"""Source offsets to read for each event that is predicted; records may be skipped or filtered."""


async def read_targets(
    cluster: KafkaCluster,
    joined: Sequence[JoinedPartition],
    heads: Sequence[AnyHead],
    model: Model,
    settings: FoldSettings,
    labels: Labels | None,
    on_records: Callable[[str, int], None],
) -> Columns:
    """Read the source in the range of each partition, and return the targets of the joined events.

    Args:
        cluster: Open clients of Kafka.
        joined: Joined partitions.
        heads: Compared heads.
        model: Model whose spec reads the records.
        settings: Settings of the workers.
        labels: Labels of the heads with ``of = "label"``; ``None`` for none.
        on_records: Called with the source and the number of records read since the last call.

    Returns:
        Head -> targets (N,) of the joined events in the order of their partitions and offsets,
        encoded as for training; NaN where there is none.

    Raises:
        ConfigError: No label joins an event.
        FencedError: Kafka does not answer.
    """
    parts: list[Columns] = []
    for one in joined:
        extractor = make_target_extractor(model, settings, labels, one.partition, None)
        offsets = one.offsets
        first = max(one.first, one.last + 1 - OFFSETS_FACTOR * max(len(offsets), 1))
        tp = TopicPartition(settings.source, one.partition)
        start = max(first, await cluster.log_start(tp))
        async with aclosing(cluster.batches(tp, start, one.last + 1)) as batches:
            async for records in batches:
                extractor.add(records)
                on_records(settings.source, len(records))
        parts.append(targets_of(heads, one, extractor))
    if labels is not None:
        labels.check_joined(settings.source)
    return {head.name: np.concatenate([part[head.name] for part in parts]) for head in heads}


def targets_of(
    heads: Sequence[AnyHead], joined: JoinedPartition, extractor: TargetExtractor
) -> Columns:
    """Return the targets (N,) of the joined events of one partition; NaN where there is none.

    Args:
        heads: Compared heads.
        joined: Joined partition.
        extractor: Extractor that has all records of the range that are to be used.
    """
    events = _events(joined)
    if not len(events.offset):
        return {head.name: np.zeros(0) for head in heads}
    extractor.forgets = dict.fromkeys(events.keys, INT64_MAX)  # no key is known to have ended
    _, targets = extractor.extract(heads, events)
    is_joined: NDArray[np.bool_] = np.isin(events.offset, joined.joined)
    return {head.name: targets[head.name][is_joined] for head in heads}


def _events(joined: JoinedPartition) -> FoldedEvents:
    """Return the events of the range, of which each key's first one begins a memory.

    A memory also begins where every prediction of the event says so.  A candidate from a later
    origin begins some memories later than the fold in charge, which changes no target.
    """
    number: dict[bytes, int] = {}
    key, time_ms, steps = [], [], []
    offsets = joined.offsets
    for offset in offsets:
        found = [side[offset] for side in (joined.old, joined.new) if offset in side]
        is_new = found[0].key not in number
        key.append(number.setdefault(found[0].key, len(number)))
        time_ms.append(found[0].time_ms)
        steps.append(1 if is_new else max(prediction.steps for prediction in found))
    arrays = (np.array(values, np.int64) for values in (key, offsets, time_ms, steps))
    return FoldedEvents(list(number), *arrays)
