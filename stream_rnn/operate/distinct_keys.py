"""The number of distinct keys among keys that may repeat, counted in bounded memory."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

HASHES_MAX = 200_000


@dataclass(slots=True)
class DistinctKeys:
    """A count of keys that come once, or seldom more often, as in a scan of a hash of Redis.

    It keeps the hashes of a sample of the keys.  The count is exact for at most ``hashes_max``
    keys, and for any number of keys of which none repeats.  Otherwise it is an estimate: the number
    of keys that came, times the share of distinct ones in the sample.

    Args:
        hashes_max: Greatest number of hashes that are kept.
    """

    hashes_max: int = HASHES_MAX
    _came: int = 0
    _mask: int = 0  # the sample has the hashes without a bit of it
    _sample: Counter[int] = field(default_factory=Counter)

    def add(self, keys: Iterable[bytes]) -> None:
        """Count some more keys."""
        for key in keys:
            self._came += 1
            number = hash(key)
            if number & self._mask:
                continue
            self._sample[number] += 1
            while len(self._sample) > self.hashes_max:
                self._mask = 2 * self._mask + 1
                kept = {n: count for n, count in self._sample.items() if not n & self._mask}
                self._sample = Counter(kept)

    @property
    def count(self) -> int:
        """Number of distinct keys."""
        sampled = self._sample.total()
        return round(self._came * len(self._sample) / sampled) if sampled else 0
