"""What a roll-out takes until the candidate is warm: records, CPU, time and memory of Redis.

The CPU is measured: the new bundle folds the newest records of the source in this process, in memory
and silently, as the workers' candidates do.  The rate of the fold in charge would not do: it is that
of another network, and of micro-batches that are small where few events arrive.
"""

import statistics
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from aiokafka import TopicPartition

from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.operate.key_states import state_bytes
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status
from stream_rnn.replay.partition import replay_partition
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.server_checks import primary_info

KEY_BYTES = 16.0
"""Assumed mean size of a key of which no sample was read, as in ``stream-rnn state size``."""
SAMPLE_RECORDS = 20_000
SAMPLE_S = 3.0
MICRO_BATCH_RECORDS = 2000  # a sample has several, because single ones take longer


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample of the source has shown.

    Attributes:
        records: Number of records that were measured.
        cpu_s: Seconds of CPU to read and fold one of them.
        key_bytes: Mean size of a key.
    """

    records: int
    cpu_s: float
    key_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a roll-out takes until the candidate is warm.

    Attributes:
        records: Number of offsets that the candidate folds to reach the group offsets.
        keys: Number of keys that the fold in charge has now.
        redis_bytes: Approximate bytes in Redis of as many states of the candidate, and of both
            bundles.
        redis_free_bytes: Bytes that Redis may still use; ``None`` if it does not tell.
        sample_records: Number of records from which the CPU was measured.
        cpu_s: Seconds of CPU for all records, on a core of this machine; ``None`` without a sample.
        warm_s: Seconds for all records, if each worker has one core for the candidate alone.
    """

    records: int
    keys: int
    redis_bytes: float
    redis_free_bytes: float | None
    sample_records: int
    cpu_s: float | None
    warm_s: float | None

    @property
    def fits(self) -> bool:
        """Whether Redis has room for the states, as far as it tells."""
        return self.redis_free_bytes is None or self.redis_bytes <= self.redis_free_bytes

    def as_json(self) -> dict[str, Any]:
        """Return the cost for JSON."""
        return asdict(self)


async def estimate(
    rollout: OpenRollout, status: Status, folds: tuple[str, str], model: Model, bundle_bytes: int
) -> Cost:
    """Measure and estimate what a roll-out takes.

    Args:
        rollout: Open clients.
        status: The roll-out as it is now, with what Redis stores for both folds.
        folds: Ids of the old and of the new fold.
        model: Model of the new fold.  If that fold is in charge already, the candidate is the old
            one, and the time and the bytes are those that the new one would take.
        bundle_bytes: Bytes of its bundle.
    """
    candidates = [(p, p.candidate(folds)) for p in status.partitions]
    records = sum(_records(p, fold_id) for p, fold_id in candidates)
    keys = sum(p.stored[p.fold_id].fields for p in status.partitions if p.fold_id is not None)
    stored = sum(p.stored[fold_id].fields for p, fold_id in candidates)
    sample = await measure(rollout.cluster, status.partitions, model)
    key_bytes = KEY_BYTES if sample is None else sample.key_bytes
    cpu_s = None if sample is None else records * sample.cpu_s
    workers = max(1, min(len(status.workers.reports), len(status.partitions)))
    return Cost(
        records=records,
        keys=keys,
        redis_bytes=max(keys - stored, 0) * state_bytes(model, key_bytes) + 2 * bundle_bytes,
        redis_free_bytes=await read_free_bytes(rollout.redis),
        sample_records=0 if sample is None else sample.records,
        cpu_s=cpu_s,
        warm_s=None if cpu_s is None else cpu_s / workers,
    )


def _records(status: PartitionStatus, fold_id: str) -> int:
    if status.known is None:
        return 0
    position = status.stored[fold_id].position or 0
    return max(status.known.offset - max(position, status.log_start), 0)


def late_start(status: PartitionStatus, fold_id: str) -> int | None:
    """Return the first offset of a candidate that begins after the fold in charge; else ``None``."""
    stored, known = status.stored[fold_id], status.known
    is_usable = stored.position is not None and stored.position >= status.log_start
    first = stored.origin if is_usable and stored.origin is not None else status.log_start
    is_late = known is not None and known.origin is not None and first > known.origin
    return first if is_late and known is not None and known.fold_id != fold_id else None


async def measure(
    cluster: KafkaCluster, partitions: Sequence[PartitionStatus], model: Model
) -> Sample | None:
    """Fold the newest records of the longest partition in memory; ``None`` if there are none.

    Ends after ``SAMPLE_S``, so a slow network is measured on fewer records.
    """
    begun = [p for p in partitions if p.known is not None and p.known.offset > p.log_start]
    if not begun:
        return None
    longest = max(begun, key=_length)
    assert longest.known is not None, "it was chosen so"
    end, settings = longest.known.offset, cluster.settings
    tp = TopicPartition(settings.source, longest.partition)
    first = max(longest.log_start, end - SAMPLE_RECORDS)
    since_s = time.thread_time()
    async with aclosing(cluster.batches(tp, first, end)) as batches:
        records: list[Record] = [record async for found in batches for record in found]
    if not records:
        return None
    read_s = (time.thread_time() - since_s) / len(records)
    pin_numerics()
    store = MemoryStore()
    timer = _Timer(records, min(settings.batch_events_max, MICRO_BATCH_RECORDS))
    await replay_partition(
        model,
        settings,
        longest.partition,
        first,
        timer.batches(),
        lambda *_outputs: None,
        store=store,
        is_silent=True,
    )
    keys = store.states
    key_bytes = sum(map(len, keys)) / len(keys) if keys else KEY_BYTES
    return Sample(timer.measured, timer.cpu_s() + read_s, key_bytes)


class _Timer:
    """Records in micro-batches, and the CPU that each of them takes.

    Args:
        records: Records to fold.
        size: Number of records of a micro-batch.
    """

    def __init__(self, records: Sequence[Record], size: int) -> None:
        self._records, self._size = records, size
        self._cpu_s: list[float] = []  # of a record, for each micro-batch
        self.measured = 0

    async def batches(self) -> AsyncGenerator[Sequence[Record]]:
        """Yield micro-batches, until ``SAMPLE_S`` have passed."""
        deadline = time.monotonic() + SAMPLE_S
        for at in range(0, len(self._records), self._size):
            if self.measured and time.monotonic() > deadline:
                return
            chunk, since_s = self._records[at : at + self._size], time.thread_time()
            yield chunk
            self._cpu_s.append((time.thread_time() - since_s) / len(chunk))
            self.measured += len(chunk)

    def cpu_s(self) -> float:
        """Return the median seconds of CPU per record; the first micro-batches prepare torch."""
        return statistics.median(self._cpu_s)


def _length(status: PartitionStatus) -> int:
    return status.known.offset - status.log_start if status.known is not None else 0


def memory_of(nodes: Collection[dict[str, Any]]) -> tuple[int, int]:
    """Return the used bytes and the limit of all primaries together; 0 for a limit that is unknown.

    Args:
        nodes: Section ``memory`` of INFO of each primary.
    """
    used = sum(int(facts.get("used_memory", 0)) for facts in nodes)
    limit = sum(
        int(facts.get("maxmemory", 0)) or int(facts.get("total_system_memory", 0))
        for facts in nodes
    )
    return used, limit


async def read_free_bytes(redis: Any) -> float | None:
    """Return the bytes that Redis may still use; ``None`` if it does not tell."""
    used, limit = memory_of((await primary_info(redis, "memory")).values())
    return max(limit - used, 0) if limit else None
