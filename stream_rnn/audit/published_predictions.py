"""Published predictions of a range of source offsets, in bounded memory.

They take 34 bytes for each offset, and 24 more if there is another fold, however many are wrong:
digests of each offset's first prediction, the number of its predictions, and the steps that the
first one names.  The records themselves stay in Kafka, and all lists of exceptions are limited.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.digests import content_of, digest_of, is_origin, memoryless_digest
from stream_rnn.audit.other_folds import OtherFolds
from stream_rnn.audit.output_owner import Bounds, OutputOwner
from stream_rnn.audit.reread import record_at, records_at
from stream_rnn.errors import ConfigError
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.formats.frames import frame_of
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.predictions.decoder import PredictionDecoder, body_of

OFFSETS_MAX = 50_000_000  # in one partition; each takes some 50 bytes
ORIGINS_MAX = 20  # the range is folded once for each
NO_ORIGIN = 255
AHEAD_MAX = 100_000
NAMES_MAX = 20
UNLIKE_MAX = 10_000
COPIES_MAX = 100_000
COPIES_OF_ONE_MAX = 10  # of one offset, with different bytes

UNLIKE, OTHER_NUMERICS, BROKER_TIME, COLD_IS_FALSE, NOT_CHOSEN, OUT_OF_ORDER = 1, 2, 4, 8, 16, 32
ORIGIN_IS_FALSE, OF_PARTNER = 64, 128


ObserveOutput = Callable[[ConsumerRecord, int, str], None]
"""Receives an output of the audited partition, its source offset and its fold."""


def ignore_output(_record: ConsumerRecord, _offset: int, _fold: str) -> None:
    """Do nothing."""


class PublishedPredictions:
    """Predictions of one source partition, by source offset.

    Args:
        cluster: Clients of the cluster.
        predictions: Predictions topic.
        owner: App, fold and source partition to audit.
        bounds: Source offsets to audit.
        numerics: Numerics of this process.
        includes_key: Returns whether a key is compared.
        decoder: Decoder of predictions.
        observe: Function that receives each prediction of the partition, of any fold.

    Attributes:
        count: (N,) number of predictions.
        digest: (N,) digest of the first prediction's value.
        frame: (N,) digest of everything that does not depend on the memory; see :func:`memoryless_digest`.
        steps: (N,) steps that the first prediction names; -1 if they cannot be read.
        output_offset: (N,) offset of the first prediction in the predictions topic.
        origin_number: (N,) index in ``origins``; ``NO_ORIGIN`` without a valid origin.
        flags: (N,) UNLIKE: the predictions differ.  OTHER_NUMERICS: one was computed with other
            numerics.  BROKER_TIME: the broker set the timestamp.  COLD_IS_FALSE: ``cold``
            contradicts ``steps``.  NOT_CHOSEN: the key is not compared.  OUT_OF_ORDER: the
            prediction follows one of a larger offset.  ORIGIN_IS_FALSE: the origin is impossible.
            OF_PARTNER: another audited fold has published a prediction.
        other_fold_count: (N,) number of predictions of this app's other folds.
        other_folds: Checks of those predictions against their records.
        origins: Origins that predictions of this fold name, in order of appearance.
        schema_ids: Schema ids that predictions of this fold name, each with the value of the first.
        other_folds_by_id: Fold id -> number of its predictions.
        unlike: Offset -> output offset of a copy that differs, for up to ``UNLIKE_MAX`` offsets.
        copies: Offset -> digest -> output offset of copies that were computed with other numerics,
            so that only their values can be compared.
        copies_skipped: Number of such copies beyond ``COPIES_MAX`` and ``COPIES_OF_ONE_MAX``.
        misplaced: (source partition, offset, output offset) of predictions in a wrong partition.
        ahead: (source offset, output offset) of predictions from the group offset on.
        below: Number of predictions of offsets before the range.
        foreign_outputs: App and source topic -> number of its outputs in this topic.
        last: Largest source offset of this app.
        first_available: Source offset of the first prediction, if the topic lost its beginning.

    Raises:
        ConfigError: The range is too large for memory.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        predictions: str,
        owner: OutputOwner,
        bounds: Bounds,
        numerics: str,
        includes_key: Any,
        decoder: PredictionDecoder,
        observe: ObserveOutput = ignore_output,
    ) -> None:
        start, end = bounds.start, bounds.end
        if end - start > OFFSETS_MAX:
            raise ConfigError(
                f"{owner.topic}[{owner.partition}]: {end - start} offsets are more than "
                f"{OFFSETS_MAX}; audit parts of the range with --from and --to"
            )
        count = max(0, end - start)
        self.owner, self.start, self.end, self._bounds = owner, start, end, bounds
        self.count: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.other_fold_count: NDArray[np.uint16] = np.zeros(count, np.uint16)
        self.other_folds = OtherFolds(owner.topic, owner.partition, start, start + count, decoder)
        self.digest: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.frame: NDArray[np.uint64] = np.zeros(count, np.uint64)
        self.steps: NDArray[np.int32] = np.zeros(count, np.int32)
        self.output_offset: NDArray[np.int64] = np.full(count, -1, np.int64)
        self.origin_number: NDArray[np.uint8] = np.full(count, NO_ORIGIN, np.uint8)
        self.flags: NDArray[np.uint8] = np.zeros(count, np.uint8)
        self._other_numerics: NDArray[np.int64] = np.zeros(0, np.int64)
        self.origins: list[int] = []
        self.other_folds_by_id: Counter[str] = Counter()
        self.unlike: dict[int, int] = {}
        self.copies: dict[int, dict[int, int]] = {}
        self.copies_skipped = self._copies = 0
        self.misplaced: list[tuple[int, int, int]] = []
        self.ahead: list[tuple[int, int]] = []
        self.below = 0
        self.foreign_outputs: Counter[str] = Counter()
        self.last = -1
        self.first_available: int | None = None
        self.log_start = 0
        self._cluster, self._includes_key, self._observe = cluster, includes_key, observe
        self._tp = TopicPartition(predictions, owner.partition)
        self._numerics, self.decoder = numerics, decoder
        self.schema_ids: dict[str, bytes] = {}
        self._read_to: int | None = None

    @property
    def name(self) -> str:
        """Name of the partition in messages."""
        return f"{self._tp.topic}[{self._tp.partition}]"

    async def read(self) -> AsyncGenerator[int]:
        """Read the predictions that were added since the last call; yield numbers of records."""
        first = self._read_to
        if first is None:
            first = self.log_start = await self._cluster.log_start(self._tp)
            self.first_available = self.start if first == 0 else None
        end = await self._cluster.log_end(self._tp)
        async with aclosing(self._cluster.batches(self._tp, first, end)) as batches:
            async for records in batches:
                for record in records:
                    self._add(record)
                yield len(records)
        self._read_to = max(first, end)

    def _add(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        if not self.owner.owns_elsewhere(headers):
            count_foreign_output(self.foreign_outputs, headers)
            return
        place = _parse_headers(headers)
        if place is None:
            self.foreign_outputs["headers that no worker writes"] += 1
            return
        self._add_own(record, *place)

    def _add_own(
        self, record: ConsumerRecord, partition: int, offset: int, origin: int, fold: str
    ) -> None:
        """Add a prediction of the app, of any fold."""
        is_left_out = self.owner.leaves_out(fold)
        if partition != self.owner.partition:
            if len(self.misplaced) < AHEAD_MAX and not is_left_out:
                self.misplaced.append((partition, offset, record.offset))
            return
        if self.first_available is None:
            self.first_available = offset
        self._observe(record, offset, fold)
        if self.start <= offset < self.end:
            self._add_within(record, offset, origin, fold)
        elif not is_left_out:
            self._add_outside(record, offset)
        if offset < self._bounds.log_end:
            self.last = max(self.last, offset)

    def _add_outside(self, record: ConsumerRecord, offset: int) -> None:
        if 0 <= offset < self.start:
            self.below += 1
        elif not 0 <= offset < self._bounds.group_offset and len(self.ahead) < AHEAD_MAX:
            self.ahead.append((offset, record.offset))

    def _add_within(self, record: ConsumerRecord, offset: int, origin: int, fold: str) -> None:
        index = offset - self.start
        if fold in self.owner.partners:
            self.flags[index] |= OF_PARTNER
            self._note_numerics(index, record)
            return
        is_repeated = bool(self.count[index] or self.other_fold_count[index])
        is_repeated = is_repeated or bool(self.flags[index] & OF_PARTNER)
        if offset < self.last and not is_repeated and not self.owner.leaves_out(fold):
            self.flags[index] |= OUT_OF_ORDER
        if not self._includes_key(record.key):
            self.flags[index] |= NOT_CHOSEN
        if fold != self.owner.fold:
            self._add_of_other_fold(record, offset, fold)
            return
        self.count[index] = min(int(self.count[index]) + 1, 65_535)
        digest = digest_of(body_of(record.value))
        content = content_of(record.value, self.decoder)
        self._note_schema_id(record.value)
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        frame = memoryless_digest(content, record.key, timestamp, record.headers)
        flags = BROKER_TIME if is_stamped else 0
        flags |= OTHER_NUMERICS if content.get("numerics") != self._numerics else 0
        if not is_origin(dict(record.headers)["sr-origin"], offset):
            flags |= ORIGIN_IS_FALSE
        if self.count[index] > 1:
            self._add_copy(record, offset, digest, frame, flags)
            return
        self.digest[index], self.frame[index] = digest, frame
        self.output_offset[index] = record.offset
        steps = content.get("steps")
        self.steps[index] = steps if isinstance(steps, int) and 0 < steps < 1 << 31 else -1
        if not flags & ORIGIN_IS_FALSE:
            self.origin_number[index] = self._origin_number_of(origin)
        self.flags[index] |= flags | (0 if content.get("cold") is (steps == 1) else COLD_IS_FALSE)

    def _note_schema_id(self, value: bytes | None) -> None:
        if value and len(self.schema_ids) < NAMES_MAX and (frame := frame_of(value, ())):
            self.schema_ids.setdefault(frame.schema_id, value)

    def _add_of_other_fold(self, record: ConsumerRecord, offset: int, fold: str) -> None:
        index = offset - self.start
        if fold in self.other_folds_by_id or len(self.other_folds_by_id) < NAMES_MAX:
            self.other_folds_by_id[fold] += 1
        self.other_fold_count[index] = min(int(self.other_fold_count[index]) + 1, 65_535)
        if self.owner.is_first:
            self.other_folds.add(record, offset)
        self._note_numerics(index, record)

    def _note_numerics(self, index: int, record: ConsumerRecord) -> None:
        """Note whether the prediction of another fold was computed with other numerics."""
        if self._numerics.encode() not in (record.value or b""):
            self.flags[index] |= OTHER_NUMERICS

    def _add_copy(
        self, record: ConsumerRecord, offset: int, digest: int, frame: int, flags: int
    ) -> None:
        index = offset - self.start
        first = int(self.flags[index])
        has_same_frame = int(self.frame[index]) == frame or bool((first ^ flags) & BROKER_TIME)
        is_same = int(self.digest[index]) == digest
        may_differ = bool((first | flags) & OTHER_NUMERICS)
        is_like = has_same_frame and (is_same or may_differ) and not flags & ORIGIN_IS_FALSE
        self.flags[index] |= (0 if is_like else UNLIKE) | flags & OTHER_NUMERICS
        if not self._includes_key(record.key):
            return
        if not is_like and len(self.unlike) < UNLIKE_MAX:
            self.unlike[offset] = record.offset
        elif is_like and not is_same:
            self._add_copy_to_compare(offset, digest, record.offset)

    def _add_copy_to_compare(self, offset: int, digest: int, output_offset: int) -> None:
        copies = self.copies.get(offset, {})
        if digest in copies:
            return
        if self._copies >= COPIES_MAX or len(copies) >= COPIES_OF_ONE_MAX:
            self.copies_skipped += 1
            return
        self.copies[offset] = copies | {digest: output_offset}
        self._copies += 1

    def _origin_number_of(self, origin: int) -> int:
        if origin not in self.origins:
            if len(self.origins) >= ORIGINS_MAX:
                return ORIGINS_MAX
            self.origins.append(origin)
        return self.origins.index(origin)

    def note_other_numerics(self) -> None:
        """Index the predictions read so far that were computed with other numerics."""
        self._other_numerics = np.flatnonzero(self.flags & OTHER_NUMERICS) + self.start

    def is_mixed(self, begin: int | None, offset: int) -> bool:
        """Return whether a part of a memory may have been computed with other numerics.

        This is possible as soon as a process with other numerics published any prediction after the
        memory began, because that process may have folded events of any key silently before.
        """
        if begin is None or self.first_available is None or begin < self.first_available:
            return True
        first, last = np.searchsorted(self._other_numerics, [begin, offset + 1])
        return bool(first < last)

    def output_offsets_of(self, offset: int) -> tuple[int, ...]:
        """Return the output offsets of an offset's prediction and of a copy that differs."""
        offsets = int(self.output_offset[offset - self.start]), self.unlike.get(offset, -1)
        return tuple(output_offset for output_offset in offsets if output_offset >= 0)

    def is_unlike(self, offset: int) -> bool:
        """Return whether the predictions of an offset differ."""
        return bool(self.flags[offset - self.start] & UNLIKE)

    async def record(self, output_offset: int) -> ConsumerRecord | None:
        """Read a prediction again."""
        return await record_at(self._cluster, self._tp, output_offset)

    async def values(self, output_offsets: Iterable[int]) -> dict[int, bytes]:
        """Read values of predictions again, by output offset."""
        async with aclosing(records_at(self._cluster, self._tp, output_offsets)) as records:
            return {record.offset: record.value or b"" async for record in records}


def _parse_headers(headers: Mapping[str, bytes | None]) -> tuple[int, int, int, str] | None:
    """Return partition, offset, origin and fold; ``None`` if no worker writes such headers."""
    try:
        numbers = [int(headers[f"sr-{name}"] or b"") for name in ("partition", "offset", "origin")]
        fold = (headers["sr-fold"] or b"").decode()
    except (KeyError, ValueError):
        return None
    return numbers[0], numbers[1], numbers[2], fold


def count_foreign_output(
    foreign_outputs: Counter[str], headers: Mapping[str, bytes | None]
) -> None:
    """Count an output of another app or source topic."""
    app, topic = (
        (headers.get(name) or b"?")[:200].decode("utf-8", "replace")
        for name in ("sr-app", "sr-topic")
    )
    name = f"app {app} of topic {topic}"
    if name in foreign_outputs or len(foreign_outputs) < NAMES_MAX:
        foreign_outputs[name] += 1
