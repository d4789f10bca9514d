"""Roles of a column in a feature spec: numeric, categorical, boolean, or none."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from stream_rnn.spec.array_columns import Arrays, describe_arrays, describe_lists
from stream_rnn.spec.columns import WORD_LENGTH_MAX, Column
from stream_rnn.spec.json_columns import NAN_REMEDY
from stream_rnn.spec.names import CLASS_WORDS, ID_WORDS, split_words
from stream_rnn.spec.notations import describe_notation
from stream_rnn.spec.stand_ins import describe_stand_ins
from stream_rnn.spec.text_columns import EXACT_MAX
from stream_rnn.spec.unreadable_times import unreadable_time
from stream_rnn.text import printable

NAME_MAX = 48  # FeatureSpec allows 64; the rest is for a number and a suffix such as _missing
SUFFIXES = ("", "_missing", "_cold", "_sin", "_cos")
FEW_NUMBERS = 10
FEW_TEXTS = 20
COVERED_MIN = 0.5
BUCKETS_MIN = 1024
BUCKETS_MOST = 65_536
HASHED_SIZE_MAX = 16
LISTED_MIN = 32
HEAVY_TAIL = 10.0
CLIP_ROWS_MIN = 1_000
FAR_OUT = 3.0
FLAG_ABOVE = 0.5  # separates 0 from 1
YES_NO = ({"yes", "no"}, {"y", "n"}, {"t", "f"}, {"ja", "nein"}, {"on", "off"}, {"oui", "non"})


@dataclass(frozen=True, slots=True)
class Role:
    """The use of a column as a feature or a target.

    Attributes:
        kind: Kind of the feature; ``none`` leaves the column out, and ``flag`` is a number that is
            0 or 1.
        reason: Reason for the choice, without a full stop, for a comment in the spec.
        words: Words of the vocabulary, the most frequent first; empty unless categorical.
    """

    kind: Literal[
        "numeric", "categorical", "boolean", "flag", "vector", "hashed", "multi_categorical", "none"
    ]
    reason: str
    words: tuple[str, ...] = ()

    @property
    def feature_kind(self) -> str:
        """Kind of the feature in a spec."""
        return "numeric" if self.kind == "flag" else self.kind


class UniqueNames:
    """Legal and distinct names of features or heads.

    A column of x may be named by the feature's name with a suffix; these names are distinct, too.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def add(self, text: str, places: int = 0) -> str:
        """Return a legal name that resembles ``text`` and that no earlier call has returned.

        Args:
            text: The text.
            places: Number of places of a vector.
        """
        suffixes = (*SUFFIXES, *(f"_{place}" for place in range(places)))
        legal, number = legal_name(text), 1
        name = legal
        while self._taken & {name + suffix for suffix in suffixes}:
            number += 1
            name = f"{legal}_{number}"
        self._taken |= {name + suffix for suffix in suffixes}
        return name


def legal_name(text: str) -> str:
    """Turn a text into a name of letters, digits, ``_`` and ``-`` that begins with a letter.

    Example:
        >>> legal_name("Größe (cm)"), legal_name("2nd"), legal_name("🙂")
        ('Gro_e_cm', 'f_2nd', 'field')
    """
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    name = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[:NAME_MAX].rstrip("_-")
    if not name:
        return "field"
    return name if name[0].isalpha() else f"f_{name}"


def choose_feature_role(column: Column, classes_max: int, *, is_clock: bool = False) -> Role:
    """Choose the role of a column as a feature.

    Args:
        column: Column of the event.
        classes_max: Maximum number of words of a vocabulary.
        is_clock: Whether the values are times.
    """
    if column.arrays is not None:
        reason = describe_arrays(column.arrays, len(column.values))
        if not column.arrays.words:
            return Role("vector", reason)
        few = len(column.arrays.words) <= classes_max
        return Role("multi_categorical", reason, column.arrays.words if few else ())
    role = _feature_role(column, classes_max, is_clock=is_clock)
    if role.kind != "none":
        return role
    return Role("none", "; ".join((role.reason, *column.notes)))


def _feature_role(column: Column, classes_max: int, *, is_clock: bool) -> Role:
    if reason := _useless(column, is_clock=is_clock):
        return Role("none", reason)
    if column.kind == "boolean":
        return Role("boolean", f"true or false{_missing_note(column)}")
    if column.kind == "text":
        role = _text_role(column, classes_max)
        return replace(role, reason=role.reason + describe_lists(column.counts))
    return _number_role(column, classes_max)


def _useless(column: Column, *, is_clock: bool) -> str:
    """Return why a column cannot be a feature, whatever its values mean; empty if it can."""
    if column.refusal:
        return column.refusal
    if not column.present:
        return "it has no value at all"
    if is_clock:
        return "it is a time; features of time are made from the event time only"
    if column.distinct == 1:
        return _same_value(column)
    return unreadable_time(column)


def _same_value(column: Column) -> str:
    value = printable(str(column.words.drop_nulls()[0]), 20)
    if absent := len(column.values) - column.present:
        return (
            f"it has the same value, {value}, in {column.present} rows, and {absent} lack it; if "
            "that is an answer, write true and false"
        )
    return f"it has the same value in every row, {value}"


def choose_target_role(column: Column, classes_max: int, *, is_clock: bool = False) -> Role:
    """Choose the role of a column that --target names.

    A target may be a column that is left out as a feature, such as an id or a counter.
    """
    if column.arrays is not None:
        return Role("none", column.refusal)
    role = choose_feature_role(column, classes_max, is_clock=is_clock)
    is_number = column.kind in ("integer", "number") and not column.refusal
    if role.kind == "none" and is_number and column.distinct > 1:
        return Role("numeric", "a number")
    is_text = column.kind == "text" and not column.refusal and column.distinct > 1
    if role.kind in ("none", "hashed") and is_text:
        classes = _most_frequent(column, classes_max)
        return _categorical(column, classes, sum(n for _, n in classes) / column.present)
    return role


def feature_options(column: Column, role: Role) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a feature besides name, kind and path, and the reasons for them."""
    reasons = [role.reason, *column.notes]
    if role.kind == "categorical":
        size = embedding_size(len(role.words))
        return {"vocabulary": role.words, "embedding": size, "missing": "indicator"}, reasons
    if column.arrays is not None:
        return _options_of_arrays(column.arrays, role), reasons
    if role.kind == "hashed":
        return {**_buckets(column.distinct), "missing": "indicator"}, reasons
    return _options_of_values(column, role, reasons)


def _options_of_values(
    column: Column, role: Role, reasons: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a number or a boolean, and the reasons for them."""
    parse = {"parse": True} if column.needs_parse else {}
    if parse:
        reasons.append("its values are texts in the log, hence parse = true")
    if role.kind == "boolean":
        return {"missing": "indicator", **parse}, reasons
    reasons += [*_unread_notes(column), *filter(None, [describe_stand_ins(column)])]
    missing = "indicator" if column.present < len(column.values) else "mean"
    if role.kind == "flag":
        return {"scaling": "none", "missing": missing, **parse}, reasons
    scaling, clip, shape = _choose_scaling(column.numbers)
    values: dict[str, Any] = {"scaling": scaling}
    if clip is not None:
        values["clip"] = clip
    return {**values, "missing": missing, **parse}, [*reasons, *shape]


def _buckets(words: int) -> dict[str, Any]:
    size = min(HASHED_SIZE_MAX, embedding_size(words))
    buckets = min(max(BUCKETS_MIN, 1 << (words - 1).bit_length()), BUCKETS_MOST)
    return {"buckets": buckets, "embedding": size}


def _options_of_arrays(arrays: Arrays, role: Role) -> dict[str, Any]:
    if arrays.words:
        words: dict[str, Any] = _buckets(len(arrays.words))
        if role.words:
            words = {"vocabulary": role.words, "embedding": embedding_size(len(role.words))}
        return {**words, "max_length": max(LISTED_MIN, arrays.length), "missing": "indicator"}
    missing = "indicator" if arrays.absent or arrays.gaps else "mean"
    return {"length": arrays.length, "scaling": "standard", "missing": missing}


def embedding_size(words: int) -> int:
    """Return the embedding size of a vocabulary, from 2 to 64.

    Source:
        The rule of thumb of fastai's tabular models, 1.6 n^0.56.
    """
    return int(min(64, max(2, round(1.6 * words**0.56))))


def _text_role(column: Column, classes_max: int) -> Role:
    if column.symbols and len(column.symbols) <= classes_max:
        seen = f"{column.distinct} of {len(column.symbols)} occur{_missing_note(column)}"
        reason = f"an enum of the schema, whose symbols are the vocabulary; {seen}"
        return Role("categorical", reason, column.symbols)
    if column.mixture and column.distinct > FEW_TEXTS:
        return Role("none", column.mixture)
    first = column.values.drop_nulls()[0].strip()
    if first[:1] + first[-1:] in ("{}", "[]") and len(first) > 2:
        return Role("none", "it is JSON within a text, which no spec reads; write it as an object")
    classes = _most_frequent(column, classes_max)
    coverage = sum(n for _, n in classes) / column.present
    is_id = column.distinct > max(FEW_TEXTS, column.present / 2)
    if not is_id and coverage < COVERED_MIN:
        reason = f"{column.distinct} different texts{_missing_note(column)}, by a hash of each"
        return Role(
            "hashed", f"{reason}; a vocabulary of {len(classes)} covers {coverage:.1%} of rows"
        )
    if is_id:
        size = f"{column.distinct} different texts in {column.present} rows"
        lost = f"an id or free text, not a category; its {len(classes)} most frequent texts would"
        return Role(
            "none", f"{size}: {lost} cover {coverage:.1%} of the rows, and all of it is lost"
        )
    return _categorical(column, classes, coverage)


def _most_frequent(column: Column, classes_max: int) -> list[tuple[str, int]]:
    return [(w, n) for w, n in column.counts if len(w) <= WORD_LENGTH_MAX][:classes_max]


def _categorical(column: Column, classes: list[tuple[str, int]], coverage: float) -> Role:
    reason = f"{column.distinct} different values{_missing_note(column)}"
    if len(classes) < column.distinct:
        reason += f"; the {len(classes)} most frequent cover {coverage:.1%} of the rows"
    words = tuple(word for word, _ in classes)
    if {word.lower() for word in words} in YES_NO:
        reason += "; for a binary head, write them as true and false"
    return Role("categorical", reason, words)


def _number_role(column: Column, classes_max: int) -> Role:
    name_words = split_words(column.parts[-1])
    if column.is_flag:
        reason = f"0 and 1, taken as a yes-or-no number without scaling{_missing_note(column)}"
        return Role("flag", reason)
    if column.kind == "number":
        return Role("numeric", f"a number{_missing_note(column)}")
    has_few = column.distinct <= min(FEW_NUMBERS, classes_max) and column.distinct < column.present
    may_be_class = column.distinct <= min(classes_max, column.present / 10)
    if has_few or (name_words & CLASS_WORDS and may_be_class):
        role = _categorical(column, column.counts, 1.0)
        reason = f"whole numbers, taken as a category: {role.reason}"
        return Role(
            role.kind, f'{reason}; if their order matters, use kind = "numeric"', role.words
        )
    if reason := _counts_nothing(column):
        return Role("none", reason)
    return Role("numeric", f"an integer{_missing_note(column)}")


def _counts_nothing(column: Column) -> str:
    """Return why whole numbers are no quantity; empty if they are one."""
    numbers = column.numbers
    if float(np.abs(numbers).max()) > EXACT_MAX:
        return (
            "its whole numbers go beyond 2^53, where a float has no place for each of them: "
            f"{column.distinct} values, taken as ids; as a key or a category they stay exact"
        )
    if split_words(column.parts[-1]) & ID_WORDS:
        return f"its name is that of an id, and it has {column.distinct} values"
    if column.present > FEW_NUMBERS and bool((np.diff(numbers) > 0).all()):
        return "it only counts up, so later values lie outside of its range here"
    return ""


def _unread_notes(column: Column) -> list[str]:
    """Return what the texts among numbers are, which make their records dead letters."""
    if not column.unread:
        return []
    rows = sum(column.unread.values())
    if column.texts is None:  # bare words of JSON, not texts
        word = next(iter(column.unread))
        return [f"{word} is no JSON: {rows} rows with it are skipped; {NAN_REMEDY}"]
    if notation := describe_notation(column.unread):
        return [f"{rows} rows become dead letters, whose texts are numbers {notation}"]
    text = printable(next(iter(column.unread)), 20)
    return [f"{text!r} is no number: {rows} rows with such texts become dead letters"]


def _missing_note(column: Column) -> str:
    absent = len(column.values) - column.present - sum(column.unread.values())
    more = ", which is more than half" if 2 * absent > len(column.values) else ""
    return f", missing in {absent} of {len(column.values)} rows{more}" if absent else ""


def _choose_scaling(
    numbers: np.ndarray[Any, np.dtype[np.float64]],
) -> tuple[str, list[float] | None, Iterable[str]]:
    """Return scaling, clip and the reasons, from quantiles, which a few outliers do not move."""
    low, quarter, middle, upper, high = np.quantile(numbers, (0.001, 0.25, 0.5, 0.75, 0.999))
    tail, spread = max(high - middle, middle - low), upper - quarter
    extent, typical = max(abs(low), abs(high)), float(np.median(np.abs(numbers)))
    reasons = []
    is_heavy = tail > HEAVY_TAIL * spread and extent > HEAVY_TAIL * max(typical, 1.0)
    if is_heavy:
        reasons.append(
            f"scaled by log for its heavy tail: the interquartile range is {spread:g}, and the "
            f"percentile 0.1 or 99.9 is {tail:g} away from the median"
        )
    least, most = float(numbers.min()), float(numbers.max())
    beyond = max(most - high, low - least)
    if len(numbers) < CLIP_ROWS_MIN or not high > low or beyond <= FAR_OUT * (high - low):
        return "log" if is_heavy else "standard", None, reasons
    reasons.append(f"clipped to its percentiles 0.1 and 99.9: it ranges from {least:g} to {most:g}")
    return "log" if is_heavy else "standard", [float(low), float(high)], reasons
