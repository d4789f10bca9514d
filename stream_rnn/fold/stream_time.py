"""Stream time that a record with a wrong timestamp has moved far ahead of now.

An event time is compared with the timestamp of its own record only, because the fold must not
depend on a clock.  So one record that a producer has stamped with a time of the far future moves
stream time there.  ``event_year_max`` makes a dead letter of a record of a later year.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from stream_rnn.settings import Settings
from stream_rnn.text import format_time

AHEAD_MIN_S = 86_400


class StreamTimeAhead(NamedTuple):
    """A stream time that is far ahead of now.

    Attributes:
        text: What is wrong, and its effect.
        remedy: What to do; empty if it has no effect.
    """

    text: str
    remedy: str

    def __str__(self) -> str:
        """Return the text, and the remedy after a semicolon if there is one."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


def describe_ahead(
    stream_time_ms: int | None, now_s: float, settings: Settings
) -> StreamTimeAhead | None:
    """Return what is wrong if stream time is far ahead of now; ``None`` if it is not.

    Args:
        stream_time_ms: Stream time of a partition in milliseconds; ``None`` before the first event.
        now_s: Seconds since 1970.
        settings: Settings of the fold.

    Example:
        >>> describe_ahead(7_258_118_400_000, 1_767_225_600, Settings()).text[:53]
        'stream time is 2200-01-01 00:00:00, far ahead of now:'
        >>> describe_ahead(1_767_225_600_000, 1_767_225_600, Settings())
    """
    if stream_time_ms is None:
        return None
    ahead_s, ttl_s = stream_time_ms / 1000 - now_s, settings.state_ttl
    if ahead_s <= max(AHEAD_MIN_S, 2 * settings.event_time_ahead_max_s):
        return None
    text = (
        f"stream time is {format_time(stream_time_ms)}, far ahead of now: a record with a wrong "
        "timestamp has moved it; "
    )
    if ttl_s is None:
        return StreamTimeAhead(f"{text}without state_ttl this has no effect", "")
    since = format_time(stream_time_ms - int(1000 * ttl_s))
    effect = (
        f"until {since}, events with correct times find no memory"
        if ahead_s > ttl_s
        else f"states whose last event is before {since} have expired too early"
    )
    return StreamTimeAhead(text + effect, _remedy(stream_time_ms, now_s))


def _remedy(stream_time_ms: int, now_s: float) -> str:
    """Return what keeps such a record out.

    ``event_year_max`` would soon skip correct records, too, if it were the present year.
    """
    year = datetime.fromtimestamp(now_s, UTC).year
    if stream_time_ms >= 1000 * datetime(year + 2, 1, 1, tzinfo=UTC).timestamp():
        return (
            "correct the producer of the record; with event_year_max below that year, which makes "
            "a new fold, workers skip such records"
        )
    return (
        "correct the producer of the record; a lower message.timestamp.after.max.ms of the source "
        "topic lets brokers refuse such records"
    )
