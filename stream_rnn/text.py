"""Formats of numbers, times and texts for people.

An unknown value is a dash.  A text from a log may contain any character: invisible ones, and those
that change the direction of text, are escaped.  Long texts are cut.
"""

import math
import unicodedata
from datetime import UTC, datetime, timedelta

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TEXT_MAX = 160  # characters
JOINER = "\N{ZERO WIDTH JOINER}"  # joins the parts of an emoji
DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Return a text with escapes for invisible characters and those that control a terminal.

    Example:
        >>> visible("a\x1b[2J\u202eb\n")
        'a\\x1b[2J\\u202eb\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        c
        if c == JOINER or unicodedata.category(c) not in UNSEEN
        else c.encode("unicode_escape").decode()
        for c in text
    )


def printable(text: str, characters_max: int = TEXT_MAX) -> str:
    r"""Return a text of a log, with invisible characters escaped, cut to ``characters_max``.

    Example:
        >>> printable("a\u202eb\n"), printable("key" * 100, 6)
        ('a\\u202eb\\n', 'keyke…')
    """
    cut = text if len(text) <= characters_max else text[: characters_max - 1]
    escaped = visible(cut)
    is_whole = len(escaped) <= characters_max and cut is text
    return escaped if is_whole else escaped[: characters_max - 1] + "…"


def format_number(value: float | None, like: float | None = None) -> str:
    """Return a number as text, with two to five significant digits.

    Args:
        value: Number to format; ``None`` and NaN become a dash.
        like: Number whose decimals to use, so that the bounds of an interval match its value.

    Example:
        >>> (
        ...     [format_number(v) for v in (0.76812, 12.346, 98765.4, 0.000123, 0)],
        ...     format_number(None) == DASH,
        ... )
        (['0.768', '12.35', '98,765', '0.00012', '0'], True)
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    size = abs(value)
    if size and not 1e-6 <= size < 1e15:
        text = f"{value:.2e}"
    elif size == 0 or (like is None and float(value).is_integer()):
        text = f"{value:,.0f}"
    else:
        text = f"{value:,.{_decimals(value if like is None else like)}f}"
    is_zero = not text.strip("-0.,")
    return text.lstrip("-") if is_zero else text.replace("-", MINUS)


def _decimals(like: float) -> int:
    size = abs(like)
    if not math.isfinite(size) or size >= 1000:
        return 0
    if size >= 1:
        return 2 if size < 100 else 1
    if size >= 0.01 or size == 0:
        return 3
    return min(8, 1 - math.floor(math.log10(size)))


def format_duration(seconds: float | None, like: float | None = None) -> str:
    """Return a duration with three digits, in the largest unit that it contains at least twice.

    Args:
        seconds: Duration to format, in seconds; ``None`` and NaN become a dash.
        like: Duration whose unit to use, so that the bounds of an interval match its value.

    Example:
        >>> [format_duration(s) for s in (0.25, 8, 90, 7_500, 128_448, 604_800)]
        ['250 ms', '8 s', '90 s', '2.08 h', '35.7 h', '7 d']
        >>> format_duration(1800, like=128_448)
        '0.5 h'
    """
    if seconds is None or not math.isfinite(seconds):
        return format_number(seconds)
    size, name = duration_unit(seconds if like is None else like)
    value = seconds / size
    if not math.isfinite(value):  # 1e308 s are no float in ms
        return format_number(value)
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return f"{text.replace('-', MINUS)} {name}"


def duration_unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which a duration is written: its length in seconds, and its name.

    Example:
        >>> duration_unit(128_448)
        (3600, 'h')
    """
    if not seconds or not math.isfinite(seconds):
        return 1, "s"
    fitting = (unit for unit in DURATIONS if abs(seconds) >= 2 * unit[0])
    return next(fitting, (1, "s") if abs(seconds) >= 1 else (0.001, "ms"))


def is_known(value: float | None) -> bool:
    """Return whether a value is neither ``None`` nor NaN."""
    return value is not None and not math.isnan(value)


def quantile_name(quantile: float) -> str:
    """Return the name of a quantile in predictions: its percentage, ``_`` for the decimal point.

    Example:
        >>> quantile_name(0.1), quantile_name(0.975)
        ('p10', 'p97_5')
    """
    return f"p{100 * quantile:.1f}".removesuffix(".0").replace(".", "_")


def format_time(time_ms: int, *, with_ms: bool = False) -> str:
    """Return an event time in UTC; a dash for a time outside of the calendar.

    Args:
        time_ms: Milliseconds since 1970.
        with_ms: Whether the text has milliseconds; without them it ends with the seconds.

    Example:
        >>> format_time(1357034220000), format_time(1357034220007, with_ms=True)
        ('2013-01-01 09:57:00', '2013-01-01 09:57:00.007')
    """
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(time_ms))
    except OverflowError:
        return DASH
    text = when.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{when.microsecond // 1000:03}" if with_ms else text
