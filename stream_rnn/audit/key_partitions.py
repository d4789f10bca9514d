"""The number of keys with events in several partitions, counted in bounded memory.

A key leaves twelve bytes: a hash, and its first partition.  If there are more than ``HASHES_MAX``
keys, the count keeps those whose hash is in the lower half of all hashes, then in the lowest
quarter, and so on, and multiplies what it finds: a sample of the keys, with all their partitions.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.key_spellings import format_partitions
from stream_rnn.keys import describe_key, shorten

HASHES_MAX = 8_000_000  # 96 MB
HASH_BITS = 64
EXAMPLES_NAMED = 3

Hashes = NDArray[np.uint64]
Level = tuple[Hashes, NDArray[np.int32]]  # sorted hashes, and the first partition of each


@dataclass(frozen=True, slots=True)
class SplitKey:
    """A key with events in several partitions.  The attributes are those of ``audit --json``.

    Attributes:
        key: The key as it may be typed.
        partitions: Its partitions, as far as they were audited.
    """

    key: str
    partitions: tuple[int, ...]

    def __str__(self) -> str:
        """Return the key and its partitions."""
        return f"{shorten(self.key)!r} in {format_partitions(self.partitions)}"


class KeyPartitions:
    """Counts keys with events in several partitions.

    Args:
        examples_max: Number of these keys to remember.
        hashes_max: Number of hashes in memory.

    Attributes:
        partitions: Number of partitions that were added.
    """

    def __init__(self, examples_max: int, hashes_max: int = HASHES_MAX) -> None:
        self._examples_max, self._hashes_max = examples_max, hashes_max
        self._levels: list[Level] = []  # disjoint; each is more than twice as long as the next
        self._split: Hashes = np.zeros(0, np.uint64)
        self._halvings = 0
        self._examples: dict[int, tuple[bytes, list[int]]] = {}
        self.partitions = 0

    @property
    def is_estimate(self) -> bool:
        """Whether the counts are estimates from a sample of the keys."""
        return self._halvings > 0

    @property
    def keys(self) -> int:
        """Number of keys."""
        return sum(len(hashes) for hashes, _ in self._levels) << self._halvings

    @property
    def split_keys(self) -> int:
        """Number of keys with events in several partitions."""
        return len(self._split) << self._halvings

    @property
    def examples(self) -> list[SplitKey]:
        """Some keys with events in several partitions."""
        return [
            SplitKey(describe_key(key), tuple(sorted(partitions)))
            for key, partitions in self._examples.values()
        ]

    def add(self, partition: int, keys: Collection[bytes]) -> None:
        """Add the keys of all events of a partition; call this once for each partition."""
        self.partitions += 1
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys)).view(np.uint64)
        first = self._first_partitions(hashes)
        self._split = np.union1d(self._split, hashes[first >= 0])
        self._add_examples(partition, keys, hashes, first)
        new = np.sort(hashes[first < 0])
        self._levels.append((new, np.full(len(new), partition, np.int32)))
        while len(self._levels) > 1 and len(self._levels[-2][0]) <= 2 * len(self._levels[-1][0]):
            self._levels[-2:] = [_merge(*self._levels[-2:])]
        self._trim()
        while sum(len(level) for level, _ in self._levels) > self._hashes_max:
            self._halvings += 1
            self._trim()

    def _first_partitions(self, hashes: Hashes) -> NDArray[np.int32]:
        """Return the first partition of each key; -1 for keys that no earlier partition has."""
        first = np.full(len(hashes), -1, np.int32)
        for level, partitions in self._levels:
            if len(level):
                at = np.minimum(np.searchsorted(level, hashes), len(level) - 1)
                first = np.where(level[at] == hashes, partitions[at], first)
        return first

    def _add_examples(
        self, partition: int, keys: Collection[bytes], hashes: Hashes, first: NDArray[np.int32]
    ) -> None:
        if (first < 0).all():
            return
        for key, value, number in zip(keys, hashes.tolist(), first.tolist(), strict=True):
            if number < 0:
                continue
            if value in self._examples:
                self._examples[value][1].append(partition)
            elif len(self._examples) < self._examples_max:
                self._examples[value] = key, [number, partition]

    def _trim(self) -> None:
        """Forget the hashes that are not in the sample."""
        if self._halvings:
            bound = np.uint64(1 << (HASH_BITS - self._halvings))
            ends = [int(np.searchsorted(level, bound)) for level, _ in self._levels]
            self._levels = [
                (level[:end].copy(), partitions[:end].copy())
                for (level, partitions), end in zip(self._levels, ends, strict=True)
            ]
            self._split = self._split[: np.searchsorted(self._split, bound)]

    def warning(self, source: str) -> str | None:
        """Return a sentence about keys in several partitions; ``None`` if there are none."""
        if not self.split_keys:
            return None
        examples = ", ".join(map(str, self.examples[:EXAMPLES_NAMED]))
        return (
            f"{'about ' * self.is_estimate}{self.split_keys:,} of {self.keys:,} keys of {source} "
            "have events in more than one partition, with a separate memory in each"
            f"{f', such as {examples}' * bool(examples)}: their producers partition differently, or "
            "partitions were added. stream-rnn doctor names the partitioners; for the remedy, see "
            "'One key in two partitions' in deploy/README.md"
        )


def _merge(one: Level, other: Level) -> Level:
    hashes = np.concatenate([one[0], other[0]])
    order = np.argsort(hashes, kind="stable")
    return hashes[order], np.concatenate([one[1], other[1]])[order]
