"""Stream time that a record with a wrong timestamp has moved far ahead of now.

An event time is compared with the timestamp of its own record only, because the fold must not
depend on a clock.  So one record that a producer has stamped with a time of the far future moves
stream time there.  ``event_year_max`` makes a dead letter of such a record.
"""

from stream_rnn.settings import Settings
from stream_rnn.text import format_time

AHEAD_MIN_S = 86_400


def describe_ahead(stream_time_ms: int | None, now_s: float, settings: Settings) -> str:
    """Return what is wrong if stream time is far ahead of now; empty if it is not.

    Args:
        stream_time_ms: Stream time of a partition in milliseconds; ``None`` before the first event.
        now_s: Seconds since 1970.
        settings: Settings of the fold.

    Example:
        >>> describe_ahead(7_258_118_400_000, 1_767_225_600, Settings())[:53]
        'stream time is 2200-01-01 00:00:00, far ahead of now:'
        >>> describe_ahead(1_767_225_600_000, 1_767_225_600, Settings())
        ''
    """
    limit_s = max(AHEAD_MIN_S, 2 * settings.event_time_ahead_max_s)
    if stream_time_ms is None or stream_time_ms / 1000 - now_s <= limit_s:
        return ""
    effect = (
        "until then, events with correct times find no memory"
        if settings.state_ttl is not None
        else "without state_ttl this has no effect"
    )
    return (
        f"stream time is {format_time(stream_time_ms)}, far ahead of now: a record with a wrong "
        f"timestamp has moved it; {effect}"
    )


REMEDY = (
    "correct the producer of the record; with event_year_max below that year, which makes a new "
    "fold, workers skip such records"
)
"""What to do if stream time is far ahead of now."""
