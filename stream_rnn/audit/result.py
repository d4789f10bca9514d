"""The result of an audit, and its options."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import orjson

from stream_rnn.audit.key_partitions import SplitKey

TOLERANCE = 1e-3  # absolute and relative, of outputs that were computed with other numerics

FAULT_KINDS = (
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
CUT_OVER_KINDS = ("two_folds", "number_falls", "not_in_charge", "same_number", "unreadable")
"""Kinds of faults at the cut-overs of a roll-out; see ``audit/cut_overs.py``."""

REPEAT_KINDS = {
    *("duplicated", "out_of_order", "dead_letters_duplicated"),
    *("two_folds", "number_falls", "not_in_charge"),
}
"""Kinds that ``at_least_once`` allows: a worker that is fenced late repeats outputs of another."""

WHY_NOT_COMPARABLE = {
    "began_before": "memories began before the range; steps, key, time and headers were checked",
    "other_fold": "another fold published outputs for them",
    "removed": "retention removed their outputs",
}
"""Reasons for which the outputs of events cannot be compared."""

KINDS = ("compared", *FAULT_KINDS, "not_comparable", "dead_letters")


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Options of an audit; by default, all keys are compared.

    Attributes:
        keys: Keys to compare; all if empty.
        sample: Share of the keys to compare, with all of their records; a stable hash chooses them.
        examples: Number of findings of each kind to show.
    """

    keys: frozenset[bytes] = frozenset()
    sample: float = 1.0
    examples: int = 5

    @property
    def includes_all_keys(self) -> bool:
        """Whether every key is compared."""
        return not self.keys and self.sample >= 1

    def includes_key(self, key: bytes | None) -> bool:
        """Return whether a key is compared."""
        if self.keys:
            return key in self.keys
        return self.sample >= 1 or crc32(key or b"") < self.sample * 2**32


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of an output.

    Attributes:
        kind: One of ``FAULT_KINDS``.
        partition: Source partition.
        offset: Source offset.
        key: Key of the record; empty if unknown.
        published: The published output; if it differs, the parts that differ, each after its name.
        replayed: The expected output, likewise.
        parts: Names of the parts that differ: timestamp, key, headers, value.  If the shown copy
            equals the replay's, this is ``copies`` if another copy differs, or ``steps`` if the
            steps are impossible.
    """

    kind: str
    partition: int
    offset: int
    key: str
    published: str | None
    replayed: str | None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CutOver:
    """A cut-over, as the outputs of a partition and its group offset show it.

    The cut-over was at an offset above ``last_before`` and up to ``offset``.  These are neighbours
    unless the records between them have no output.

    Attributes:
        partition: Source partition.
        number: Number of the cut-over; 0 if workers took another bundle without a roll-out.
        before: Fold that was in charge before; ``None`` if no output shows it.
        fold: Fold that has been in charge since; the same for a finish and a cancelled promote.
        last_before: Last source offset with an output from before; ``None`` if there is none.
        offset: First source offset with an output of the fold; the group offset if there is none.
        has_output: Whether there is such an output.
    """

    partition: int
    number: int
    before: str | None
    fold: str
    last_before: int | None
    offset: int
    has_output: bool = True


@dataclass(slots=True)
class AuditResult:
    """The result of an audit.

    Attributes:
        counts: Number of outputs by kind: compared, missing, duplicated, different, unexpected,
            out_of_order, not_comparable, dead_letters, dead_letters_missing, ...
        why_not_comparable: Number of events by reason; see ``WHY_NOT_COMPARABLE``.
        dead_letters_compared: Number of dead letters that were compared.
        filtered: Number of records that ``event.only`` of the spec filters; they have no output.
        other_folds: Number of predictions of this app's other folds.  An event for which one of
            them published an output is neither missing nor compared.
        other_folds_by_id: Fold id -> number of its predictions.
        other_numerics: Number of events whose predictions were compared by value, because they or a
            part of their memory were computed with other numerics.
        ranges: Partition -> first offset and offset after the last one that was audited.
        keys: Number of keys with events in the range.
        keys_in_several_partitions: Number of keys with events in several partitions, each with a
            separate memory; ``None`` if only one partition was audited.
        keys_are_estimates: Whether both numbers are estimates from a sample of the keys.
        split_keys: Some keys with events in several partitions.
        warnings: Sentences, each about a state that is no fault of an output.
        problems: Sentences, each about a state that must not occur.
        notes: Sentences, each about outputs or records that were not compared.
        examples: First findings of each kind.
        folds: The result of each fold, by fold id, if several folds were audited.
        cut_overs: Cut-overs of each partition, in order, if several folds were audited.
    """

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((*KINDS, *CUT_OVER_KINDS), 0)
    )
    why_not_comparable: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(WHY_NOT_COMPARABLE, 0)
    )
    dead_letters_compared: int = 0
    filtered: int = 0
    other_folds: int = 0
    other_folds_by_id: dict[str, int] = field(default_factory=dict)
    other_numerics: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    keys: int = 0
    keys_in_several_partitions: int | None = None
    keys_are_estimates: bool = False
    split_keys: list[SplitKey] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    examples: list[Finding] = field(default_factory=list)
    folds: dict[str, "AuditResult"] = field(default_factory=dict)
    cut_overs: list[CutOver] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether no prediction was compared; false if it compared dead letters alone."""
        if self.counts["compared"]:
            return False
        return not self.dead_letters_compared or self.counts["not_comparable"] > 0

    def count_not_comparable(self, reason: str) -> None:
        """Count an event whose output cannot be compared."""
        self.counts["not_comparable"] += 1
        self.why_not_comparable[reason] += 1

    def add_other_folds(self, count: int, by_id: Mapping[str, int]) -> None:
        """Add the number of predictions of other folds, in total and by fold id."""
        self.other_folds += count
        for fold, predictions in by_id.items():
            self.other_folds_by_id[fold] = self.other_folds_by_id.get(fold, 0) + predictions

    def fault_kinds(self, delivery: str) -> list[str]:
        """Return the kinds of faults that occurred and that a delivery does not allow."""
        allowed = REPEAT_KINDS if delivery == "at_least_once" else set()
        kinds = (*FAULT_KINDS, *CUT_OVER_KINDS)
        return [kind for kind in kinds if self.counts[kind] and kind not in allowed]

    def is_fine(self, delivery: str) -> bool:
        """Return whether there are neither faults nor problems.

        An audit that could compare nothing proves nothing, and is not fine.
        """
        return not (self.is_empty or self.problems or self.fault_kinds(delivery))


def is_close(
    published: bytes, replayed: bytes, labels: Mapping[str, Collection[str]] | None = None
) -> bool:
    """Return whether two predictions differ in nothing but the last digits of their outputs.

    Args:
        published: The published prediction.
        replayed: The expected prediction.
        labels: All classes of each head; ``None`` to allow those that ``replayed`` names.
    """
    try:
        content, expected = orjson.loads(published), orjson.loads(replayed)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(content, dict):
        return False
    if not all(isinstance(side.pop("numerics", None), str) for side in (content, expected)):
        return False
    outputs, expected_outputs = content.pop("outputs", None), expected.pop("outputs", None)
    if content != expected:
        return False
    if not (isinstance(outputs, dict) and isinstance(expected_outputs, dict)):
        return False
    return outputs.keys() == expected_outputs.keys() and all(
        _is_output_close(
            output, expected_outputs[head], None if labels is None else labels.get(head)
        )
        for head, output in outputs.items()
    )


def _is_output_close(output: Any, expected: Any, labels: Collection[str] | None) -> bool:
    """Compare two outputs of a head; classes with nearly the same probability may change places."""
    are_objects = isinstance(output, dict) and isinstance(expected, dict)
    if not are_objects or output.keys() != expected.keys():
        return False
    if "top" not in expected:
        return all(_are_close(output[name], expected[name]) for name in output)
    classes, expected_classes = _classes_of(output), _classes_of(expected)
    if classes is None or expected_classes is None or len(classes) != len(expected_classes):
        return False
    if labels is not None and not classes.keys() <= set(labels):
        return False
    if not all(map(_are_close, classes.values(), expected_classes.values())):
        return False
    best = max(expected_classes.values())
    return (
        _upper_bound(output["class"], expected_classes) >= best - TOLERANCE
        and all(_can_have(label, value, expected_classes) for label, value in classes.items())
        and all(_can_have(label, value, classes) for label, value in expected_classes.items())
    )


def _classes_of(output: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the probabilities of the likeliest classes; ``None`` if they are out of order."""
    top = output["top"]
    if not isinstance(top, list) or not top:
        return None
    probabilities: dict[str, float] = {}
    previous = math.inf
    for pair in top:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            return None
        label, value = pair
        if label in probabilities or not _is_number(value) or value > previous:
            return None
        probabilities[label] = previous = value
    is_first = [output.get("class"), output.get("probability")] == top[0]
    return probabilities if is_first else None


def _upper_bound(label: str, top: Mapping[str, float]) -> float:
    """Return the probability of a class, or its upper bound if the class is not in ``top``."""
    return top.get(label, min(*top.values(), 1 - sum(top.values())))


def _can_have(label: str, value: float, top: Mapping[str, float]) -> bool:
    if label in top:
        return _are_close(value, top[label])
    return value <= _upper_bound(label, top) + TOLERANCE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_close(value: Any, expected: Any) -> bool:
    if _is_number(value) and _is_number(expected):
        return math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(value) is type(expected) and bool(value == expected)
