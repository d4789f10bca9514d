"""Tasks that last: an end that nobody asked for is told."""

import asyncio

import pytest

from stream_rnn.errors import FencedError, MovedError
from stream_rnn.worker.lasting import tell_end


async def returns():
    """End by itself."""


async def leaks():
    """End by a cancellation of something else, which was let through."""
    raise asyncio.CancelledError


async def fails():
    """End by an error of ours."""
    raise MovedError("moved")


async def breaks():
    """End by a defect."""
    raise ValueError("a defect")


async def told(work, *, is_asked=False):
    """Return what is told of a task's end."""
    failures = []
    task = asyncio.create_task(work(), name="the task")
    tell_end(task, lambda: is_asked, failures.append)
    await asyncio.wait({task})
    await asyncio.sleep(0)
    return failures


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (returns, FencedError, "the task ended although nobody asked"),
        (leaks, FencedError, "the task was cancelled although nobody asked"),
        (fails, MovedError, "moved"),
        (breaks, ValueError, "a defect"),
    ],
)
async def test_any_end_that_nobody_asked_for_is_told(work, error, said):
    """By an error, by none, and by a cancellation that leaked."""
    (failure,) = await told(work)
    assert isinstance(failure, error)
    assert said in str(failure)


@pytest.mark.parametrize("work", [returns, leaks, fails, breaks])
async def test_an_end_that_was_asked_for_is_no_failure(work):
    """However it comes about."""
    assert await told(work, is_asked=True) == []
