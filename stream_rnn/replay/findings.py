"""What an audit finds, and which keys it looks at."""

import math
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import orjson

TOLERANCE = 1e-3  # of outputs that another kind of machine computed

WRONG = (
    "missing",
    "duplicated",
    "different",
    "unexpected",
    "dead_letters_missing",
    "dead_letters_different",
)
KINDS = ("compared", *WRONG, "not_comparable", "dead_letters")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which keys are compared; all if nothing is said.

    Attributes:
        keys: these.
        sample: a share of the keys, by a stable hash: each with all its records.
        examples: findings of each kind that are shown.
    """

    keys: frozenset[bytes] = frozenset()
    sample: float = 1.0
    examples: int = 5

    @property
    def is_all(self) -> bool:
        """Whether every key is compared."""
        return not self.keys and self.sample >= 1

    def takes(self, key: bytes | None) -> bool:
        """Tell whether a key is compared."""
        if self.keys:
            return key in self.keys
        return self.sample >= 1 or crc32(key or b"") < self.sample * 2**32


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    partition: int
    offset: int
    key: str
    published: str | None
    replayed: str | None


@dataclass(slots=True)
class Audit:
    """What an audit found.

    Attributes:
        counts: compared, missing, duplicated, different, unexpected, not_comparable, and of dead
            letters dead_letters, dead_letters_missing, dead_letters_different.
        other_folds: predictions of this app's other folds: an event that one of them answered is
            not missing, and not compared.
        other_numerics: compared by value, since another kind of machine computed them.
        ranges: partition -> [start, end) that was audited.
        examples: the first findings of each kind.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    other_folds: int = 0
    other_numerics: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    examples: list[Finding] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there was something, and nothing of it could be compared."""
        return not self.counts["compared"] and bool(self.counts["not_comparable"])

    def is_fine(self, delivery: str) -> bool:
        """Tell whether nothing is wrong; at least once, repeated predictions are not.

        Where nothing could be compared nothing is shown, and that is not fine.
        """
        if self.is_empty:
            return False
        wrong = set(WRONG) - ({"duplicated"} if delivery == "at_least_once" else set())
        return not any(self.counts[kind] for kind in wrong)


def is_close(published: bytes, replayed: bytes) -> bool:
    """Tell whether two predictions say the same but for the last digits of their outputs."""
    try:
        one, other = orjson.loads(published), orjson.loads(replayed)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(one, dict):
        return False
    for content in (one, other):
        content.pop("numerics", None)
    outputs = one.pop("outputs", None), other.pop("outputs", None)
    return one == other and _is_near(*outputs)


def _is_near(one: Any, other: Any) -> bool:
    """Compare outputs: numbers nearly; of a class its probability, since near ties may turn."""
    if isinstance(one, dict) and isinstance(other, dict):
        if "top" in one and "top" in other:
            return _is_near(one.get("probability"), other.get("probability"))
        return one.keys() == other.keys() and all(_is_near(one[k], other[k]) for k in one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
