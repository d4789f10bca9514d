"""Columns of text, turned into what their texts are: whole numbers, numbers, booleans, or text.

A number with a leading zero (``007``) is text, and so are numbers of which two texts have the same
value (``1.1`` and ``1.10``), if both are frequent or the column is named so: such texts are ids or
versions.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

import polars as pl

from stream_rnn.model.file_format import MISSING_WORDS
from stream_rnn.spec.array_columns import find_text_arrays
from stream_rnn.spec.columns import ARRAYS_REFUSAL, Column, Kind
from stream_rnn.spec.names import ID_WORDS, last_word, split_words, words
from stream_rnn.spec.notations import describe_notation
from stream_rnn.text import printable

NUMBERS_MIN = 0.95  # share of numbers in a column of numbers
WORDY_NUMBERS_MIN = 0.5  # the same, if all other texts are known words for a missing value
VERSIONS_MAX = 200  # different texts of a column of versions
VERSION_SHARE_MIN = 0.005  # share of rows with the rarer of two texts of one number
VERSION_WORDS = words("version versions ver firmware fw release build software revision")
OTHER_MISSING_WORDS = frozenset(
    {"-", "--", "---", "?", ".", "*", "na", "n.a.", "N.A.", "n/a.", "nil", "NIL", "none", "NONE"}
    | {"Null", "(null)", "[null]", "missing", "Missing", "unknown", "Unknown", "k.A.", "k. A."}
    | {"\\N", "#WERT!", "#VALUE!", "#DIV/0!", "#NV", "undefined", "error", "ERROR", "Nan", "NAN"}
    | {"inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity", "Bad", "bad", "Bad Input", "No Data"}
)
INT64_MAX = 2**63 - 1
EXACT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Marks:
    """How numbers are written.

    Attributes:
        decimal: Decimal mark.
        thousands: Mark between groups of digits; empty for none.
        is_json: Whether the texts are those of JSON, of which a number needs ``parse = true``.
    """

    decimal: str = "."
    thousands: str = ""
    is_json: bool = False

    @property
    def pattern(self) -> str:
        """Regular expression of a number."""
        if self.is_json:
            return r"^\s*[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?\s*$"
        decimal = re.escape(self.decimal)
        digits = r"\d+"
        if self.thousands:
            digits = rf"(?:[1-9]\d{{0,2}}(?:{re.escape(self.thousands)}\d{{3}})+|\d+)"
        return rf"^\s*[+-]?(?:{digits}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?\s*$"

    def numbers(self, texts: pl.Series) -> pl.Series:
        """Return the texts as floats; null for a text that is no number."""
        plain = texts.str.strip_chars()
        if self.thousands:
            plain = plain.str.replace_all(self.thousands, "", literal=True)
        if self.decimal != ".":
            plain = plain.str.replace(self.decimal, ".", literal=True)
        numbers = plain.str.strip_prefix("+").cast(pl.Float64, strict=False)
        is_number = texts.str.contains(self.pattern)
        return pl.select(pl.when(is_number).then(numbers)).to_series().alias(texts.name)


def without_missing(texts: pl.Series, missing: Collection[str]) -> tuple[pl.Series, dict[str, int]]:
    """Return the texts with null for words that mean a missing value, and the words with counts.

    The empty text is not among the words that are returned.
    """
    is_missing = texts.is_in(list(missing))
    seen = texts.filter(is_missing).drop_nulls().value_counts(sort=True, name="rows")
    counts = {word: rows for word, rows in seen.iter_rows() if word}
    kept = pl.select(pl.when(~is_missing).then(texts)).to_series().alias(texts.name)
    return kept, counts


def type_column(column: Column, marks: Marks) -> Column:
    """Return a column of texts with the type of its values.

    A text that is no number among numbers becomes null and is counted in ``unread``.
    """
    texts = column.values
    if column.kind == "text":  # blanks around a number or a missing word do not count
        missing = ("",) if marks.is_json else ("", *MISSING_WORDS)
        is_missing = texts.str.strip_chars().is_in(missing)
        texts = pl.select(pl.when(~is_missing).then(texts)).to_series().alias(texts.name)
    present = texts.drop_nulls()
    if column.kind != "text" or column.refusal or not len(present):
        return column
    if not marks.is_json and (arrays := find_text_arrays(texts)):
        return replace(column, kind="none", refusal=ARRAYS_REFUSAL, arrays=arrays)
    lower = present.str.to_lowercase()
    if lower.is_in(["true", "false"]).all():
        flags = texts.str.to_lowercase() == "true"
        return replace(column, kind="boolean", values=flags, texts=texts, needs_parse=marks.is_json)
    numbers = marks.numbers(texts)
    count = len(numbers) - numbers.null_count()
    others = present.filter(marks.numbers(present).is_null())
    unread = dict(others.value_counts(sort=True, name="n").iter_rows())
    if not _are_numbers(count, len(present), unread, marks):
        return replace(column, mixture=_describe_mixture(texts, count, unread, marks))
    note = _why_text(texts, marks.decimal) or _why_id(column, numbers)
    doubled, are_versions = _find_versions(column, texts, numbers)
    if note or are_versions:
        note = note or f"{doubled}, so they are texts"
        return replace(column, notes=(*column.notes, note))
    if doubled:
        note = f"{doubled}; a column of versions is no number, but a category"
        column = replace(column, notes=(*column.notes, note))
    return _numeric(replace(column, values=texts), numbers, unread, marks)


def _are_numbers(count: int, present: int, others: dict[str, int], marks: Marks) -> bool:
    """Return whether a column is one of numbers, with some texts among them."""
    if not others:
        return True
    if marks.is_json:  # no word of [file] mends the others
        return count > NUMBERS_MIN * present
    if count >= NUMBERS_MIN * present:
        return True
    return count >= WORDY_NUMBERS_MIN * present and others.keys() <= OTHER_MISSING_WORDS


def _describe_mixture(texts: pl.Series, count: int, others: dict[str, int], marks: Marks) -> str:
    """Return why measured numbers with texts among them are no category; empty if they are none."""
    present = texts.drop_nulls()
    if notation := describe_notation(others):
        rows = len(present) - count
        numbers = f"{count} numbers and " if count else ""
        return f"it has {numbers}{rows} texts that are numbers {notation}"
    has_fractions = bool(present.str.contains(rf"^\s*[+-]?\d*{re.escape(marks.decimal)}\d").any())
    if count < WORDY_NUMBERS_MIN * len(present) or not has_fractions:
        return ""
    word = printable(next(iter(others)), 20)
    remedy = "write null for them" if marks.is_json else "name them in missing of [file]"
    return (
        f"it has {count} numbers and {len(present) - count} texts such as {word!r}, whose records "
        f"would be no events; {remedy}"
    )


def _why_text(texts: pl.Series, mark: str) -> str:
    """Return why texts that are numbers stay texts; empty if they do not."""
    padded = texts.filter(texts.str.contains(r"^\s*[+-]?0\d"))
    decimal = texts.str.contains(rf"^\s*[+-]?\d+{re.escape(mark)}\d").sum()
    if len(padded) and decimal < NUMBERS_MIN * (len(texts) - texts.null_count()):
        return f"{len(padded)} texts such as {padded[0]} have a leading zero, so they are texts"
    return ""


def _why_id(column: Column, numbers: pl.Series) -> str:
    """Return why numbers with fractions are ids, such as 1000000003.1600000030; empty if not."""
    known = numbers.drop_nulls()
    has_fractions = bool((known != known.round()).any())
    if not (has_fractions and last_word(column.parts) in ID_WORDS):
        return ""
    return "its name is that of an id, so its numbers with a point are texts"


def _find_versions(column: Column, texts: pl.Series, numbers: pl.Series) -> tuple[str, bool]:
    """Return two texts of one number, and whether they make the column one of versions.

    The description is empty without such texts.  The sign of a text does not count (``-0.0``).
    """
    plain = texts.filter(numbers.is_not_null()).str.strip_chars().str.strip_chars_start("+-")
    if plain.n_unique() > VERSIONS_MAX:
        return "", False
    pairs = pl.DataFrame({"text": plain, "number": numbers.drop_nulls()})
    doubled = (
        pairs.group_by("number", "text")
        .len("rows")
        .sort("text")
        .group_by("number")
        .agg(pl.col("text"), pl.col("rows").min())
        .filter(pl.col("text").list.len() > 1)
        .sort("number")
    )
    if not len(doubled):
        return "", False
    one, two = doubled["text"][0][:2]
    described = f"{one} and {two} are different texts of one number"
    if split_words(column.parts[-1]) & VERSION_WORDS:
        return described, True
    are_frequent = max(doubled["rows"].to_list()) >= VERSION_SHARE_MIN * len(plain)
    return described, are_frequent and bool(plain.str.contains(r"^\d+\.\d+$").all())


def _numeric(column: Column, numbers: pl.Series, others: dict[str, int], marks: Marks) -> Column:
    texts = column.values
    plain = numbers.drop_nulls()
    largest = plain.abs().max()
    is_whole = not bool(texts.drop_nulls().str.contains(r"[.,eE]").any()) or (
        bool(marks.thousands) and bool((plain == plain.round()).all())
    )
    kind: Kind = "integer" if is_whole and not others else "number"
    values = numbers
    if kind == "integer" and isinstance(largest, float) and largest < EXACT_MAX:
        values = numbers.cast(pl.Int64)
    return replace(
        column, kind=kind, values=values, needs_parse=marks.is_json, unread=others, texts=texts
    )
