"""What a column can be in a feature spec: a number, one of some classes, yes or no, or nothing."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stream_rnn.spec.columns import WORD_LENGTH_MAX, Column
from stream_rnn.spec.key_and_time import IDS, epoch_unit, is_clock, words, words_of

NAME_MAX = 48  # FeatureSpec allows 64; a number or a suffix such as _missing may follow
SUFFIXES = ("", "_missing", "_cold", "_sin", "_cos")
CLASS_WORDS = IDS | words(
    "code type kind class category status state activity action event mode flag group zone label "
    "stage phase channel country region severity priority"
)
ACTING = words("activity action event status state type stage phase step operation page")
FEW_NUMBERS = 10
FEW_TEXTS = 20
COVERED_MIN = 0.5
HEAVY_TAIL = 10.0
CLIP_ROWS_MIN = 1_000
FAR_OUT = 3.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a column can be.

    Attributes:
        kind: of a feature; ``none``: it is left out.
        why: what speaks for it, as a sentence without its end.
        words: of a vocabulary, the most frequent first.
    """

    kind: Literal["numeric", "categorical", "boolean", "none"]
    why: str
    words: tuple[str, ...] = ()


class Names:
    """Gives out names that the spec allows, each once, with what the columns of x add to them."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wanted: str) -> str:
        """Return a legal name that is like ``wanted`` and not yet taken."""
        legal, number = legal_name(wanted), 1
        name = legal
        while self._taken & {name + suffix for suffix in SUFFIXES}:
            number += 1
            name = f"{legal}_{number}"
        self._taken |= {name + suffix for suffix in SUFFIXES}
        return name


def legal_name(wanted: str) -> str:
    """Return a name of letters, digits, ``_`` and ``-`` that begins with a letter.

    Example:
        >>> legal_name("Größe (cm)"), legal_name("2nd"), legal_name("🙂")
        ('Gro_e_cm', 'f_2nd', 'field')
    """
    plain = unicodedata.normalize("NFKD", wanted)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    name = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[:NAME_MAX].rstrip("_-")
    if not name:
        return "field"
    return name if name[0].isalpha() else f"f_{name}"


def role_of(column: Column, classes_max: int) -> Role:
    """Say what a column can be as a feature, or why it is left out."""
    if column.refusal:
        return Role("none", column.refusal)
    if not column.present:
        return Role("none", "it has no value at all")
    if is_clock(column):
        return Role("none", "it is a time; a feature is only the time since the previous event")
    if column.distinct == 1:
        return Role("none", "it has one value only, so it says nothing")
    if column.kind == "boolean":
        return Role("boolean", f"true or false{_lacking(column)}")
    return _text(column, classes_max) if column.kind == "text" else _number(column, classes_max)


def target_role(column: Column, classes_max: int) -> Role:
    """Say what a column can be as a target; more than as a feature, since it was asked for."""
    role = role_of(column, classes_max)
    is_number = column.kind in ("integer", "number") and not column.refusal
    if role.kind == "none" and is_number and column.distinct > 1:
        return Role("numeric", "a number, as asked")
    if role.kind == "none" and column.kind == "text" and not column.refusal and column.distinct > 1:
        kept = _kept(column, classes_max)
        return _categorical(column, kept, sum(n for _, n in kept) / column.present)
    return role


def feature_values(column: Column, role: Role) -> tuple[dict[str, Any], list[str]]:
    """Return what a spec says of a feature after its name and path, and why."""
    why = [role.why]
    if role.kind == "categorical":
        size = embedding_of(len(role.words))
        return {"vocabulary": role.words, "embedding": size, "missing": "indicator"}, why
    if role.kind == "boolean":
        return {"missing": "indicator"}, why
    scaling, clip, shape = _shape(column.numbers)
    missing = "indicator" if column.present < len(column.values) else "mean"
    values: dict[str, Any] = {"scaling": scaling}
    if clip is not None:
        values["clip"] = clip
    return {**values, "missing": missing}, [*why, *shape]


def embedding_of(words: int) -> int:
    """Return how many numbers stand for a class.

    Source:
        the rule of thumb of fastai's tabular models, 1.6 n^0.56, here from 2 to 64.
    """
    return int(min(64, max(2, round(1.6 * words**0.56))))


def _text(column: Column, classes_max: int) -> Role:
    kept = _kept(column, classes_max)
    covered = sum(n for _, n in kept) / column.present
    is_id = column.distinct > max(FEW_TEXTS, column.present / 2)
    if is_id or covered < COVERED_MIN:
        many = f"{column.distinct} texts in {column.present} rows"
        return Role("none", f"{many}: an id or free text, no vocabulary")
    return _categorical(column, kept, covered)


def _kept(column: Column, classes_max: int) -> list[tuple[str, int]]:
    return [(w, n) for w, n in column.counts if len(w) <= WORD_LENGTH_MAX][:classes_max]


def _categorical(column: Column, kept: list[tuple[str, int]], covered: float) -> Role:
    why = f"{column.distinct} values, the most frequent first{_lacking(column)}"
    if len(kept) < column.distinct:
        why += f"; the {len(kept)} kept are {covered:.1%} of the rows, others are index 0"
    return Role("categorical", why, tuple(word for word, _ in kept))


def _number(column: Column, classes_max: int) -> Role:
    unit, called = epoch_unit(column), words_of(column.path)
    if unit in ("µs", "ns") and column.kind == "integer":
        return Role("none", f"it looks like {unit} since 1970, which a spec cannot read as a time")
    if column.kind == "number":
        return Role("numeric", f"a number{_lacking(column)}")
    few = column.distinct <= min(FEW_NUMBERS, classes_max) and column.distinct < column.present
    named = called & CLASS_WORDS and column.distinct <= min(classes_max, column.present / 10)
    if few or named:
        role = _categorical(column, column.counts, 1.0)
        return Role(role.kind, f"few integers, taken as classes: {role.why}", role.words)
    if called & IDS:
        return Role("none", f"{column.distinct} integers and the name of an id: not a quantity")
    numbers = column.numbers
    if column.present > FEW_NUMBERS and bool((np.diff(numbers) > 0).all()):
        return Role("none", "it only counts up through the log: later values were never seen")
    return Role("numeric", f"an integer{_lacking(column)}")


def _lacking(column: Column) -> str:
    absent = len(column.values) - column.present
    return f", missing in {absent} of {len(column.values)} rows" if absent else ""


def _shape(
    numbers: np.ndarray[Any, np.dtype[np.float64]],
) -> tuple[str, list[float] | None, Iterable[str]]:
    """Return scaling, clip and why: by quantiles, which a few wild values cannot move."""
    low, quarter, middle, upper, high = np.quantile(numbers, (0.001, 0.25, 0.5, 0.75, 0.999))
    tail, usual = max(high - middle, middle - low), upper - quarter
    reach, typical = max(abs(low), abs(high)), float(np.median(np.abs(numbers)))
    why = []
    is_heavy = tail > HEAVY_TAIL * usual and reach > HEAVY_TAIL * max(typical, 1.0)
    if is_heavy:
        why.append(
            f"log, because its tail is heavy: half of it lies within {usual:g}, the outermost "
            f"thousandth {tail:g} away"
        )
    least, most = float(numbers.min()), float(numbers.max())
    beyond = max(most - high, low - least)
    if len(numbers) < CLIP_ROWS_MIN or not high > low or beyond <= FAR_OUT * (high - low):
        return "log" if is_heavy else "standard", None, why
    why.append(f"clip at the 0.1 and 99.9 percentiles: values reach from {least:g} to {most:g}")
    return "log" if is_heavy else "standard", [float(low), float(high)], why
