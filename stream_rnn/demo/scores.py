"""Scores of the demo: labels of its events, and folds in this process."""

import asyncio
from collections.abc import Callable, Sequence

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
from stream_rnn.settings import FoldSettings

HEAD = "late"


class Labels:
    """Labels of the events: whether the next departure of the same key is late.

    Attributes:
        is_late: (N,) labels.
        has_label: (N,) whether an event has a label: whether the key has a next departure.
        is_test: (N,) whether an event lies in the test months, of which no bundle was trained on any.
        is_scored: (N,) whether an event has a label and lies in the test months; if no event lies
            in the test months, whether it has a label.
        reaches_test: Whether any event lies in the test months.
    """

    def __init__(self, events: Sequence[Departure]) -> None:
        self.is_late = np.zeros(len(events), bool)
        self.has_label = np.zeros(len(events), bool)
        following: dict[bytes, bool] = {}
        for i in range(len(events) - 1, -1, -1):
            key = events[i].key
            if key in following:
                self.has_label[i], self.is_late[i] = True, following[key]
            following[key] = events[i].is_late
        self.is_test = np.fromiter(
            (e.departed_ms >= TEST_FROM_MS for e in events), bool, len(events)
        )
        self.reaches_test = bool(self.is_test.any())
        self.is_scored = self.has_label & self.is_test if self.reaches_test else self.has_label

    def auc(
        self, probabilities: NDArray[np.float64], among: NDArray[np.bool_] | None = None
    ) -> float | None:
        """Return the area under the ROC curve over events that have a label and a prediction.

        Args:
            probabilities: (N,) predicted probabilities; NaN without a prediction.
            among: (N,) events to score; ``None`` takes ``is_scored``.
        """
        chosen = self.is_scored if among is None else self.has_label & among
        chosen = chosen & np.isfinite(probabilities)
        area = area_under_roc(self.is_late[chosen], probabilities[chosen])
        return None if np.isnan(area) else float(area)


def probability(value: bytes) -> float:
    """Return the probability in a prediction."""
    return float(orjson.loads(value)["outputs"][HEAD]["probability"])


def fold_locally(
    model: Model,
    settings: FoldSettings,
    events: Sequence[Departure],
    events_by_partition: Sequence[Sequence[int]],
) -> NDArray[np.float64]:
    """Fold the events in this process and return the predicted probabilities (N,).

    Args:
        model: The model, with or without memory.
        settings: Settings of the fold.
        events: N events.
        events_by_partition: For each partition, the indices of its events in offset order.
    """
    probabilities = np.full(len(events), np.nan)

    async def fold_all() -> None:
        for partition, event_indices in enumerate(events_by_partition):

            def emit(
                predictions: Sequence[Message],
                _dead: Sequence[Message],
                event_indices: Sequence[int] = event_indices,
            ) -> None:
                for message in predictions:
                    offset = int(dict(message.headers)["sr-offset"])
                    probabilities[event_indices[offset]] = probability(message.value or b"")

            records = (
                LogRecord(offset, events[i].departed_ms, events[i].key, events[i].value)
                for offset, i in enumerate(event_indices)
            )
            await replay_partition(model, settings, partition, 0, in_batches(records), emit)

    asyncio.run(fold_all())
    return probabilities


async def count_different(
    model: Model,
    settings: FoldSettings,
    events_by_partition: Sequence[Sequence[int]],
    values: Sequence[bytes | None],
) -> int:
    """Fold the source topic again and count the published predictions that differ in any byte.

    Args:
        model: The model of the workers.
        settings: Settings of the fold, which name the source and the broker.
        events_by_partition: For each partition, the indices of its events in offset order.
        values: Published value of each event; ``None`` without one.
    """
    different = 0

    def compare(number: int, replayed: bytes | None) -> None:
        nonlocal different
        different += values[number] is not None and values[number] != replayed

    await replay_topic(model, settings, events_by_partition, compare)
    return different


async def replay_topic(
    model: Model,
    settings: FoldSettings,
    events_by_partition: Sequence[Sequence[int]],
    on_prediction: Callable[[int, bytes | None], None],
) -> None:
    """Fold the source topic again.

    Args:
        model: The model of the workers.
        settings: Settings of the fold, which name the source and the broker.
        events_by_partition: For each partition, the indices of its events in offset order.
        on_prediction: Called with index of the event and value of each prediction.
    """
    async with KafkaCluster.of(settings) as cluster:
        for partition, event_indices in enumerate(events_by_partition):

            def emit(
                predictions: Sequence[Message],
                _dead: Sequence[Message],
                event_indices: Sequence[int] = event_indices,
            ) -> None:
                for message in predictions:
                    offset = int(dict(message.headers)["sr-offset"])
                    on_prediction(event_indices[offset], message.value)

            tp = TopicPartition(settings.source, partition)
            batches = cluster.batches(tp, 0, await cluster.log_end(tp))
            await replay_partition(model, settings, partition, 0, batches, emit)
