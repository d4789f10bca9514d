"""The predictions that the dashboard shows: the last ones, then a sample of those that come."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from stream_rnn.errors import DecodeError, StreamRNNError, reason
from stream_rnn.kafka.clients import new_consumer, stop_consumer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.operate.open_fold import Fold
from stream_rnn.predictions.schema import BinaryOutput, ClassOutput, NumberOutput, Prediction

logger = logging.getLogger(__name__)

SAMPLED_AT_ONCE = 400
POLL_S = 0.5
SAMPLES_KEPT = 4_000
DELAYS_FOR_S = 30.0
BINS = 20
FLOAT32_MAX = 3.4e38
OUTPUTS = {
    "binary": BinaryOutput,
    "multiclass": ClassOutput,
    "regression": NumberOutput,
    "time_to_next": NumberOutput,
}
CLASSES_SHOWN = 12

Json = dict[str, Any]


class Sampler:
    """Reads the last predictions, then a sample as they come: how late they are, what they say.

    It never falls behind: what is too much is skipped.  It belongs to no group and commits nothing.
    """

    def __init__(self, fold: Fold, wall: Callable[[], float]) -> None:
        settings = fold.settings
        self._fold, self._wall = fold, wall
        self._topic = settings.predictions
        self._delays: deque[tuple[float, float]] = deque(maxlen=SAMPLES_KEPT)
        self._fingerprint = fold.model.fingerprint[:16]
        self._kinds = {head.name: OUTPUTS[head.kind] for head in fold.model.spec.heads}
        self._outputs = {name: deque[float | str](maxlen=SAMPLES_KEPT) for name in self._kinds}
        self._has_begun = False
        self._records = 0

    async def run(self) -> None:
        """Read until cancelled, or until Kafka is away.

        Raises:
            KafkaError: it did not answer; it may be run again.
            TimeoutError: it did not answer in time; it may be run again.
        """
        settings = self._fold.settings
        consumer = new_consumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            **kafka_options(settings.bootstrap_servers, settings.kafka_config),
        )
        try:
            async with asyncio.timeout(settings.kafka_timeout_s):
                await consumer.start()
                places = [TopicPartition(self._topic, p.partition) for p in self._fold.places]
                consumer.assign(places)
                starts = await consumer.beginning_offsets(places)
                ends = await consumer.end_offsets(places)
            if not self._has_begun:
                await self._take_last(starts, ends)
            for tp, end in ends.items():
                consumer.seek(tp, end)
            while True:
                async with asyncio.timeout(settings.kafka_timeout_s + POLL_S):
                    fetched = await consumer.getmany(
                        timeout_ms=int(1000 * POLL_S), max_records=SAMPLED_AT_ONCE
                    )
                now_s = self._wall()
                records = [record for some in fetched.values() for record in some]
                for record in records:
                    if self._take(record.value):
                        self._delays.append((now_s, 1000 * now_s - record.timestamp))
                if len(records) == SAMPLED_AT_ONCE:
                    await asyncio.sleep(0.2)
                    async with asyncio.timeout(settings.kafka_timeout_s):
                        await consumer.seek_to_end(*places)
        finally:
            await stop_consumer(consumer, settings.revoke_timeout_s)

    async def _take_last(
        self, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> None:
        """Take the last predictions of each partition, at most ``SAMPLES_KEPT`` of all together.

        What is not read within ``kafka_timeout_s`` is left out, so that the sample goes on.
        """
        cluster, each = self._fold.cluster, max(1, SAMPLES_KEPT // len(ends))
        try:
            async with asyncio.timeout(self._fold.settings.kafka_timeout_s):
                for tp, end in ends.items():
                    async for records in cluster.batches(tp, max(starts[tp], end - each), end):
                        for record in records:
                            self._take(record.value)
        except (StreamRNNError, TimeoutError) as error:
            logger.warning("the last predictions could not be read: %s", reason(error))
        self._has_begun = True

    def _take(self, value: bytes | None) -> bool:
        """Take what a record predicts; return whether it is a prediction of this bundle."""
        self._records += 1
        try:
            prediction = Prediction.parse(value or b"")
        except DecodeError:
            return False
        if prediction.fingerprint != self._fingerprint:
            return False  # of another bundle, during a roll-out
        for name, output in prediction.outputs.items():
            if not isinstance(output, self._kinds.get(name, ())):
                continue  # somebody else wrote it
            match output:
                case BinaryOutput(probability=said) | NumberOutput(value=said):
                    self._outputs[name].append(said)
                case ClassOutput(label=label):
                    self._outputs[name].append(label)
        return True

    def sample(self) -> Json:
        """Return whether the last predictions were read, and how many records there were."""
        return {"has_begun": self._has_begun, "records": self._records}

    def latency_ms(self) -> Json | None:
        """Return quantiles of the last half minute: from a record's timestamp until it was read."""
        since = self._wall() - DELAYS_FOR_S
        delays = [delay for at, delay in self._delays if at >= since]
        if not delays:
            return None
        p50, p99 = np.quantile(delays, [0.5, 0.99]).tolist()
        return {"p50": p50, "p99": p99, "sample": len(delays)}

    def outputs(self) -> Json:
        """Return what each head said lately: counts by class, or by bin."""
        return {name: distribution(list(kept)) for name, kept in self._outputs.items() if kept}


def distribution(values: list[float | str]) -> Json:
    """Return how often each class or each bin of numbers was predicted."""
    if isinstance(values[0], str):
        counts: dict[str, int] = {}
        for word in values:
            counts[str(word)] = counts.get(str(word), 0) + 1
        most = sorted(counts.items(), key=lambda pair: -pair[1])
        shown, rest = most[:CLASSES_SHOWN], sum(n for _, n in most[CLASSES_SHOWN:])
        pairs = [*shown, *([("(others)", rest)] if rest else [])]
        return {"kind": "classes", "labels": [w for w, _ in pairs], "counts": [n for _, n in pairs]}
    numbers = np.clip(np.array(values, np.float64), -FLOAT32_MAX, FLOAT32_MAX)
    low, high = np.quantile(numbers, [0.005, 0.995]).tolist()
    if numbers.min() >= 0 and numbers.max() <= 1:
        low, high = 0.0, 1.0
    high = max(high, low + 1e-9, low + 1e-6 * abs(low))
    counted, edges = np.histogram(np.clip(numbers, low, high), BINS, (low, high))
    return {"kind": "numbers", "edges": edges.tolist(), "counts": counted.tolist()}
