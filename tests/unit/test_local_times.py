"""Dead letters whose event times look like local times."""

from datetime import UTC, datetime

import pytest

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.operate.local_times import LocalTimes
from stream_rnn.settings import Settings
from tests import models

WINTER, SUMMER = datetime(2026, 1, 10, 12, tzinfo=UTC), datetime(2026, 7, 10, 12, tzinfo=UTC)
SETTINGS = Settings(app="t", source="s", predictions="p", event_time_ahead_max_s=60)


def hint_of(*leads):
    """Return the hint for events that are ahead of their records by some seconds."""
    spec = models.of(models.SPEC | {"event": {"time": {"path": "at", "unit": "s"}}}).spec
    decoder, local_times = Decoder(spec, SETTINGS), LocalTimes()
    for moment, lead_s in leads:
        stamp_s = int(moment.timestamp())
        record = LogRecord(0, stamp_s * 1000, b"k", b'{"at":%d}' % (stamp_s + lead_s))
        (error,) = decoder.decode([record]).skips.values()
        assert error.code == "time_ahead"
        local_times.add(str(error), record.timestamp)
    return local_times.hint()


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        ([(WINTER, 3600), (SUMMER, 7199)], "1 or 2 hours ahead: set zone in event.time, such as Europe/Berlin,"),
        ([(WINTER, 3541)], "1 hour ahead: set zone in event.time, such as Europe/Berlin or Africa/Lagos"),
        ([(WINTER, 3600), (SUMMER, 3600)], "1 hour ahead: set zone in event.time, such as Africa/Lagos,"),
        ([(WINTER, 19_800)], "5.5 hours ahead: set zone in event.time, such as Asia/Kolkata,"),
        ([(WINTER, 900)], "0.25 hours ahead: set zone in event.time, or let the producer write UTC"),
    ],
)  # fmt: skip
def test_leads_of_quarter_hours_look_like_local_times(leads, expected):
    """The zones that fit are those that were ahead by the lead at the time of each record."""
    assert f"look like local times {expected}" in hint_of(*leads)


@pytest.mark.parametrize(
    "leads", [[], [(WINTER, 3600), (WINTER, 1800 + 200)], [(WINTER, 3539)], [(WINTER, 86_400)]]
)
def test_one_other_lead_is_enough_for_no_hint(leads):
    """A clock that is wrong is wrong by anything; no zone is a day ahead."""
    assert hint_of(*leads) == ""
