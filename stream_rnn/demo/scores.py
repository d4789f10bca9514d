"""What the demo scores: the labels of its events, and folding them in this process."""

import asyncio
from collections.abc import Sequence

import numpy as np
import orjson
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_rnn.demo.flights import TEST_FROM_MS, Departure
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.metrics.scores import area_under_roc
from stream_rnn.model.network import Model
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.settings import Settings

HEAD = "late"


class Labels:
    """What each event's prediction should have said: is the key's next departure late?

    Attributes:
        is_late: (N,) the label.
        is_scored: (N,) whether there is one, and the event is of the test months; where the events
            do not reach them, all that have a label.
    """

    def __init__(self, events: Sequence[Departure]) -> None:
        self.is_late = np.zeros(len(events), bool)
        has_label = np.zeros(len(events), bool)
        following: dict[bytes, bool] = {}
        for i in range(len(events) - 1, -1, -1):
            key = events[i].key
            if key in following:
                has_label[i], self.is_late[i] = True, following[key]
            following[key] = events[i].is_late
        is_test = np.fromiter((e.departed_ms >= TEST_FROM_MS for e in events), bool, len(events))
        self.reaches_test = bool(is_test.any())
        self.is_scored = has_label & is_test if self.reaches_test else has_label

    def auc(self, probabilities: NDArray[np.float64]) -> float | None:
        """Return the area under the ROC curve over events that are scored and predicted."""
        chosen = self.is_scored & np.isfinite(probabilities)
        area = area_under_roc(self.is_late[chosen], probabilities[chosen])
        return None if np.isnan(area) else float(area)


def probability(value: bytes) -> float:
    """Return what a prediction says."""
    return float(orjson.loads(value)["outputs"][HEAD]["probability"])


def fold_here(
    model: Model, settings: Settings, events: Sequence[Departure], places: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Fold the events in this process; return what is predicted of each (N,).

    Args:
        model: with or without memory.
        settings: of the fold.
        events: N events.
        places: for each partition the events that it holds, by number, in offset order.
    """
    found = np.full(len(events), np.nan)

    async def fold_all() -> None:
        for partition, numbers in enumerate(places):

            def emit(
                predictions: Sequence[Message],
                _dead: Sequence[Message],
                numbers: Sequence[int] = numbers,
            ) -> None:
                for message in predictions:
                    offset = int(dict(message.headers)["sr-offset"])
                    found[numbers[offset]] = probability(message.value or b"")

            records = (
                LogRecord(offset, events[i].departed_ms, events[i].key, events[i].value)
                for offset, i in enumerate(numbers)
            )
            await replay_partition(model, settings, partition, 0, in_batches(records), emit)

    asyncio.run(fold_all())
    return found


async def count_different(
    model: Model,
    settings: Settings,
    places: Sequence[Sequence[int]],
    values: Sequence[bytes | None],
) -> int:
    """Fold the source topic again; return how many published predictions differ in any byte.

    Args:
        model: that the workers stepped.
        settings: of the fold; they name the source and the broker.
        places: for each partition the events that it holds, by number, in offset order.
        values: what was published of each event; ``None`` for nothing.
    """
    wrong = 0
    async with KafkaCluster.of(settings) as cluster:
        for partition, numbers in enumerate(places):

            def compare(
                predictions: Sequence[Message],
                _dead: Sequence[Message],
                numbers: Sequence[int] = numbers,
            ) -> None:
                nonlocal wrong
                for message in predictions:
                    said = values[numbers[int(dict(message.headers)["sr-offset"])]]
                    wrong += said is not None and said != message.value

            tp = TopicPartition(settings.source, partition)
            batches = cluster.batches(tp, 0, await cluster.log_end(tp))
            await replay_partition(model, settings, partition, 0, batches, compare)
    return wrong
