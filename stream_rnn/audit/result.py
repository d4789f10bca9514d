"""What an audit finds, and which keys it looks at."""

import math
from collections.abc import Collection, Mapping
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
    "out_of_order",
    "dead_letters_missing",
    "dead_letters_duplicated",
    "dead_letters_different",
    "dead_letters_unexpected",
)
REPEATED = {"duplicated", "out_of_order", "dead_letters_duplicated"}
"""What ``at_least_once`` allows: a worker that is fenced late repeats what another one has sent."""

WHY_NOT = {
    "began_before": "memories began before the range; steps, key, time and headers were checked",
    "other_fold": "another fold published them",
    "removed": "retention removed them from the outputs",
}
"""Why an event's output could not be compared."""

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
    """One thing that is not as it should be.

    Attributes:
        kind: one of ``WRONG``.
        partition: of the source.
        offset: of the source.
        key: of the record, if it is known.
        published: what is there; of what differs the parts that do, each after its name.
        replayed: what should be there, likewise.
        parts: what differs: timestamp, key, headers, value; of what is as the replay's it is
            ``copies``, where another copy is not, or ``steps``, where they are impossible.
    """

    kind: str
    partition: int
    offset: int
    key: str
    published: str | None
    replayed: str | None
    parts: tuple[str, ...] = ()


@dataclass(slots=True)
class Audit:
    """What an audit found.

    Attributes:
        counts: compared, missing, duplicated, different, unexpected, out_of_order,
            not_comparable, and of dead letters dead_letters, dead_letters_missing, ...
        why_not: not_comparable by reason; see ``WHY_NOT``.
        letters_compared: dead letters that were there and were compared.
        other_folds: predictions of this app's other folds: an event that one of them answered is
            not missing, and not compared.
        folds: other fold -> its predictions.
        other_numerics: compared by value, since another kind of machine computed them or a part
            of what their memory holds.
        ranges: partition -> [start, end) that was audited.
        problems: sentences, each of something that must not be so.
        notes: sentences, each of something that was not looked at.
        examples: the first findings of each kind.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    why_not: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WHY_NOT, 0))
    letters_compared: int = 0
    other_folds: int = 0
    folds: dict[str, int] = field(default_factory=dict)
    other_numerics: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    examples: list[Finding] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be compared, or of all events no prediction."""
        if self.counts["compared"]:
            return False
        return not self.letters_compared or self.counts["not_comparable"] > 0

    def leave_out(self, reason: str) -> None:
        """Count an event whose output cannot be compared."""
        self.counts["not_comparable"] += 1
        self.why_not[reason] += 1

    def wrong(self, delivery: str) -> list[str]:
        """Return the kinds of wrong that were found; at least once, repeating is none."""
        allowed = REPEATED if delivery == "at_least_once" else set()
        return [kind for kind in WRONG if self.counts[kind] and kind not in allowed]

    def is_fine(self, delivery: str) -> bool:
        """Tell whether nothing is wrong.

        Where nothing could be compared nothing is shown, and that is not fine.
        """
        return not (self.is_empty or self.problems or self.wrong(delivery))


def is_close(
    published: bytes, replayed: bytes, labels: Mapping[str, Collection[str]] | None = None
) -> bool:
    """Tell whether two predictions say the same but for the last digits of their outputs.

    Args:
        published: what is there.
        replayed: what should be there.
        labels: all classes of each head; ``None``: those that ``replayed`` names.
    """
    try:
        one, other = orjson.loads(published), orjson.loads(replayed)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(one, dict):
        return False
    if not all(isinstance(content.pop("numerics", None), str) for content in (one, other)):
        return False
    said, right = one.pop("outputs", None), other.pop("outputs", None)
    if one != other or not (isinstance(said, dict) and isinstance(right, dict)):
        return False
    return said.keys() == right.keys() and all(
        _is_near(said[head], right[head], None if labels is None else labels.get(head))
        for head in said
    )


def _is_near(one: Any, other: Any, labels: Collection[str] | None) -> bool:
    """Compare what a head gave: numbers nearly, and classes as far as near ties may turn."""
    if not (isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys()):
        return False
    if "top" not in other:
        return all(_are_near(one[name], other[name]) for name in one)
    said, right = _classes_of(one), _classes_of(other)
    if said is None or right is None or len(said) != len(right):
        return False
    if labels is not None and not said.keys() <= set(labels):
        return False
    if not all(map(_are_near, said.values(), right.values())):
        return False
    best = max(right.values())
    return (
        _most(one["class"], right) >= best - TOLERANCE
        and all(_may_be(label, value, right) for label, value in said.items())
        and all(_may_be(label, value, said) for label, value in right.items())
    )


def _classes_of(output: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the likeliest classes, the first one first; ``None`` if they are not in order."""
    top = output["top"]
    if not isinstance(top, list) or not top:
        return None
    found: dict[str, float] = {}
    least = math.inf
    for pair in top:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            return None
        label, value = pair
        if label in found or not _is_number(value) or value > least:
            return None
        found[label] = least = value
    is_first = [output.get("class"), output.get("probability")] == top[0]
    return found if is_first else None


def _most(label: str, top: Mapping[str, float]) -> float:
    """Return a class's probability; of one that is not among the likeliest, the most it can be."""
    return top.get(label, min(*top.values(), 1 - sum(top.values())))


def _may_be(label: str, value: float, top: Mapping[str, float]) -> bool:
    return _are_near(value, top[label]) if label in top else value <= _most(label, top) + TOLERANCE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_near(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(one) is type(other) and bool(one == other)
