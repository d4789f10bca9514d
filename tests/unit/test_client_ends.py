"""How clients of Kafka end: a cancelled task of theirs cancels nobody else."""

import asyncio

import pytest

from stream_rnn.kafka import clients


async def end(*, is_cancelled):
    """End as a client does that waits for the reader of a connection."""
    reader = asyncio.ensure_future(asyncio.sleep(60))
    if is_cancelled:
        reader.cancel()
    await asyncio.gather(reader)


async def test_a_cancelled_reader_cancels_no_caller():
    """The client has ended; whoever stops it goes on."""
    assert not await clients._ends_within(lambda: end(is_cancelled=True), 5)


async def test_a_caller_who_is_cancelled_ends():
    """While the client still ends."""
    ending = asyncio.create_task(clients._ends_within(lambda: end(is_cancelled=False), 60))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
