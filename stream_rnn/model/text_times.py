"""Times in texts, read alike on every machine and by every version of Python.

``strptime`` reads the names of months and days, AM and PM in the language of the process.  They are
English here: each is replaced by its number before ``strptime`` reads the text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NAMES = {  # directive -> names, the number of the first, and the directive that reads the number
    "%B": (_MONTHS, 1, "%m"),
    "%b": (tuple(name[:3] for name in _MONTHS), 1, "%m"),
    "%A": (_DAYS, 0, "%w"),
    "%a": (tuple(name[:3] for name in _DAYS), 0, "%w"),
    "%p": (("AM", "PM"), 0, ""),
}
_WIDTHS = {  # directive -> a pattern of all that it reads, unless that is one or two digits
    "%Y": r"\d{4}",
    "%G": r"\d{4}",
    "%j": r"\d{1,3}",
    "%f": r"\d{1,6}",
    "%z": r"(?:Z|[-+][\d:.]{2,18})",
}
_DIRECTIVE = re.compile(r"%.|[^%]+|%", re.DOTALL)
_HOUR_24 = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d(?:-?\d)?).24", re.DOTALL)
MARK = "|"  # around a number, so that it does not join with the digits beside it


@dataclass(frozen=True, slots=True)
class _Layout:
    """A format with names.

    Attributes:
        pattern: Pattern whose groups are, in turn, the text before each name, and the name.
        numbers: The same format with numbers.
        directives: Directive of each name.
        is_read: Whether the number of each name is read, rather than left out.
        has_12_hours: Whether AM and PM count.
    """

    pattern: re.Pattern[str]
    numbers: str
    directives: tuple[str, ...]
    is_read: tuple[bool, ...]
    has_12_hours: bool


def parse_iso8601(text: str) -> datetime:
    """Return the time of a text in ISO 8601.

    Raises:
        ValueError: The text is not ISO 8601, or its hour is 24, which only some versions of Python
            read.
    """
    moment = datetime.fromisoformat(text)
    if not (moment.hour or moment.minute or moment.second) and _HOUR_24.match(text):
        raise ValueError(f"{text}: the hour is 24; write hour 0 of the next day")
    return moment


def parse_text_time(text: str, layout: str) -> datetime:
    """Return the time of a text in a format of ``strptime``, with English names.

    Raises:
        ValueError: The text does not have the format.

    Example:
        >>> parse_text_time("Tue, 02 jan 2024 12:30 pm", "%a, %d %b %Y %I:%M %p").isoformat()
        '2024-01-02T12:30:00'
    """
    named = _read_layout(layout)
    if named is None:
        return datetime.strptime(text, layout)  # noqa: DTZ007  # the caller sets the zone
    match = named.pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"time data {text!r} does not match format {layout!r}")
    parts, is_pm = [], False
    groups = match.groups()
    for i, directive in enumerate(named.directives):
        names, first, _ = _NAMES[directive]
        index = [name.lower() for name in names].index(groups[2 * i + 1].lower())
        is_pm = is_pm or (directive == "%p" and index == 1)
        number = str(first + index) if named.is_read[i] else ""
        parts.append(f"{groups[2 * i]}{MARK}{number}{MARK}")
    moment = datetime.strptime("".join([*parts, groups[-1]]), named.numbers)  # noqa: DTZ007  # as above
    return moment + timedelta(hours=12 * (is_pm and named.has_12_hours))


def format_time(moment: datetime, layout: str) -> str:
    """Return a time in a format of ``strftime``, with English names."""

    def word(directive: str) -> str:
        if directive not in _NAMES:
            return moment.strftime(directive) if directive.startswith("%") else directive
        names, first, number = _NAMES[directive]
        return names[int(moment.strftime(number)) - first if number else moment.hour // 12]

    return "".join(map(word, _DIRECTIVE.findall(layout)))


@lru_cache(maxsize=1024)
def _read_layout(layout: str) -> _Layout | None:
    """Return a format with names; ``None`` if it has none."""
    parts = _DIRECTIVE.findall(layout)
    directives = tuple(part for part in parts if part in _NAMES)
    if not directives:
        return None
    taken = {part for part in parts if part.startswith("%") and part not in _NAMES}
    taken |= {"%w"} if "%u" in taken else set()
    pattern, numbers, is_read = ["("], [], []
    for part in parts:
        if part not in _NAMES:
            pattern.append(_between(part))
            numbers.append(part)
            continue
        names, _, number = _NAMES[part]
        pattern.append(f")({'|'.join(map(_any_case, names))})(")
        is_read.append(bool(number) and number not in taken)
        numbers.append(f"{MARK}{number if is_read[-1] else ''}{MARK}")
        taken.add(number)
    has_12_hours = _last(parts, "%I") > _last(parts, "%H")
    compiled = re.compile("".join([*pattern, ")"]))
    return _Layout(compiled, "".join(numbers), directives, tuple(is_read), has_12_hours)


def _between(part: str) -> str:
    """Return a pattern of a text, or of what a directive without names reads."""
    if part == "%%":
        return "%"
    if part.startswith("%"):
        return _WIDTHS.get(part, r" ?\d{1,2}")
    texts = r"\s*".join(re.escape(text) for text in re.split(r"\s+", part))
    return f"(?i:{texts})"


def _any_case(name: str) -> str:
    return "".join(f"[{letter.upper()}{letter.lower()}]" for letter in name)


def _last(parts: Sequence[str], part: str) -> int:
    return max((i for i, other in enumerate(parts) if other == part), default=-1)
