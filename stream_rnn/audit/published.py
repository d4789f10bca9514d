"""What a partition of the predictions says about a range of source offsets, in bounded memory.

34 bytes an offset, and 24 where there is another fold, whatever order the records came in and however many are wrong: digests of the
first prediction, how many there were, and the steps that it names.  The bytes themselves stay in
Kafka, and of what is listed besides there are limits.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.contents import content_of, digest_of, frame_of, is_origin
from stream_rnn.audit.other_folds import Others
from stream_rnn.audit.places import record_at, records_at
from stream_rnn.errors import ConfigError
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.kafka.cluster import KafkaCluster

OFFSETS_MAX = 50_000_000  # of one partition at once: some 50 bytes each
ORIGINS_MAX = 20  # each costs a fold
NO_ORIGIN = 255
AHEAD_MAX = 100_000
NAMES_MAX = 20
UNLIKE_MAX = 10_000
COPIES_MAX = 100_000
COPIES_OF_ONE_MAX = 10  # of other bytes each

UNLIKE, FOREIGN, BROKER_TIME, COLD_IS_FALSE, NOT_CHOSEN, OUT_OF_ORDER = 1, 2, 4, 8, 16, 32
ORIGIN_IS_FALSE = 64


@dataclass(frozen=True, slots=True)
class OutputOwner:
    """Whose outputs are looked at."""

    app: str
    fold: str
    topic: str
    partition: int

    def owns(self, headers: Mapping[str, bytes | None]) -> bool:
        """Tell whether an output is about this partition, of this app."""
        return self.owns_elsewhere(headers) and headers.get("sr-partition") == self.number

    def owns_elsewhere(self, headers: Mapping[str, bytes | None]) -> bool:
        """Tell whether an output is about some partition of this topic, of this app."""
        said = headers.get("sr-app"), headers.get("sr-topic")
        return said == (self.app.encode(), self.topic.encode())

    @property
    def number(self) -> bytes:
        """The partition's number, as a header has it."""
        return b"%d" % self.partition


@dataclass(frozen=True, slots=True)
class Bounds:
    """Source offsets.

    Attributes:
        start: the first one that is audited.
        end: the one after the last.
        published: the group offset; below it all has been published.
        log_end: of the source, when the group offset was read.
    """

    start: int
    end: int
    published: int
    log_end: int


class Published:
    """Predictions of one source partition, by source offset.

    Args:
        cluster: the clients.
        predictions: the output topic.
        who: whose predictions.
        bounds: which source offsets.
        numerics: how this process computes.
        takes: tells whether a key is compared.

    Attributes:
        count: (N,) predictions of each offset.
        digest: (N,) of the first one's bytes.
        frame: (N,) of what does not depend on the memory; see :func:`frame_of`.
        steps: (N,) that the first one names; -1 if it cannot be read.
        place: (N,) its offset in the output.
        origin: (N,) number of its origin.
        flags: (N,) UNLIKE: not all of them have the same bytes; FOREIGN: another kind of machine
            computed one; BROKER_TIME: its timestamp is the broker's; COLD_IS_FALSE: ``cold`` does
            not fit ``steps``; NOT_CHOSEN: its key is not compared; OUT_OF_ORDER: it came after a
            later one; ORIGIN_IS_FALSE: it names one that cannot be.
        other_fold_count: (N,) predictions of this app's other folds.
        of_others: what those say of their records.
        origins: of this fold, in the order in which they came.
        folds: other fold -> its predictions in the range.
        unlike: offset -> place of a copy that is unlike the first, of at most ``UNLIKE_MAX``.
        copies: offset -> digest -> place of copies that another kind of machine may have
            computed: their bytes may differ, and their values are compared.
        copies_left_out: how many of those there were beside ``COPIES_MAX``.
        misplaced: (source partition, offset, place) of what stands in a wrong partition.
        ahead: (source offset, place) of predictions from the group offset on.
        below: predictions of offsets before the range.
        strangers: who else writes here -> how many.
        last: greatest source offset of this app.
        first_kept: least source offset that the output still holds, where it lost its beginning.

    Raises:
        ConfigError: the range is too large for memory.
    """

    def __init__(  # what is read, whose, and how much of it
        self,
        cluster: KafkaCluster,
        predictions: str,
        who: OutputOwner,
        bounds: Bounds,
        numerics: str,
        takes: Any,
    ) -> None:
        start, end = bounds.start, bounds.end
        if end - start > OFFSETS_MAX:
            raise ConfigError(
                f"{who.topic}[{who.partition}]: {end - start} offsets are more than {OFFSETS_MAX} "
                "at once; audit in parts by --from and --to"
            )
        count = max(0, end - start)
        self.who, self.start, self.end, self._bounds = who, start, end, bounds
        self.count: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.other_fold_count: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.of_others = Others(who.topic, who.partition, start, start + count)
        self.digest: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.frame: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.steps: NDArray[np.int32] = np.zeros(count, np.int32)
        self.place: NDArray[np.int64] = np.full(count, -1, np.int64)
        self.origin: NDArray[np.uint8] = np.full(count, NO_ORIGIN, np.uint8)
        self.flags: NDArray[np.uint8] = np.zeros(count, np.uint8)
        self._foreign: NDArray[np.int64] = np.zeros(0, np.int64)
        self.origins: list[int] = []
        self.folds: Counter[str] = Counter()
        self.unlike: dict[int, int] = {}
        self.copies: dict[int, dict[int, int]] = {}
        self.copies_left_out = self._copies = 0
        self.misplaced: list[tuple[int, int, int]] = []
        self.ahead: list[tuple[int, int]] = []
        self.below = 0
        self.strangers: Counter[str] = Counter()
        self.last = -1
        self.first_kept: int | None = None
        self.log_start = 0
        self._cluster, self._takes = cluster, takes
        self._tp = TopicPartition(predictions, who.partition)
        self._numerics = numerics
        self._read_to: int | None = None

    @property
    def name(self) -> str:
        """How messages name the partition."""
        return f"{self._tp.topic}[{self._tp.partition}]"

    async def read(self) -> AsyncIterator[int]:
        """Read what has come since the last time; yield how many records, some at a time."""
        first = self._read_to
        if first is None:
            first = self.log_start = await self._cluster.log_start(self._tp)
            self.first_kept = self.start if first == 0 else None
        end = await self._cluster.log_end(self._tp)
        async for records in self._cluster.batches(self._tp, first, end):
            for record in records:
                self._take(record)
            yield len(records)
        self._read_to = max(first, end)

    def _take(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        if not self.who.owns_elsewhere(headers):
            count_stranger(self.strangers, headers)
            return
        place = _place_of(headers)
        if place is None:
            self.strangers["headers that no worker writes"] += 1
            return
        partition, offset, origin, fold = place
        if partition != self.who.partition:
            if len(self.misplaced) < AHEAD_MAX:
                self.misplaced.append((partition, offset, record.offset))
            return
        if self.first_kept is None:
            self.first_kept = offset
        if self.start <= offset < self.end:
            self._take_within(record, offset, origin, fold)
        else:
            self._take_outside(record, offset)
        if offset < self._bounds.log_end:
            self.last = max(self.last, offset)

    def _take_outside(self, record: ConsumerRecord, offset: int) -> None:
        if 0 <= offset < self.start:
            self.below += 1
        elif not 0 <= offset < self._bounds.published and len(self.ahead) < AHEAD_MAX:
            self.ahead.append((offset, record.offset))

    def _take_within(self, record: ConsumerRecord, offset: int, origin: int, fold: str) -> None:
        at = offset - self.start
        is_repeated = bool(self.count[at] or self.other_fold_count[at])
        if offset < self.last and not is_repeated:
            self.flags[at] |= OUT_OF_ORDER
        if not self._takes(record.key):
            self.flags[at] |= NOT_CHOSEN
        if fold != self.who.fold:
            self._take_other(record, offset, fold)
            return
        self.count[at] = min(int(self.count[at]) + 1, 65_535)
        digest, content = digest_of(record.value), content_of(record.value)
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        frame = frame_of(content, record.key, timestamp, record.headers)
        flags = BROKER_TIME if is_stamped else 0
        flags |= FOREIGN if content.get("numerics") != self._numerics else 0
        if not is_origin(dict(record.headers)["sr-origin"], offset):
            flags |= ORIGIN_IS_FALSE
        if self.count[at] > 1:
            self._take_copy(record, offset, digest, frame, flags)
            return
        self.digest[at], self.frame[at], self.place[at] = digest, frame, record.offset
        steps = content.get("steps")
        self.steps[at] = steps if isinstance(steps, int) and 0 < steps < 1 << 31 else -1
        self.origin[at] = NO_ORIGIN if flags & ORIGIN_IS_FALSE else self._number_of(origin)
        self.flags[at] |= flags | (0 if content.get("cold") is (steps == 1) else COLD_IS_FALSE)

    def _take_other(self, record: ConsumerRecord, offset: int, fold: str) -> None:
        at = offset - self.start
        if fold in self.folds or len(self.folds) < NAMES_MAX:
            self.folds[fold] += 1
        self.other_fold_count[at] = min(int(self.other_fold_count[at]) + 1, 65_535)
        self.of_others.take(record, offset)
        if self._numerics.encode() not in (record.value or b""):
            self.flags[at] |= FOREIGN

    def _take_copy(
        self, record: ConsumerRecord, offset: int, digest: int, frame: int, flags: int
    ) -> None:
        at = offset - self.start
        first = int(self.flags[at])
        is_framed = int(self.frame[at]) == frame or bool((first ^ flags) & BROKER_TIME)
        is_near, is_same = bool((first | flags) & FOREIGN), int(self.digest[at]) == digest
        is_like = is_framed and (is_near or is_same) and not flags & ORIGIN_IS_FALSE
        self.flags[at] |= (0 if is_like else UNLIKE) | flags & FOREIGN
        if not self._takes(record.key):
            return
        if not is_like and len(self.unlike) < UNLIKE_MAX:
            self.unlike[offset] = record.offset
        elif is_like and not is_same:
            self._keep_copy(offset, digest, record.offset)

    def _keep_copy(self, offset: int, digest: int, place: int) -> None:
        kept = self.copies.get(offset, {})
        if digest in kept:
            return
        if self._copies >= COPIES_MAX or len(kept) >= COPIES_OF_ONE_MAX:
            self.copies_left_out += 1
            return
        self.copies[offset] = kept | {digest: place}
        self._copies += 1

    def _number_of(self, origin: int) -> int:
        if origin not in self.origins:
            if len(self.origins) >= ORIGINS_MAX:
                return ORIGINS_MAX
            self.origins.append(origin)
        return self.origins.index(origin)

    def note_foreign(self) -> None:
        """Note what other kinds of machines have computed, as far as it was read."""
        self._foreign = np.flatnonzero(self.flags & FOREIGN) + self.start

    def is_mixed(self, begin: int | None, offset: int) -> bool:
        """Tell whether another kind of machine may have computed a part of a memory.

        It is one that published anything since the memory began: what it folded silently before
        that can be of any key.
        """
        if begin is None or self.first_kept is None or begin < self.first_kept:
            return True
        first, last = np.searchsorted(self._foreign, [begin, offset + 1])
        return bool(first < last)

    def places_of(self, offset: int) -> tuple[int, ...]:
        """Return where the prediction of an offset stands, and a copy that is unlike it."""
        found = int(self.place[offset - self.start]), self.unlike.get(offset, -1)
        return tuple(place for place in found if place >= 0)

    def is_unlike(self, offset: int) -> bool:
        """Tell whether the predictions of an offset are not the same."""
        return bool(self.flags[offset - self.start] & UNLIKE)

    async def record(self, place: int) -> ConsumerRecord | None:
        """Read one record of the output again."""
        return await record_at(self._cluster, self._tp, place)

    async def values(self, wanted: Iterable[int]) -> dict[int, bytes]:
        """Read some predictions again, by their places."""
        found = records_at(self._cluster, self._tp, wanted)
        return {record.offset: record.value or b"" async for record in found}


def _place_of(headers: Mapping[str, bytes | None]) -> tuple[int, int, int, str] | None:
    """Return partition, offset, origin and fold that headers name; ``None``: no worker wrote it."""
    try:
        numbers = [int(headers[f"sr-{name}"] or b"") for name in ("partition", "offset", "origin")]
        fold = (headers["sr-fold"] or b"").decode()
    except (KeyError, ValueError):
        return None
    return numbers[0], numbers[1], numbers[2], fold


def count_stranger(strangers: Counter[str], headers: Mapping[str, bytes | None]) -> None:
    """Count an output of somebody else by the app and the topic that it names."""
    app, topic = (
        (headers.get(name) or b"?")[:200].decode("utf-8", "replace")
        for name in ("sr-app", "sr-topic")
    )
    name = f"app {app} of topic {topic}"
    if name in strangers or len(strangers) < NAMES_MAX:
        strangers[name] += 1
