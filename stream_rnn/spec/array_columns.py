"""Columns of arrays, which a spec reads as vectors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from stream_rnn.model.encoder import FLOAT32_MAX
from stream_rnn.model.vector import LENGTH_MAX
from stream_rnn.model.word_lists import LENGTH_MAX as WORDS_MAX

WORD_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class Arrays:
    """What the arrays of a column contain.

    Attributes:
        length: Number of values of the longest array.
        absent: Number of rows without an array, or with an empty one.
        gaps: Number of arrays with a place that is null.
        words: Words of arrays of texts, the most frequent first; empty for arrays of numbers.
    """

    length: int
    absent: int
    gaps: int
    words: tuple[str, ...] = ()


def find_arrays(values: Sequence[Any]) -> Arrays | None:
    """Return what the values of a column are, if all are arrays that a feature reads.

    Args:
        values: The N values; ``None`` where a record lacks the field.
    """
    arrays = [value for value in values if value is not None and value != []]
    if not arrays or not all(isinstance(array, list) for array in arrays):
        return None
    if all(one == arrays[0] for one in arrays):
        return None
    absent, gaps = len(values) - len(arrays), sum(None in array for array in arrays)
    lengths = set(map(len, arrays))
    if all(map(_are_words, arrays)) and max(lengths) <= WORDS_MAX:
        counts = Counter(word for array in arrays for word in array if word is not None)
        words = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
        return Arrays(max(lengths), absent, gaps, words)
    if len(lengths) > 1 or max(lengths) > LENGTH_MAX or not all(map(_are_numbers, arrays)):
        return None
    return Arrays(max(lengths), absent, gaps)


def find_text_arrays(texts: pl.Series) -> Arrays | None:
    """Return what the texts of a delimited file contain, if all are arrays of JSON.

    Args:
        texts: The N texts; null where a row lacks the field.
    """
    if not texts.drop_nulls().str.starts_with("[").all():
        return None
    try:
        return find_arrays([None if text is None else orjson.loads(text) for text in texts])
    except ValueError:
        return None


def _are_numbers(array: list[Any]) -> bool:
    known = [place for place in array if place is not None]
    numbers = [place for place in known if type(place) in (int, float)]
    return len(numbers) == len(known) and all(abs(place) <= FLOAT32_MAX for place in numbers)


def _are_words(array: list[Any]) -> bool:
    known = [word for word in array if word is not None]
    return bool(known) and all(type(word) is str and len(word) <= WORD_LENGTH_MAX for word in known)


def describe_arrays(arrays: Arrays, rows: int) -> str:
    """Return why a column of arrays becomes a feature, without a full stop.

    Args:
        arrays: What the column contains.
        rows: Number of rows.
    """
    text = f"an array of {arrays.length} numbers, each place of which is scaled by itself"
    if arrays.words:
        text = f"an array of up to {arrays.length} of {len(arrays.words)} words"
    if arrays.absent:
        text += f"; missing in {arrays.absent} of {rows} rows"
    if arrays.gaps:
        text += f"; a place is null in {arrays.gaps} rows"
    return text
