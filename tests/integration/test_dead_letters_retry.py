"""Dead letters that are listed, put back once, or cannot go back."""

import asyncio
import gc
import json

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.errors import FencedError
from stream_rnn.operate.dead_letters import DeadLetterFilter
from stream_rnn.operate.retry_dead_letters import Retry
from tests.integration.started_workers import options
from tests.integration.streams import run

pytestmark = pytest.mark.timeout(120)


async def test_dead_letters_are_listed_and_put_back_once(made):
    """After a fix they are folded as new events; a second try puts nothing back."""
    producer = AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers)
    await producer.start()
    bad = [b"not json", b'{"x":"a word","kind":"A"}']
    for value in bad:
        sent = await producer.send_and_wait(
            made.settings.source, value, b"k", 1, headers=[("trace", b"7")]
        )
    await producer.send_and_wait(made.settings.source, b'{"x":1.0,"kind":"A"}', None, 0)
    await producer.stop()
    made.start()
    await made.until_published()
    where = options(made, "predictions", "bootstrap_servers")
    lines = (await run("deadletters", "list", "--json", *where)).splitlines()
    found = [json.loads(line) for line in lines]
    assert min(one["error"] for one in found) == "no_key"
    assert len(found) == 3
    assert "no_key" in await run("deadletters", "list", *where)
    shown = await run("deadletters", "show", "1", str(sent.offset), "--json", *where)
    one = json.loads(shown)
    assert (one["value"], one["headers"]) == (bad[1].decode(), {"trace": "7"})
    await run("deadletters", "show", "1", "999", *where, status=1)

    retry = ["deadletters", "retry", "--yes", *where, *options(made, "app", "source")]
    assert "2 records put back" in await run(*retry, "--partition=1")
    await made.until_published()
    lines = (await run("deadletters", "list", "--json", "--partition=1", *where)).splitlines()
    assert [bool(json.loads(line)["retry_of"]) for line in lines] == [False, False, True, True]
    # What was put back is not put back again; what was skipped once more may be.
    assert "2 records can be put back" in await run(*retry, "--partition=1", f"--from={sent.offset + 1}")  # fmt: skip
    assert "0 records can be put back" in await run(*retry, "--partition=1", f"--to={sent.offset}")
    await run("deadletters", "list", "--partition=9", *where, status=3)


async def test_dead_letters_that_cannot_go_back_do_not_hold_up_the_others(made):
    """One was cut, one is empty, one is of another source; what goes back says where it is now."""
    await made.produce([(b"k", b"no"), (b"k", b"no" * 40)])
    made.start(dead_letter_bytes_max=50)
    await made.until_published()
    places = {
        "sr-topic": made.settings.source,
        "sr-partition": "0",
        "sr-offset": "7",
        "sr-error": "x",
    }
    places |= {"sr-reason": "x", "sr-timestamp": "0", "sr-size": "1", "sr-truncated": ""}
    async with AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers) as producer:
        for key, changed in (
            (None, {"sr-size": "-1"}),
            (b"k", {"sr-topic": "elsewhere"}),
            (b"k", {"sr-offset": str(1 << 63)}),
        ):
            headers = [(name, text.encode()) for name, text in {**places, **changed}.items()]
            await producer.send_and_wait(made.settings.dead_letters_topic, b"", key, 0, headers=headers)  # fmt: skip
    where = options(made, "app", "source", "predictions", "bootstrap_servers")
    found = json.loads(await run("deadletters", "retry", "--json", *where, status=1))
    counts = {name: found[name] for name in ("put_back", "cut", "empty", "of_another_source")}
    assert counts == {"put_back": 1, "cut": 1, "empty": 1, "of_another_source": 1}
    ((partition, (first, last)),) = found["offsets"].items()
    records = await made.source(int(partition))
    assert first == last == records[-1].offset
    assert dict(records[-1].headers)["sr-retry-of"].decode().startswith(made.settings.source)


async def test_of_two_retries_at_a_time_one_is_fenced_and_nothing_is_put_back_twice(made):
    """Both have chosen before either writes: the first one may write no more."""
    await made.produce([(b"k", b"no"), (b"k", b"not"), (b"k", b"not at all")])
    made.start()
    await made.until_published()
    async with Retry(made.settings, DeadLetterFilter()) as first:
        chosen = await first.select()
        async with Retry(made.settings, DeadLetterFilter()) as second:
            also = await second.select()
            assert chosen.count == also.count == 3
            with pytest.raises(FencedError, match="another retry"):
                await first.put_back(chosen, lambda _count: None)
            with pytest.raises(FencedError, match="another retry"):
                await first.put_back(chosen, lambda _count: None)
            await second.put_back(also, lambda _count: None)
    async with Retry(made.settings, DeadLetterFilter(last=2)) as third:
        assert (await third.select()).count == 0
    assert sum([len(await made.source(p)) for p in (0, 1)]) == 6


async def test_a_retry_that_is_fenced_between_two_records_is_told_so(made):
    """The client's error for the second record says only that there is no transaction.

    asyncio would report an error of the first record that nobody has asked for.
    """
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: reported.append(about))
    await made.produce([(b"k", b"no"), (b"k", b"not")])
    made.start()
    await made.until_published()
    async with Retry(made.settings, DeadLetterFilter()) as first:
        chosen = await first.select()
        wait_for_the_fence_after_a_record(first._producer)
        async with Retry(made.settings, DeadLetterFilter()):
            with pytest.raises(FencedError, match="another retry"):
                await first.put_back(chosen, lambda _count: None)
    del first
    gc.collect()
    assert [about["message"] for about in reported] == []


def wait_for_the_fence_after_a_record(producer) -> None:
    """Let a producer's calls of ``send`` return once it has been fenced."""
    send, sender = producer.send, producer._sender.sender_task

    async def send_and_wait(*args, **fields):
        sent = await send(*args, **fields)
        await asyncio.wait({sender}, timeout=30)
        assert sender.done()
        return sent

    producer.send = send_and_wait
