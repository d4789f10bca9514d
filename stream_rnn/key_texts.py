"""Near spellings of a key that are texts: cases, zeros, quotes, blanks, escapes, other characters."""

import base64
import json
import re
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from typing import Literal

ZEROS_TO = 20  # digits of an integer of 64 bits
DASHES_MAX = 4
UNICODE_FORMS: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")
INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
DECIMAL = re.compile(r"[+-]?[0-9]{1,19}\.[0-9]{1,19}")
_FULL_WIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
_INVISIBLE = "\u200b\u200e\u2060\u00ad"


def spell_text(text: str) -> Iterator[tuple[str, str]]:
    """Yield other texts for a text with the name of each; the text itself has no name."""
    yield text, ""
    yield json.dumps(text), "as JSON text"
    yield json.dumps(text, ensure_ascii=False), "as JSON text"
    yield f"'{text}'", "in single quotes"
    yield f"b'{text}'", "as Python writes bytes"
    yield text.lower(), "in lower case"
    yield text.upper(), "in upper case"
    yield text.title(), "in title case"
    for form in UNICODE_FORMS:
        yield unicodedata.normalize(form, text), f"in Unicode's form {form}"
    yield text.translate(_FULL_WIDTH), "in full-width digits"
    for mark in _INVISIBLE:
        yield mark + text, "with an invisible character"
        yield text + mark, "with an invisible character"
    for end in ("\n", "\r\n", "\r", "\0"):
        yield text + end, "with a line end or a NUL at its end"
    for before, after in (("", " "), (" ", ""), (" ", " "), ("", "\t"), ("\t", ""), ("\ufeff", "")):
        yield before + text + after, "with a blank or a byte order mark"
    if not text.isdigit():  # the digits of digits are another number
        yield text.encode(errors="replace").hex(), "in hexadecimal"
        yield text.encode(errors="replace").hex().upper(), "in hexadecimal"
    yield base64.b64encode(text.encode(errors="replace")).decode(), "in base64"
    yield from _numbers(text)
    yield from _escapes(text)
    with suppress(ValueError):
        each = uuid.UUID(text)
        for spelling in (str(each), each.hex, f"{{{each}}}", str(each).upper()):
            yield spelling, "as a UUID"


def _numbers(text: str) -> Iterator[tuple[str, str]]:
    """Yield numbers of the same value: with leading zeros, or with another number of decimals."""
    if INTEGER.fullmatch(text):
        sign = text[:1] if text[0] in "+-" else ""
        digits = text.lstrip("+-")
        bare = digits.lstrip("0") or "0"
        sign = sign.replace("+", "")
        yield sign + bare, "without leading zeros"
        for width in range(len(bare) + 1, ZEROS_TO + 1):
            yield sign + bare.zfill(width), "with leading zeros"
        yield f"{sign}{bare}.0", "with decimals"
    elif DECIMAL.fullmatch(text):
        bare = text.rstrip("0")
        yield bare.rstrip("."), "without decimals"
        yield (bare + "0" if bare.endswith(".") else bare), "with fewer decimals"
        decimals = len(bare) - bare.index(".") - 1
        for count in range(decimals + 1, decimals + 4):
            yield bare + "0" * (count - decimals), "with more decimals"


def _escapes(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield composite keys in which ``-`` and ``\`` inside of a part are escaped, or are not."""
    if "\\" in text:
        yield re.sub(r"\\(.)", r"\1", text), "without escapes"
        yield text.replace("\\", "\\\\"), "with escapes"
    dashes = [match.start() for match in re.finditer("-", text)][: DASHES_MAX + 1]
    if not 0 < len(dashes) <= DASHES_MAX:
        return
    for count in range(1, len(dashes) + 1):
        for chosen in combinations(dashes, count):
            escaped = "".join("\\" * (at in chosen) + each for at, each in enumerate(text))
            yield escaped, "with escapes, as a part of a composite key"


def plain_texts(text: str) -> Iterator[tuple[str, str]]:
    """Yield a text with plain characters, if it has others, and the name of the difference."""
    if text.isascii():
        return
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    for changed, how in (
        (visible, "but for invisible characters"),
        (
            unicodedata.normalize("NFKC", visible),
            "but for full-width or other compatible characters",
        ),
    ):
        if changed and changed != text:
            yield changed, how
