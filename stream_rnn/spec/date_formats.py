"""Formats of dates and times in texts, as those of ``strptime``, found from the texts themselves."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from stream_rnn.model.text_times import parse_text_time

TEXTS_TRIED = 2_000
FORMS_TRIED = 8  # texts whose forms are tried, beside the first ones and the last one
SHARE_MIN = 0.95  # share of texts that a format must read as times of the years below
SPAN_RATIO = 3.0  # a span of time that is this much shorter speaks for a format
YEARS = (1990, 2100)

_DATE_TIME = re.compile(
    r"(?P<d1>\d{1,4}|[A-Za-z]{3,9})(?P<s1>[-./ ])(?P<d2>\d{1,2}|[A-Za-z]{3,9})"
    r"(?P<s2>, |[-./ ])(?P<d3>\d{2,4})"
    r"(?:(?P<sep>, |  | - |[T :,_])(?P<h>\d{1,2})(?P<c1>[:.])(?P<m>\d{2})"
    r"(?:(?P=c1)(?P<s>\d{2})(?:(?P<f>[.,])\d{1,6})?)?(?P<ampm> ?[AaPp][Mm])?"
    r"(?P<zone> UTC| GMT|Z| ?[+-]\d{2}:?\d{2})?)?"
)
_FIXED = (
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S %z",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M%SZ",
    "%Y%m%d %H%M%S",
    "%Y%m%d",
)


@dataclass(frozen=True, slots=True)
class DateFormat:
    """A format that reads the texts of a column.

    Attributes:
        format: Format of ``strptime``.
        confidence: Confidence that it is the right one, from 0 to 1.
        reason: Reason for it, without a full stop.
        others: Formats that read the texts, too.
    """

    format: str
    confidence: float
    reason: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartialFormat:
    """The format that reads most texts of a column, but too few of them.

    Attributes:
        format: Format of ``strptime``.
        count: Number of texts that it reads.
        unfit: First text that it does not read.
    """

    format: str
    count: int
    unfit: str


def find_partial_format(texts: Sequence[str]) -> PartialFormat | None:
    """Return the format that reads most of the texts; ``None`` if it reads all or none of them."""
    best: PartialFormat | None = None
    for layout in _layouts(_spread([text.strip() for text in texts])):
        unfit = [text for text in texts if parse(text, layout) is None]
        count = len(texts) - len(unfit)
        if count and unfit and (best is None or count > best.count):
            best = PartialFormat(layout, count, unfit[0])
    return best


def find_format(texts: Sequence[str]) -> DateFormat | None:
    """Return the format of most of the texts; ``None`` if they are no dates.

    Example:
        >>> find_format(["31.12.2023 23:59", "02.01.2024 13:45"]).format
        '%d.%m.%Y %H:%M'
        >>> find_format(["yes", "no"])
    """
    step = max(1, len(texts) // TEXTS_TRIED)
    tried = [text.strip() for text in texts[::step]]
    fitting = []
    for layout in _layouts(_spread(tried)):
        read = [parse(text, layout) for text in tried]
        moments = [m for m in read if m is not None and YEARS[0] <= m.year < YEARS[1]]
        if moments and len(moments) >= SHARE_MIN * len(read):
            fitting.append((layout, moments))
    return _choose(fitting) if fitting else None


def _spread(texts: Sequence[str]) -> list[str]:
    """Return a few texts from all over a column, whose forms are the formats that are tried."""
    return list(
        dict.fromkeys([*texts[:3], *texts[:: max(1, len(texts) // FORMS_TRIED)], texts[-1]])
    )


def parse(text: str, layout: str) -> datetime | None:
    """Return the moment that a text names, in UTC unless it names a zone; ``None`` for none."""
    try:
        moment = parse_text_time(text.strip(), layout)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _choose(fitting: Sequence[tuple[str, Sequence[datetime]]]) -> DateFormat:
    """Choose between formats that differ in the order of day and month."""
    layout = fitting[0][0]
    if len(fitting) == 1:
        return DateFormat(layout, 0.95, "no other order of day, month and year reads all texts")
    ranked = sorted(fitting, key=lambda item: (_steps_back(item[1]), _span(item[1])))
    (best, moments), (_, other_moments) = ranked[:2]
    steps, other_steps = _steps_back(moments), _steps_back(other_moments)
    days, other_days = (_span(m) / timedelta(days=1) for m in (moments, other_moments))
    confidence, reason = 0.5, "no day is above 12, so day and month can be either way round"
    if [_day(m) for m in moments] == [_day(m) for m in other_moments]:
        confidence, reason = 0.9, "every day has the number of its month"
    elif 5 * (steps + 1) < other_steps or days * SPAN_RATIO < other_days:
        layout, confidence = best, 0.8
        reason = f"the times then span {days:.1f} days instead of "
        reason += f"{other_days:.1f}, as days that follow each other do"
    elif "." in layout[:3]:
        confidence = 0.7
        reason = "dots stand after the day first; no day is above 12, so the log does not show it"
    others = tuple(other for other, _ in fitting if other != layout)
    return DateFormat(layout, confidence, reason, others)


def _day(moment: datetime) -> tuple[int, int, int]:
    return moment.year, moment.month, moment.day


def _span(moments: Sequence[datetime]) -> timedelta:
    return max(moments) - min(moments)


def _steps_back(moments: Sequence[datetime]) -> int:
    return sum(after < before for before, after in pairwise(moments))


def _layouts(texts: Sequence[str]) -> Iterator[str]:
    """Yield the formats that fit the form of one of the texts, each once."""
    seen: set[str] = set()
    for text in texts:
        match = _DATE_TIME.fullmatch(text)
        made = [*_FIXED] if match is None else [d + _clock(match) for d in _dates(match)]
        for layout in made:
            if layout not in seen:
                seen.add(layout)
                if match is not None or parse(text, layout) is not None:
                    yield layout


def _dates(match: re.Match[str]) -> Iterator[str]:
    """Yield the orders of day, month and year that a text may have, the likeliest first."""
    first, second, third = match["d1"], match["d2"], match["d3"]
    s1, s2 = match["s1"], match["s2"]
    year = "%Y" if len(third) == 4 else "%y"
    if first.isalpha():
        names = ("%b", "%B") if len(first) == 3 else ("%B",)
        orders = [(name, "%d", year) for name in names]
    elif second.isalpha():
        names = ("%b", "%B") if len(second) == 3 else ("%B",)
        orders = [("%d", name, year) for name in names]
    elif len(first) == 4:
        orders = [("%Y", "%m", "%d")]
    elif len(first) == 3:
        orders = []
    else:
        orders = [("%d", "%m", year), ("%m", "%d", year)]
        if len(third) == 2:
            orders.append(("%y", "%m", "%d"))
    for one, two, three in orders:
        yield f"{one}{s1}{two}{s2}{three}"


def _clock(match: re.Match[str]) -> str:
    """Return the format of the time of the day in a text; empty if there is none."""
    if match["h"] is None:
        return ""
    colon, ampm, zone = match["c1"], match["ampm"] or "", match["zone"] or ""
    text = f"{match['sep']}{'%I' if ampm else '%H'}{colon}%M"
    if match["s"] is not None:
        text += f"{colon}%S" + (f"{match['f']}%f" if match["f"] else "")
    if ampm:
        text += " %p" if ampm.startswith(" ") else "%p"
    if zone.strip() in ("UTC", "GMT"):
        return text + zone
    return text + (" %z" if zone.startswith(" ") else "%z" if zone else "")
