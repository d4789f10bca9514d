"""Columns of arrays, which a spec reads as vectors or lists of words, and lists within texts."""

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
SEPARATORS = ("|", ";", ",")
LISTS_MIN = 0.2  # share of the rows that have several words
REPEATED_MIN = 3  # different texts for each different word, below which a text is no list
TRIED_TEXTS = 2_000  # the most frequent ones


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


def describe_lists(counts: Sequence[tuple[str, int]]) -> str:
    """Return how to read texts that are lists of words, as the end of a reason; empty if they are none.

    They are few words in many orders and choices: ``Comedy|Drama``.

    Args:
        counts: Texts with their numbers of rows, the most frequent first.
    """
    counts = counts[:TRIED_TEXTS]
    rows = sum(count for _, count in counts)
    for separator in SEPARATORS:
        lists = [[word.strip() for word in text.split(separator)] for text, _ in counts]
        several = sum(n for words, (_, n) in zip(lists, counts, strict=True) if len(words) > 1)
        distinct = {word for words in lists for word in words}
        longest = max(map(len, lists), default=0)
        if several < LISTS_MIN * rows or longest > WORDS_MAX:
            continue
        if "" not in distinct and REPEATED_MIN * len(distinct) <= len(counts):
            return (
                f"; its texts look like lists of up to {longest} of {len(distinct)} words: kind = "
                f'"multi_categorical" with separator = "{separator}" reads them so'
            )
    return ""
