"""Background tasks: an unexpected end is reported."""

import asyncio

import pytest

from stream_rnn.errors import FencedError, MovedError
from stream_rnn.worker.service_tasks import report_unexpected_end


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


async def reported_failures(work, *, is_end_expected=False):
    """Run a task and return the failures that are reported of it."""
    failures = []
    task = asyncio.create_task(work(), name="the task")
    report_unexpected_end(task, lambda: is_end_expected, failures.append)
    await asyncio.wait({task})
    await asyncio.sleep(0)
    return failures


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (returns, FencedError, "the task ended unexpectedly"),
        (leaks, FencedError, "the task was cancelled unexpectedly"),
        (fails, MovedError, "moved"),
        (breaks, ValueError, "a defect"),
    ],
)
async def test_any_unexpected_end_is_reported(work, error, message):
    """An error, a return and a leaked cancellation are all failures."""
    (failure,) = await reported_failures(work)
    assert isinstance(failure, error)
    assert message in str(failure)


@pytest.mark.parametrize("work", [returns, leaks, fails, breaks])
async def test_an_expected_end_is_no_failure(work):
    """No kind of end is reported once the task may end."""
    assert await reported_failures(work, is_end_expected=True) == []
