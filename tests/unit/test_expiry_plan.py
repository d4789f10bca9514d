"""``state expire`` refuses ticks that would make later events find no memory."""

import pytest

from stream_rnn.operate.expiry import ExpiryPlan, Silence, _refusal, needed_s
from stream_rnn.settings import Settings
from stream_rnn.store.state import Anchor, StoredPosition

NOW_MS = 1_767_225_600_000
TTL_S = 600


@pytest.mark.parametrize(
    ("behind_ms", "is_refused"),
    [(0, False), (600_000, False), (600_001, True), (-1, False), (NOW_MS, True)],
)
def test_a_stream_time_far_behind_the_records_is_refused(behind_ms, is_refused):
    """At the limit it is not; without a timestamp or a stream time nothing can be compared."""
    silence = Silence(ttl_s=TTL_S, least_s=TTL_S, now_ms=NOW_MS)
    stored = StoredPosition(9, 0, Anchor(8, NOW_MS, 1), 1, 1, NOW_MS - behind_ms)
    assert bool(_refusal(stored, silence)) == is_refused
    for anchor, stream_ms in ((None, 0), (Anchor(8, -1, 1), 0), (Anchor(8, NOW_MS, 1), None)):
        assert _refusal(StoredPosition(9, 0, anchor, 1, 1, stream_ms), silence) == ""


@pytest.mark.parametrize(
    ("age_s", "has_append_time", "is_refused"),
    [(TTL_S + 86_400, False, False), (TTL_S + 86_401, False, True), (10**8, True, False)],
)
def test_a_last_record_that_is_old_may_belong_to_a_backfill(age_s, has_append_time, is_refused):
    """Unless the broker has set its timestamp, which no backfill changes."""
    silence = Silence(ttl_s=TTL_S, least_s=TTL_S, now_ms=NOW_MS, has_append_time=has_append_time)
    record_ms = NOW_MS - 1000 * age_s
    refusal = _refusal(StoredPosition(9, 0, Anchor(8, record_ms, 1), 1, 1, record_ms), silence)
    assert bool(refusal) == is_refused
    assert ("use --force for a partition that is silent" in refusal) == is_refused


def test_the_command_waits_longer_than_idle_workers_need():
    """They begin after ``idle_check_s``, and then delete 5,000 states a second."""
    for idle_check_s, keys in ((60, 1), (300, 1_000_000)):
        settings = Settings.build(idle_check_s=idle_check_s)
        plan = ExpiryPlan(partition=0, keys=keys, stream_time_ms=None, reason="")
        assert needed_s(settings, [plan]) > idle_check_s + keys / 5000 + 10
