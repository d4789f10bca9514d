"""A coroutine that is run from a script, and from inside of a running event loop."""

import asyncio
import signal
import threading

import pytest
import torch

from stream_rnn.replay.event_loop import run_coroutine


async def answer(seen):
    """Return a number, and note the thread."""
    await asyncio.sleep(0)
    seen.append(threading.current_thread())
    return 42


def test_without_a_loop_the_coroutine_runs_in_the_thread_of_the_caller():
    """As ``asyncio.run`` does it, which handles Ctrl-C by itself."""
    seen = []
    assert run_coroutine(answer(seen)) == 42
    assert seen == [threading.current_thread()]


async def test_inside_of_a_loop_the_coroutine_has_a_thread_of_its_own():
    """Where ``asyncio.run`` would raise, as in a notebook."""
    seen = []
    assert run_coroutine(answer(seen)) == 42
    assert seen != [threading.current_thread()]
    assert not seen[0].is_alive()


async def test_an_error_is_raised_where_the_caller_is():
    """And the thread ends."""

    async def fail():
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_coroutine(fail())


async def test_the_number_of_torch_threads_holds_in_the_thread():
    """``pin_numerics`` is called by the caller, and decides the bits of the fold."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    async def count():
        return torch.get_num_threads()

    try:
        assert run_coroutine(count()) == 1
    finally:
        torch.set_num_threads(before)


async def test_ctrl_c_cancels_the_coroutine_and_waits_for_its_end():
    """Files and connections are closed before the caller goes on."""
    events = []

    async def wait():
        try:
            events.append("began")
            await asyncio.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.sleep(5)
            events.append("not cancelled")
        finally:
            await asyncio.sleep(0.05)
            events.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_coroutine(wait())
    assert events == ["began", "cleaned up"]
