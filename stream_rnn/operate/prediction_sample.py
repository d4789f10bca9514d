"""A sample of the predictions for the dashboard: the last ones, then new ones."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from stream_rnn.errors import DecodeError, StreamRNNError, reason
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.kafka.clients import new_consumer, stop_consumer
from stream_rnn.kafka.connection import connection_options
from stream_rnn.operate.open_fold import Fold
from stream_rnn.predictions.schema import (
    BinaryOutput,
    ClassOutput,
    NumberOutput,
    Prediction,
    QuantileOutput,
)

logger = logging.getLogger(__name__)

POLL_RECORDS_MAX = 400
POLL_S = 0.5
TOPIC_RETRY_S = 2.0
SAMPLES_MAX = 4_000
LATENCY_WINDOW_S = 30.0
BINS = 20
FLOAT32_MAX = 3.4e38
OUTPUTS = {
    "binary": BinaryOutput,
    "multiclass": ClassOutput,
    "quantile": QuantileOutput,
    "regression": NumberOutput,
    "time_to_next": NumberOutput,
}
CLASSES_SHOWN = 12

Json = dict[str, Any]


class Sampler:
    """Reads the last predictions of a topic, then a sample of the new ones.

    The sampler keeps the delays and outputs of the sample.  When predictions come faster than it
    can read, it skips some.  It joins no consumer group, and commits no offsets.

    Args:
        fold: An open fold.
        wall: Clock that returns seconds since 1970.
    """

    def __init__(self, fold: Fold, wall: Callable[[], float]) -> None:
        settings = fold.settings
        self._fold, self._wall = fold, wall
        self._topic = settings.predictions
        self._delays: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)
        self._decoder = model_decoder(fold.model)
        self._fingerprint = fold.model.fingerprint[:16]
        self._kinds = {head.name: OUTPUTS[head.kind] for head in fold.model.spec.heads}
        rated = (surprise_name(head.name) for head in fold.model.surprise.heads)
        self._outputs = {
            name: deque[float | str](maxlen=SAMPLES_MAX) for name in (*self._kinds, *rated)
        }
        self._has_topic = True
        self._has_begun = False
        self._offsets = self._records = 0

    async def run(self) -> None:
        """Read until cancelled.  After an error, this method may be called again.

        Raises:
            KafkaError: Kafka answered with an error.
            TimeoutError: Kafka did not answer within ``kafka_timeout_s``.
        """
        settings = self._fold.settings
        partitions = await self._await_topic()
        consumer = new_consumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            **connection_options(settings),
        )
        try:
            async with asyncio.timeout(settings.kafka_timeout_s):
                await consumer.start()
                places = [TopicPartition(self._topic, number) for number in range(partitions)]
                consumer.assign(places)
                starts = await consumer.beginning_offsets(places)
                ends = await consumer.end_offsets(places)
            if not self._has_begun:
                await self._read_last(starts, ends)
            for tp, end in ends.items():
                consumer.seek(tp, end)
            while True:
                async with asyncio.timeout(settings.kafka_timeout_s + POLL_S):
                    fetched = await consumer.getmany(
                        timeout_ms=int(1000 * POLL_S), max_records=POLL_RECORDS_MAX
                    )
                now_s = self._wall()
                records = [record for batch in fetched.values() for record in batch]
                for record in records:
                    if self._add(record.value):
                        self._delays.append((now_s, 1000 * now_s - record.timestamp))
                if len(records) == POLL_RECORDS_MAX:
                    await asyncio.sleep(0.2)
                    async with asyncio.timeout(settings.kafka_timeout_s):
                        await consumer.seek_to_end(*places)
        finally:
            await stop_consumer(consumer, settings.revoke_timeout_s)

    async def _await_topic(self) -> int:
        """Wait until the topic exists, and return the number of its partitions.

        The first worker creates the topic.  Until then, a consumer would request its metadata again
        and again without a pause.
        """
        while True:
            topic = (await self._fold.cluster.topics(self._topic))[self._topic]
            self._has_topic = topic.partitions > 0
            if self._has_topic:
                return topic.partitions
            await asyncio.sleep(TOPIC_RETRY_S)

    async def _read_last(
        self, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> None:
        """Read the last predictions of each partition, at most ``SAMPLES_MAX`` in total.

        Stops after ``kafka_timeout_s``, so that new predictions are sampled in any case.
        """
        cluster, per_partition = self._fold.cluster, max(1, SAMPLES_MAX // len(ends))
        try:
            async with asyncio.timeout(self._fold.settings.kafka_timeout_s):
                for tp, end in ends.items():
                    start = max(starts[tp], end - per_partition)
                    self._offsets += end - start
                    async with aclosing(cluster.batches(tp, start, end)) as batches:
                        async for records in batches:
                            for record in records:
                                self._add(record.value)
        except (StreamRNNError, TimeoutError) as error:
            logger.warning("cannot read the last predictions: %s", reason(error))
        self._has_begun = True

    def _add(self, payload: bytes | None) -> bool:
        """Add a record to the sample, and return whether it is a prediction of this bundle."""
        self._records += 1
        try:
            prediction = self._decoder.parse(payload or b"")
        except DecodeError:
            return False
        if prediction.fingerprint != self._fingerprint:
            return False  # a prediction of another bundle, during a rollout
        for name, output in prediction.outputs.items():
            if not isinstance(output, self._kinds.get(name, ())):
                continue  # another program wrote it
            match output:
                case BinaryOutput(probability=value) | NumberOutput(value=value):
                    self._outputs[name].append(value)
                case QuantileOutput(root=quantiles):
                    values = list(quantiles.values())
                    self._outputs[name].append(values[len(values) // 2])
                case ClassOutput(label=label):
                    self._outputs[name].append(label)
        self._add_surprises(prediction)
        return True

    def _add_surprises(self, prediction: Prediction) -> None:
        for head, surprise in (prediction.surprise or {}).items():
            if surprise is not None and (name := surprise_name(head)) in self._outputs:
                self._outputs[name].append(surprise)

    def sample(self) -> Json:
        """Return whether the topic exists and was read to its end, and how much of it was read.

        ``offsets`` counts also those of aborted records and of markers.
        """
        return {
            "has_topic": self._has_topic,
            "has_begun": self._has_begun,
            "offsets": self._offsets,
            "records": self._records,
        }

    def latency_ms(self) -> Json | None:
        """Return quantiles of the delay from timestamp to reading, in the last 30 seconds."""
        since = self._wall() - LATENCY_WINDOW_S
        delays = [delay for at, delay in self._delays if at >= since]
        if not delays:
            return None
        p50, p99 = np.quantile(delays, [0.5, 0.99]).tolist()
        return {"p50": p50, "p99": p99, "sample": len(delays)}

    def outputs(self) -> Json:
        """Return the distribution of the sampled outputs and surprises of each head."""
        return {
            name: distribution(list(values)) for name, values in self._outputs.items() if values
        }


def surprise_name(head: str) -> str:
    """Return the name of a head's surprise beside the outputs; names of heads have no blank."""
    return f"{head} surprise"


def distribution(values: list[float | str]) -> Json:
    """Count outputs by class, or by bin for numbers."""
    if isinstance(values[0], str):
        counts: dict[str, int] = {}
        for word in values:
            counts[str(word)] = counts.get(str(word), 0) + 1
        ranked = sorted(counts.items(), key=lambda pair: -pair[1])
        shown, rest = ranked[:CLASSES_SHOWN], sum(n for _, n in ranked[CLASSES_SHOWN:])
        pairs = [*shown, *([("(others)", rest)] if rest else [])]
        return {"kind": "classes", "labels": [w for w, _ in pairs], "counts": [n for _, n in pairs]}
    numbers = np.clip(np.array(values, np.float64), -FLOAT32_MAX, FLOAT32_MAX)
    low, high = np.quantile(numbers, [0.005, 0.995]).tolist()
    if numbers.min() >= 0 and numbers.max() <= 1:
        low, high = 0.0, 1.0
    high = max(high, low + 1e-9, low + 1e-6 * abs(low))
    counted, edges = np.histogram(np.clip(numbers, low, high), BINS, (low, high))
    return {"kind": "numbers", "edges": edges.tolist(), "counts": counted.tolist()}
