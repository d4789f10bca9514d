"""Repeated calls of the store are logged with their place."""

import pytest

from stream_rnn.errors import UnavailableError
from stream_rnn.store.retry import retry


@pytest.mark.parametrize(
    ("place", "end"), [("events[0]", ": away partition=events[0]"), ("", ": away")]
)
async def test_only_a_call_of_a_partition_is_logged_with_a_partition(place, end, caplog):
    """The check of Redis at the start belongs to none."""
    answers, said = [UnavailableError("away"), "done"], []

    async def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(_seconds):
        pass

    assert await retry(call, 1, lambda: 0, place, said.append, sleep) == "done"
    assert said == ["away", ""]
    assert [r.getMessage() for r in caplog.records] == [f"redis unavailable, trying again{end}"]


async def test_a_long_outage_is_logged_at_growing_intervals(caplog):
    """A line for each try would fill the log, and once more for each partition."""
    now_s = 0.0

    async def call():
        raise UnavailableError("away")

    async def sleep(seconds):
        nonlocal now_s
        now_s += seconds

    with pytest.raises(UnavailableError):
        await retry(call, 100, lambda: now_s, "", lambda _reason: None, sleep)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 7  # after 0, 1, 3, 7, 15, 31 and 63 seconds
    assert lines[0] == "redis unavailable, trying again: away"
    assert "seconds=63" in lines[-1]
    assert "tries=" in lines[-1]
