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
