"""What a partition of an output says about a range of source offsets, in bounded memory.

A few bytes an offset, whatever order the records came in: a digest of the first prediction, how
many there were, and the steps that it names.  The bytes themselves stay in Kafka.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import orjson
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold.kafka_log import KafkaFacts

OFFSETS_MAX = 50_000_000  # of one partition at once: 28 bytes each


@dataclass(frozen=True, slots=True)
class Who:
    """Whose outputs are looked at."""

    app: str
    fold: str
    topic: str
    partition: int

    def owns(self, headers: Mapping[str, bytes | None]) -> bool:
        """Tell whether an output is about this partition, of this app."""
        said = (headers.get("sr-app"), headers.get("sr-topic"), headers.get("sr-partition"))
        return said == (self.app.encode(), self.topic.encode(), b"%d" % self.partition)


class Published:
    """Predictions of one source partition, by source offset.

    Args:
        facts: the clients.
        predictions: the output topic.
        who: whose predictions.
        start: first source offset of the range.
        end: source offset after the last one.

    Attributes:
        count: (N,) predictions of each offset.
        digest: (N,) of the first one's bytes.
        steps: (N,) that the first one names.
        place: (N,) its offset in the output.
        same: (N,) whether all of them have the same bytes.
        outputs: of those that another kind of machine computed: offset -> their value.
        others: (N,) predictions of this app's other folds.
        origins: origin -> least source offset with it.
        other_folds: predictions of this app's other folds in the range.
        first_kept: least source offset that the output still holds, where it lost its beginning.

    Raises:
        ConfigError: the range is too large for memory.
    """

    def __init__(
        self, facts: KafkaFacts, predictions: str, who: Who, start: int, end: int, numerics: str
    ) -> None:
        if end - start > OFFSETS_MAX:
            raise ConfigError(
                f"{who.topic}[{who.partition}]: {end - start} offsets are more than {OFFSETS_MAX} "
                "at once; audit in parts by --from and --to"
            )
        count = max(0, end - start)
        self.who, self.start, self.end = who, start, end
        self.count: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.others: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.digest: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.steps: NDArray[np.int64] = np.zeros(count, np.int64)
        self.place: NDArray[np.int64] = np.full(count, -1, np.int64)
        self.same: NDArray[np.bool_] = np.ones(count, bool)
        self.elsewhere: dict[int, bytes] = {}
        self.origins: dict[int, int] = {}
        self.other_folds = 0
        self.first_kept: int | None = None
        self._facts = facts
        self._tp = TopicPartition(predictions, who.partition)
        self._numerics = numerics
        self._read_to: int | None = None

    async def read(self) -> AsyncIterator[int]:
        """Read what has come since the last time; yield how many records, some at a time."""
        first = self._read_to
        if first is None:
            first = await self._facts.log_start(self._tp)
            self.first_kept = self.start if first == 0 else None
        end = await self._facts.log_end(self._tp)
        async for records in self._facts.batches(self._tp, first, end):
            for record in records:
                self._take(record)
            yield len(records)
        self._read_to = max(first, end)

    def _take(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        if not self.who.owns(headers):
            return
        try:
            offset, origin = int(headers["sr-offset"]), int(headers["sr-origin"])
        except (KeyError, TypeError, ValueError):
            return  # no worker wrote it
        if self.first_kept is None:
            self.first_kept = offset
        if not self.start <= offset < self.end:
            return
        if headers.get("sr-fold") != self.who.fold.encode():
            self.other_folds += 1
            at = offset - self.start
            self.others[at] = min(int(self.others[at]) + 1, 65_535)
            return
        self.origins[origin] = min(offset, self.origins.get(origin, offset))
        at, digest = offset - self.start, digest_of(record.value)
        self.count[at] = min(int(self.count[at]) + 1, 65_535)
        if self.count[at] > 1:
            self.same[at] &= int(self.digest[at]) == digest
            return
        self.digest[at], self.place[at] = digest, record.offset
        self.steps[at] = _steps_of(record.value)
        if self._numerics.encode() not in (record.value or b""):
            self.elsewhere[offset] = record.value or b""

    async def value(self, offset: int) -> bytes | None:
        """Read one prediction again."""
        place = int(self.place[offset - self.start])
        if place < 0:
            return None
        async for records in self._facts.batches(self._tp, place, place + 1):
            value: bytes | None = records[0].value
            return value
        return None


@dataclass(slots=True)
class DeadLetters:
    """Dead letters of one source partition: offset -> error code."""

    codes: dict[int, str] = field(default_factory=dict)
    first_kept: int | None = None

    async def read(self, facts: KafkaFacts, topic: str, who: Who, start: int, end: int) -> None:
        """Read all that are about a range of source offsets."""
        tp = TopicPartition(topic, who.partition)
        log_start = await facts.log_start(tp)
        self.first_kept = start if log_start == 0 else None
        place = (who.topic.encode(), b"%d" % who.partition)
        async for records in facts.batches(tp, log_start, await facts.log_end(tp)):
            for record in records:
                headers = dict(record.headers)
                if (headers.get("sr-topic"), headers.get("sr-partition")) != place:
                    continue
                try:
                    offset, code = int(headers["sr-offset"]), headers["sr-error"].decode()
                except (AttributeError, KeyError, TypeError, ValueError):
                    continue  # no worker wrote it
                if self.first_kept is None:
                    self.first_kept = offset
                if start <= offset < end:
                    self.codes[offset] = code


def digest_of(value: bytes | None) -> int:
    """Return 64 bits of a value's hash."""
    return int.from_bytes(blake2b(value or b"", digest_size=8).digest(), "little")


def _steps_of(value: bytes | None) -> int:
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return -1
    steps = found.get("steps") if isinstance(found, dict) else None
    return steps if isinstance(steps, int) and steps < 1 << 63 else -1
