"""The guess of what to predict: the columns whose next value a head could predict, ranked."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream_rnn.spec.column_roles import Role
from stream_rnn.spec.columns import Column, Pairs, measure_change, steps_vary
from stream_rnn.spec.names import LABEL_WORDS, VALUE_WORDS, is_action_name, split_words, words
from stream_rnn.spec.questions import Candidate, Question

CHANGES_MIN = 0.05  # a target that changes more rarely is predicted by its last value
LABEL_CLASSES_MAX = 10
EVENT_WORDS = words("activity action event concept aktivität ereignis")


@dataclass(frozen=True, eq=False)
class Target:
    """A column whose next value a head could predict.

    Attributes:
        column: The column.
        role: Its role.
        reason: Reason for the head, without a full stop.
        rank: Order of the targets, the best first.
        is_label: Whether the column is named as an outcome is.
    """

    column: Column
    role: Role
    reason: str
    rank: tuple[float, ...]
    is_label: bool

    @property
    def is_rare(self) -> bool:
        """Whether the value hardly changes within a key."""
        return bool(self.rank[0])


def rank_targets(candidates: Sequence[tuple[Column, Role]], pairs: Pairs) -> list[Target]:
    """Rank columns as targets.

    Outcomes come first, then columns that change before columns that do not; among them, names of
    actions come first, then other classes, then numbers.

    Args:
        candidates: Columns with their roles.
        pairs: Successive events of one key.
    """
    targets = [
        _target(column, role, pairs)
        for column, role in candidates
        if role.kind not in ("none", "hashed") and len(role.words) != 1
    ]
    return sorted(targets, key=lambda target: (not target.is_label, *target.rank))


def score_targets(targets: Sequence[Target], paths: Sequence[str]) -> list[Candidate]:
    """Return the targets with the confidence that somebody wants to predict them.

    Args:
        targets: Ranked targets.
        paths: Paths of the targets from the event on.
    """
    labels = sum(target.is_label for target in targets)
    usual = [target for target in targets if not target.is_rare]
    numbers = sum(target.role.kind == "numeric" for target in usual)
    scored = []
    for path, target in zip(paths, targets, strict=True):
        names, is_number = split_words(target.column.parts[-1]), target.role.kind == "numeric"
        confidence, reason = 0.45, target.reason
        if target.is_label:
            confidence = 0.85 if labels == 1 else 0.5
            reason = f"its name is that of an outcome; it {reason}"
        elif target.is_rare:
            confidence = 0.2
        elif len(targets) == 1:
            confidence, reason = 0.9, f"it is the only field to predict; it {reason}"
        elif is_action_name(target.column.parts) and not is_number:
            confidence = 0.82 if names & EVENT_WORDS else 0.8
            reason = f"its name is that of an action or a state; it {reason}"
        elif is_number and numbers == 1 and names & VALUE_WORDS:
            confidence, reason = 0.7, f"it is the only number that changes; it {reason}"
        elif len(usual) == 1:
            confidence, reason = 0.7, f"no other field changes often; it {reason}"
        scored.append(Candidate(path, confidence, reason))
    return scored


def target_question(candidates: Sequence[Candidate]) -> Question:
    """Return the question for the target."""
    text = "Which field is to be predicted?"
    hint = "A target in another file is given by --of label, one of the same event by --of now."
    ranked = sorted(candidates, key=lambda candidate: -candidate.confidence)
    return Question(text, "--target", ranked, hint)


def _target(column: Column, role: Role, pairs: Pairs) -> Target:
    changes, bits = measure_change(column, pairs)
    reason = f"changes from one event of a key to the next in {changes:.0%} of the cases"
    is_rare = changes < CHANGES_MIN
    names = split_words(column.parts[-1])
    if role.kind == "numeric":
        rank = (2.0, -changes)
        is_rare = is_rare or not steps_vary(column, pairs)
    else:
        rank = (0.0 if is_action_name(column.parts) else 1.0, -bits)
        reason += f"; a value gives {max(bits, 0):.2f} bits of information about the next one"
    classes = len(role.words) or (2 if role.kind in ("boolean", "flag") else 0)
    is_label = bool(names & LABEL_WORDS) and 2 <= classes <= LABEL_CLASSES_MAX and changes > 0
    return Target(column, role, reason, (float(is_rare), *rank), is_label)
