"""Local times that go back at the end of summer time, in a log that is in the right order."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np

from stream_rnn.model.zones import load_zone
from stream_rnn.spec.clocks import clock_change
from stream_rnn.spec.event_time import DAY_S, TimeGuess

HOUR_S = 3_600
NIGHT_S = 4 * HOUR_S  # end of the hours in which clocks are changed
SUNDAY = 6


def goes_back_at_clock_changes(time: TimeGuess) -> bool:
    """Return whether all steps back of an event time are those of clocks at the end of summer time.

    A sort by such times would mix the two passes of the hour that exists twice.
    """
    seconds = time.seconds[np.isfinite(time.seconds)]
    back = np.flatnonzero(np.diff(seconds) < 0)
    if not time.is_local or not len(back):
        return False
    before, after = seconds[back], seconds[back + 1]
    if (before - after > HOUR_S).any():
        return False
    days = Counter((after // DAY_S).tolist())
    if max(days.values()) > 1:
        return False
    zone = str(time.table.get("zone", ""))
    return all(
        map(_is_doubled if zone else _is_sunday_night, (*before, *after), [zone] * 2 * len(back))
    )


def _is_doubled(seconds: float, zone: str) -> bool:
    return clock_change(datetime.fromtimestamp(seconds, load_zone(zone))) == 1


def _is_sunday_night(seconds: float, _: str) -> bool:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.weekday() == SUNDAY and seconds % DAY_S < NIGHT_S
