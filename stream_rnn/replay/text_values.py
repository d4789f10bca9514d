"""The values of texts in a delimited file: numbers and booleans where the spec reads them.

The spec decides which columns are numbers or booleans, and each text is read by itself.  A text
that is no number stays a text, so that the decoder skips its row alone.  All other columns keep
their texts.
"""

import re
from collections.abc import Callable, Iterator
from math import isinf
from typing import Any

import orjson

from stream_rnn.model.event import Event
from stream_rnn.model.features import Boolean, FeatureSpec, Numeric
from stream_rnn.model.file_format import FileFormat
from stream_rnn.model.heads import AnyHead, Binary, Quantile, Regression
from stream_rnn.model.paths import split_path
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical

INTEGERS = range(-(2**63), 2**64)  # integers that JSON writers and readers keep exact
DIGITS_MAX = 20
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

Reader = Callable[[str], Any]


def text_readers(spec: FeatureSpec) -> dict[str, Reader]:
    """Return the reader of each column whose texts the spec reads as another type."""
    kinds: dict[str, set[str]] = {}
    for path, kind in _typed_paths(spec):
        names = split_path(path)
        if len(names) == 1:
            kinds.setdefault(names[0], set()).add(kind)
    return {name: value_reader(kind, spec.file) for name, kind in kinds.items()}


def kinds_of(head: AnyHead) -> set[str]:
    """Return the types as which a head reads texts: ``number``, ``boolean`` or none of them."""
    if isinstance(head, Regression | Quantile) or (
        isinstance(head, Binary) and head.above is not None
    ):
        return {"number"}
    return {"boolean"} if isinstance(head, Binary) else set()


def value_reader(kinds: set[str], file: FileFormat) -> Reader:
    """Return a function that reads a text as a number, a boolean, or an array of JSON.

    The function returns ``None`` for a missing value, and the text itself if it is of no such type.

    Args:
        kinds: Types that the spec reads: ``number``, ``boolean`` or both; or ``array``.
        file: Decimal mark, mark of thousands and missing words.

    Example:
        >>> read = value_reader({"number"}, FileFormat(decimal=",", thousands="."))
        >>> [read(text) for text in ("1.234,50", " 7", "007", "NA", "1.5", "1e999")]
        [1234.5, 7, 7, None, '1.5', '1e999']
        >>> [value_reader({"boolean"}, FileFormat())(text) for text in ("True", "0", "yes")]
        [True, False, 'yes']
        >>> [value_reader({"array"}, FileFormat())(text) for text in ("[1, null]", "", "1 2")]
        [[1, None], None, '1 2']
    """
    missing = frozenset(file.missing) | {""}
    readers: list[Reader] = [_read_array] if "array" in kinds else []
    if "number" in kinds:
        readers.append(_number_reader(file))
    if "boolean" in kinds:
        readers.append(lambda text: BOOLEANS.get(text.lower()))
    read_first = readers[0]
    has_typed_words = any(read_first(word.strip()) is not None for word in missing)  # such as -999

    def read(text: str) -> Any:
        value = None if has_typed_words else read_first(text)
        return value if value is not None else read_slowly(text)

    def read_slowly(text: str) -> Any:
        plain = text.strip()
        if plain in missing or text in missing:
            return None
        values = (reader(plain) for reader in readers)
        return next((value for value in values if value is not None), text)

    return read


def _read_array(text: str) -> list[Any] | None:
    """Return the array of JSON that a text is, or ``None`` if it is none."""
    if not text.startswith("["):
        return None
    try:
        array = orjson.loads(text)
    except ValueError:
        return None
    return array if isinstance(array, list) else None


def _number_reader(file: FileFormat) -> Reader:
    """Return a function that returns the number of a text, or ``None`` if it is none."""
    mark, decimal = re.escape(file.thousands), re.escape(file.decimal)
    groups = rf"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+|" if mark else ""
    match = re.compile(
        rf"[+-]?(?:(?:{groups}[0-9]+)({decimal}[0-9]*)?|({decimal}[0-9]+))([eE][+-]?[0-9]+)?"
    ).fullmatch
    is_plain = file.decimal == "." and not file.thousands

    def read(text: str) -> int | float | None:
        if len(text) < DIGITS_MAX - 1 and text.isdecimal() and text.isascii():
            return int(text)
        number = match(text)
        if number is None:
            return None
        if not is_plain:
            text = text.replace(file.thousands, "").replace(file.decimal, ".")
        if (
            number.lastindex is None
            and len(text) <= DIGITS_MAX
            and (whole := int(text)) in INTEGERS
        ):
            return whole
        value = float(text)
        return None if isinf(value) else value  # JSON has no infinity

    return read


def _typed_paths(spec: FeatureSpec) -> Iterator[tuple[str, str]]:
    """Yield the path and the type of everything that the spec reads as a number or a boolean."""
    yield from _paths_of_event(spec.event)
    if spec.event.unwrap is not None:
        return  # a column of a delimited file is no object
    for feature in spec.features:
        if isinstance(feature, Numeric | Boolean):
            yield feature.path, "number" if isinstance(feature, Numeric) else "boolean"
        elif isinstance(feature, Vector | MultiCategorical):
            yield feature.path, "array"
    for head in spec.heads:
        if head.path is not None and head.of != "label":
            for kind in kinds_of(head):
                yield head.path, kind


def _paths_of_event(event: Event) -> Iterator[tuple[str, str]]:
    """Yield the path and the type of the event time, and of the conditions on records."""
    if event.time is not None and not event.time.is_text:
        yield event.time.path, "number"
    conditions = [(only.path, value) for only in event.only for value in only.values]
    if event.forget_when is not None:
        conditions.append((event.forget_when.path, event.forget_when.equals))
    for path, value in conditions:
        if not isinstance(value, str):
            yield path, "boolean" if isinstance(value, bool) else "number"
