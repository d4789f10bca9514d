"""Concurrent calls of which one fails: no other one runs on."""

import asyncio

import pytest

from stream_rnn.errors import FencedError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.settings import Settings

SETTINGS = Settings.build(app="a", source="s", predictions="p", bundle="b").of_fold()


class Endless:
    """A call that ends only by being cancelled, some steps of the loop later."""

    def __init__(self):
        self.begun, self.is_ended = asyncio.Event(), False

    async def __call__(self):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.is_ended = True


async def test_results_come_in_the_order_of_the_calls():
    """Also of none."""

    async def after(other, value):
        if other is not None:
            await other.wait()
        return value

    event = asyncio.Event()

    async def last():
        event.set()
        return 2

    assert await gather_or_cancel([after(event, 1), last()]) == [1, 2]
    assert await gather_or_cancel([]) == []


async def test_the_others_have_ended_when_the_first_failure_is_raised():
    """Their clients are closed by then, and nothing reads on."""
    endless = Endless()

    async def fail():
        await endless.begun.wait()
        raise FencedError("no answer")

    with pytest.raises(FencedError, match="no answer"):
        await gather_or_cancel([endless(), fail()])
    assert endless.is_ended


async def test_all_have_ended_after_a_cancellation():
    """As when a partition is revoked during a search."""
    endless = Endless()
    task = asyncio.create_task(gather_or_cancel([endless(), Endless()()]))
    await endless.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert endless.is_ended


async def test_a_search_that_fails_ends_the_search_in_the_other_output():
    """After lost states a worker searches predictions and dead letters at once."""
    endless = Endless()

    class Log(KafkaLog):
        async def _last_output_in(self, topic, _number_min):
            if topic == SETTINGS.predictions:
                await endless.begun.wait()
                raise FencedError("p[0]: the search did not end")
            return await endless()

    with pytest.raises(FencedError, match="the search did not end"):
        await Log(None, SETTINGS, 0).last_output()
    assert endless.is_ended
