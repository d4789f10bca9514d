"""Numbers in notations that no spec reads: the cause, and how to write the numbers instead."""

import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice

from stream_rnn.text import printable

TEXTS_TRIED = 500
SHARE_MIN = 0.9  # share of texts that have one notation
_DIGITS = r"(?:\d[\d.,'\u2019 \u00a0\u202f]*)?\d"
_CURRENCY = "(?:[€$£¥]|EUR|USD|GBP|CHF)"
_NOTATIONS = (
    (rf"\(\s*(?P<number>{_DIGITS})\s*\)", "with a negative number in brackets", "-"),
    (rf"(?P<number>{_DIGITS})\s*[-\u2212\u2013]", "with the minus behind the number", "-"),
    (rf"[\u2212\u2013]\s*(?P<number>{_DIGITS})", "with a dash for the minus", "-"),
    (rf"(?P<number>[+-]?{_DIGITS})\s*[%‰]", "with a percent sign", ""),
    (rf"(?P<number>[+-]?{_DIGITS})\s*(?:[€$£¥°]\S?|EUR|USD|GBP|CHF)", "with a unit", ""),
    (rf"(?:[€$£¥]|EUR|USD|GBP|CHF)\s*(?P<number>[+-]?{_DIGITS})", "with a unit", ""),
    (r"(?P<number>[+-]?\d+,\d+)", "with a decimal comma", ""),
    (
        rf"(?P<number>[+-]?{_DIGITS})\s+[^\W\d_]{{1,6}}(?:[/^][^\W_]{{1,4}})?",
        "with a unit",
        "",
    ),
    (
        r"(?P<number>[+-]?\d{1,3}(?:['\u2019 \u00a0\u202f]\d{3})+(?:[.,]\d+)?)",
        "with groups of digits",
        "",
    ),
    (
        rf"[+(-]?\s*{_CURRENCY}?\s*(?P<number>[+-]?{_DIGITS})\s*(?:%|{_CURRENCY})?\s*[)-]?",
        "with signs or units in several notations",
        "",
    ),
)


def describe_notation(texts: Mapping[str, int]) -> str:
    """Return the notation of texts that are no numbers, with an example; empty for none.

    Args:
        texts: The texts with their numbers of rows.

    Example:
        >>> describe_notation({"(62.82)": 3})
        "with a negative number in brackets, such as '(62.82)'; write -62.82"
    """
    tried = dict(islice(texts.items(), TEXTS_TRIED))
    total = sum(tried.values())
    for pattern, cause, sign in _NOTATIONS:
        matches = {text: re.fullmatch(pattern, text.strip()) for text in tried}
        found = Counter({text: tried[text] for text, match in matches.items() if match})
        if not found or found.total() < SHARE_MIN * total:
            continue
        example = next(iter(found))
        match = matches[example]
        number = sign + _plain(match["number"]) if match else ""
        return f"{cause}, such as {printable(example, 20)!r}; write {number}"
    return ""


def _plain(number: str) -> str:
    """Return a number with a decimal point and without groups of digits."""
    number = re.sub(r"['\u2019 \u00a0\u202f]", "", number)
    last = max(number.rfind("."), number.rfind(","))
    mark = number[last] if last >= 0 else ""
    if mark and number.count(mark) == 1:
        other = "," if mark == "." else "."
        return number.replace(other, "").replace(mark, ".")
    return number.replace(mark, "") if mark else number
