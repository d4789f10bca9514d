"""Remarks on the texts of a key, of which each spelling is a key of its own."""

from collections.abc import Iterator, Sequence

import polars as pl

from stream_rnn.spec.columns import Column
from stream_rnn.text import printable

WORD_MAX = 30
ROUNDED = r"(?:^|-)\d(?:[.,]\d{1,5})?E\+\d\d(?:$|-)"
"""A whole number as a spreadsheet shows it, which keeps six digits of it: 8.90123E+12."""
ROUNDED_REMEDY = (
    "a spreadsheet has cut long ids so, and different ids may have become one; export the column as "
    "text, from the source of the file"
)


def describe_rounded(column: Column) -> str:
    """Return that a spreadsheet has rounded ids, with an example; empty if it has not."""
    words = column.key_words.drop_nulls()
    cut = words.filter(words.str.contains(ROUNDED))
    if not len(cut):
        return ""
    return f"{len(cut)} of its {len(words)} values are like {printable(cut[0], WORD_MAX)}: {ROUNDED_REMEDY}"


def key_notes(key: Sequence[Column]) -> Iterator[str]:
    """Yield why texts of a key may not be those that the topic has, a sentence each."""
    for column in key:
        words = column.key_words.drop_nulls().unique().sort()
        yield from _variants(column.path, words)
        if cut := describe_rounded(column):
            yield f"{column.path}: {cut}."
        whole = words.filter(words.str.contains(r"^\d+\.0$"))
        if len(whole) and len(whole) == len(words):
            yield (
                f"The keys of {column.path} end in .0, such as {whole[0]}: pandas writes whole numbers "
                "beside missing ones so. If the topic has other keys, write integers."
            )
        quoted = words.filter(words.str.starts_with('="'))
        if len(quoted):
            yield (
                f"The keys of {column.path} contain the marks of a formula of Excel, such as "
                f"{printable(quoted[0], WORD_MAX)}. If the topic has none, write the text alone."
            )


def _variants(path: str, words: pl.Series) -> Iterator[str]:
    """Yield how many keys differ only in capitals or blanks, with an example."""
    plain = words.str.strip_chars().str.to_lowercase()
    groups = pl.DataFrame({"word": words, "plain": plain}).group_by("plain").agg("word")
    doubled = groups.filter(pl.col("word").list.len() > 1).sort("plain")
    if len(doubled):
        shown = " and ".join(repr(printable(word, WORD_MAX)) for word in doubled["word"][0][:2])
        count = int(doubled["word"].list.len().sum())
        yield (
            f"{count} keys of {path} differ only in capitals or blanks, such as {shown}: each has a "
            "history of its own. If they are one, write them alike."
        )
    elif bool((words != words.str.strip_chars()).any()):
        padded = words.filter(words != words.str.strip_chars())
        yield (
            f"{len(padded)} keys of {path} begin or end with blanks, such as "
            f"{printable(padded[0], WORD_MAX)!r}, which are part of the key."
        )
