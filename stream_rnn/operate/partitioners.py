"""Which partitioners put the keys of a topic where they are.

A *place* is a key and the partition of one of its events.  A hypothesis is a hash and a number of
partitions; by chance, it explains one place in N, where N is the number of partitions of the topic.
A hypothesis counts only if it explains many more than that, and the rest is explained again, so
that a topic all of whose producers use one partitioner is never accused of another.

Source: ``Utils.murmur2`` of Kafka's Java client; ``rdmurmur2.c``, ``rdcrc32.c`` and ``rdfnv1a.c``
of librdkafka; ``partitioner.go`` of Sarama.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

PLACES_MAX = 20_000
HASHED_BYTES_MAX = 1_000_000  # of keys; a second of murmur2 in Python
KEY_BYTES_MAX = 4096  # longer keys are not examined
EXPLANATIONS_MAX = 6
EARLIER_COUNTS_MAX = 2048  # partitions of a topic for which smaller numbers are tried
EVIDENCE_MIN = 14.0  # logarithm: chance makes less than one wrong verdict in a million topics
SHARE_MIN = 0.005  # of the places, for a second explanation

Place = tuple[bytes, int]


def _murmur2(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def _fnv1a(key: bytes) -> int:
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _signed_fnv1a(key: bytes) -> int:
    """Return the absolute value of a hash of 32 signed bits, as Sarama and librdkafka do."""
    return min(value := _fnv1a(key), (1 << 32) - value)


HASHES: Mapping[str, Callable[[bytes], int]] = {
    "murmur2": _murmur2,
    "CRC32": crc32,
    "FNV-1a": _signed_fnv1a,
    "FNV-1a (reference)": lambda key: _fnv1a(key) & 0x7FFFFFFF,
}
"""Name of each hash -> the function whose remainder is the partition."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A partitioner, and the places that it explains.

    Attributes:
        name: Name of the hash; empty for the places that no hash explains.
        partitions: Number of partitions with which the partition was computed; less than those of
            the topic if partitions were added afterwards.
        where: Partition -> number of places that the partitioner explains, and none before it.
    """

    name: str
    partitions: int
    where: Mapping[int, int]

    @property
    def places(self) -> int:
        """Number of places that the partitioner explains."""
        return sum(self.where.values())


@dataclass(frozen=True, slots=True)
class Partitioning:
    """The partitioners that a sample of places shows.

    Attributes:
        partitions: Number of partitions of the topic.
        places: Number of places that were examined.
        explanations: Explanations with enough evidence, in the order in which they were found.
        unexplained: The places that they leave.
        is_enough: Whether the places are enough to name a partitioner.
    """

    partitions: int
    places: int
    explanations: Sequence[Explanation]
    unexplained: Explanation
    is_enough: bool

    @property
    def current(self) -> list[Explanation]:
        """The explanations with the topic's number of partitions of today."""
        return [each for each in self.explanations if each.partitions == self.partitions]

    @property
    def earlier(self) -> list[Explanation]:
        """The explanations with a smaller number of partitions."""
        return [each for each in self.explanations if each.partitions < self.partitions]


def find_partitioners(places: Iterable[Place], partitions: int) -> Partitioning:
    """Return the partitioners that explain where keys are.

    Args:
        places: Different places.  Empty keys are left out: some partitioners spread them.
        partitions: Number of partitions of the topic.
    """
    left = chosen = _choose(places)
    explanations: list[Explanation] = []
    while left and len(explanations) < EXPLANATIONS_MAX:
        taken = {(each.name, each.partitions) for each in explanations}
        best = _best(left, partitions, taken)
        if best is None or (explanations and int(best[2].sum()) < SHARE_MIN * len(chosen)):
            break
        name, number, matches = best
        explained = [place for place, is_match in zip(left, matches, strict=True) if is_match]
        explanations.append(Explanation(name, number, _count(explained)))
        left = [place for place, is_match in zip(left, matches, strict=True) if not is_match]
    is_enough = _evidence(len(chosen), len(chosen), partitions) > _evidence_min(partitions)
    unexplained = Explanation("", partitions, _count(left))
    return Partitioning(partitions, len(chosen), explanations, unexplained, is_enough)


def _choose(places: Iterable[Place]) -> list[Place]:
    """Return as many places of each partition, spread over all that it has."""
    groups: dict[int, list[Place]] = defaultdict(list)
    for place in places:
        if 0 < len(place[0]) <= KEY_BYTES_MAX:
            groups[place[1]].append(place)
    if not groups:
        return []
    count = sum(map(len, groups.values()))
    key_bytes = sum(len(key) for group in groups.values() for key, _ in group) / count
    share = max(1, int(min(PLACES_MAX, HASHED_BYTES_MAX / key_bytes) / len(groups)))
    return [
        place
        for group in groups.values()
        for place in group[:: max(1, math.ceil(len(group) / share))]
    ]


def _count(places: Iterable[Place]) -> Mapping[int, int]:
    return Counter(number for _, number in places)


def _best(
    places: Sequence[Place], partitions: int, taken: set[tuple[str, int]]
) -> tuple[str, int, NDArray[np.bool_]] | None:
    """Return the hypothesis that explains most places, and which; ``None`` without evidence."""
    where = np.array([number for _, number in places], np.int64)
    best, most = None, 0
    numbers = range(partitions, 0, -1) if partitions <= EARLIER_COUNTS_MAX else [partitions]
    for name, function in HASHES.items():
        hashes = np.array([function(key) for key, _ in places], np.int64)
        for number in numbers:
            if (name, number) in taken:
                continue
            matches = hashes % number == where
            if (explained := int(matches.sum())) > most:
                best, most = (name, number, matches), explained
            if most == len(places):
                break
        if most == len(places):
            break
    is_evident = _evidence(most, len(places), partitions) > _evidence_min(partitions)
    return best if is_evident else None


def _evidence_min(partitions: int) -> float:
    return EVIDENCE_MIN + math.log(len(HASHES) * partitions)


def _evidence(explained: int, places: int, partitions: int) -> float:
    """Return how improbable it is that chance explains so many places, as a logarithm.

    Source: Chernoff's bound of a binomial tail.
    """
    if not places or explained * partitions <= places:
        return 0.0
    share, chance = explained / places, 1 / partitions
    rest = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return places * (share * math.log(share / chance) + rest)
