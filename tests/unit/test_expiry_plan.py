"""``state expire`` refuses ticks that would make later events find no memory."""

import pytest

from stream_rnn.operate.expiry import _refusal
from stream_rnn.store.state import Anchor, StoredPosition

NOW_MS = 1_767_225_600_000
TTL_S = 600


@pytest.mark.parametrize(
    ("behind_ms", "is_refused"),
    [(0, False), (600_000, False), (600_001, True), (-1, False), (NOW_MS, True)],
)
def test_a_stream_time_far_behind_the_records_is_refused(behind_ms, is_refused):
    """At the limit it is not; without a timestamp or a stream time nothing can be compared."""
    stored = StoredPosition(9, 0, Anchor(8, NOW_MS, 1), 1, 1, NOW_MS - behind_ms)
    assert bool(_refusal(stored, TTL_S)) == is_refused
    for anchor, stream_ms in ((None, 0), (Anchor(8, -1, 1), 0), (Anchor(8, NOW_MS, 1), None)):
        assert _refusal(StoredPosition(9, 0, anchor, 1, 1, stream_ms), TTL_S) == ""
