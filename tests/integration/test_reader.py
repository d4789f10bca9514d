"""The reader on a real Kafka: once, in both delivery modes, across crashes and rebalances."""

import asyncio
import json
import logging
import signal
import sys

import pytest
from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError, DecodeError
from stream_rnn.predictions import PredictionReader
from stream_rnn.predictions.progress import SOURCES_MAX
from tests.integration.predicted import nothing_more, publish, take, wait_until, written


async def test_a_run_that_was_published_twice_is_yielded_once(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """At-least-once repeats a suffix: its source offsets do not rise, and are dropped."""
    await create_topic(topic, 1)
    run = written(app_id, range(10))
    await publish(bootstrap_servers, topic, [*run[:7], *run[3:]])

    async with open_reader() as reader:
        assert await take(reader, 10) == [(0, offset) for offset in range(10)]
        await nothing_more(reader)
        assert (reader.counts.yielded, reader.counts.duplicates) == (10, 4)


async def test_an_aborted_transaction_is_not_yielded(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """Only committed predictions are read; the same source offsets, committed later, are."""
    await create_topic(topic, 1)
    run = written(app_id, range(9))
    messages = [*run[:3], *run[3:6], *run[3:9]]
    await publish(bootstrap_servers, topic, messages, transactions=(3, -3, 6))

    async with open_reader() as reader:
        assert await take(reader, 9) == [(0, offset) for offset in range(9)]
        assert reader.counts.duplicates == 0


async def test_a_reader_resumes_where_it_committed_and_knows_what_it_saw(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """The last source offsets are beside the group offset: a duplicate is one after a crash too."""
    await create_topic(topic, 1)
    run = written(app_id, range(10))
    await publish(bootstrap_servers, topic, run[:6])
    async with open_reader(group_id=app_id) as reader:
        await take(reader, 4)
        await reader.commit()
        await take(reader, 2)  # yielded, not committed: lost with the crash

    await publish(bootstrap_servers, topic, run[2:])
    async with open_reader(group_id=app_id) as reader:
        assert await take(reader, 6) == [(0, offset) for offset in range(4, 10)]
        await nothing_more(reader)
        assert reader.counts.duplicates == 4


async def test_without_a_commit_all_is_read_again(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """What was yielded and not committed is yielded to the next reader of the group."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(3)))

    for _ in range(2):
        async with open_reader(group_id=app_id) as reader:
            assert await take(reader, 3) == [(0, 0), (0, 1), (0, 2)]


async def test_earliest_goes_on_where_the_group_committed_and_another_group_reads_all(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """As in Kafka it says where a group begins; to read all again takes another group, or none."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(3)))
    for start in ("committed", "earliest"):
        async with open_reader(group_id=f"{app_id}-{start}", start=start) as reader:
            assert await take(reader, 2) == [(0, 0), (0, 1)]
            await reader.commit()

    for group in ("committed", "earliest"):
        async with open_reader(group_id=f"{app_id}-{group}", start="earliest") as reader:
            assert await take(reader, 1) == [(0, 2)]
    for group in (f"{app_id}-new", None):
        async with open_reader(group_id=group, start="earliest") as reader:
            assert await take(reader, 3) == [(0, 0), (0, 1), (0, 2)]


async def test_latest_reads_what_comes_after_the_start(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """What was published before is not read."""
    await create_topic(topic, 1)
    run = written(app_id, range(4))
    await publish(bootstrap_servers, topic, run[:3])

    async with open_reader(start="latest") as reader:
        await publish(bootstrap_servers, topic, run[3:])
        assert await take(reader, 1) == [(0, 3)]


async def test_two_readers_of_a_group_yield_each_source_offset_once(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """A partition that is handed over goes on behind the commit; one that stays, where it stood."""
    await create_topic(topic, 2)
    runs = [written(app_id, range(20), partition) for partition in (0, 1)]
    for partition, run in enumerate(runs):
        await publish(bootstrap_servers, topic, run[:10], partition)
    seen = []

    async def read(reader):
        async for prediction in reader:
            seen.append((prediction.source.partition, prediction.source.offset))
            await reader.commit()

    async with open_reader(group_id=app_id) as first:
        seen += await take(first, 20)
        await first.commit()
        async with open_reader(group_id=app_id) as second:
            tasks = [asyncio.create_task(read(reader)) for reader in (first, second)]
            try:
                await wait_until(
                    lambda: all(len(r._assignment._progress) == 1 for r in (first, second)),
                    "a partition for each reader",
                )
                for partition, run in enumerate(runs):
                    await publish(bootstrap_servers, topic, run[5:], partition)
                await wait_until(lambda: len(seen) >= 40, "all predictions read")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        assert first.counts.yielded < 40
    assert sorted(seen) == [(p, offset) for p in (0, 1) for offset in range(20)]


async def test_an_uncommitted_partition_that_comes_back_is_not_yielded_again(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """A rebalance alone repeats nothing to the reader that keeps a partition."""
    await create_topic(topic, 1)
    run = written(app_id, range(6))
    await publish(bootstrap_servers, topic, run[:3])

    async with open_reader(group_id=app_id) as reader:
        assert await take(reader, 3) == [(0, 0), (0, 1), (0, 2)]
        coordinator = reader._consumer._coordinator
        before = coordinator.generation
        coordinator.request_rejoin()
        await wait_until(lambda: coordinator.generation > before, "a new generation")
        await publish(bootstrap_servers, topic, run[3:])
        assert await take(reader, 3) == [(0, 3), (0, 4), (0, 5)]


async def test_predictions_of_another_app_are_dropped_when_an_app_is_named(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """Two apps may fold one source into one topic: each source offset is once for each app."""
    await create_topic(topic, 1)
    await publish(
        bootstrap_servers, topic, [*written("other", range(3)), *written(app_id, range(2))]
    )

    async with open_reader(worker_app_id=app_id) as reader:
        assert await take(reader, 2) == [(0, 0), (0, 1)]
        assert reader.counts.foreign == 3
    async with open_reader() as reader:
        assert len(await take(reader, 5)) == 5


async def test_a_value_that_is_no_prediction_says_where_it_is(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """It is an error with topic, partition and offset, and the next call goes on behind it."""
    await create_topic(topic, 1)
    run = written(app_id, range(2))
    await publish(bootstrap_servers, topic, [run[0], (b"key", b'{"secret":1}', []), run[1]])

    async with open_reader() as reader:
        assert await take(reader, 1) == [(0, 0)]
        with pytest.raises(DecodeError, match=rf"{topic}\[0\] offset 1 is not a prediction") as hit:
            await take(reader, 1)
        assert "secret" not in str(hit.value)
        assert await take(reader, 1) == [(0, 1)]


async def test_a_value_that_is_no_prediction_may_be_skipped(
    bootstrap_servers, topic, create_topic, open_reader, caplog
):
    """It is counted, each cause is logged once, and the value is not shown."""
    await create_topic(topic, 1)
    bad = [(b"k", value, []) for value in (b"no", *[b"\0\0\0\0\7x"] * 50, *[b"\0\0\0\0\x09x"] * 2)]
    await publish(bootstrap_servers, topic, [*bad, *written("app", [0])])

    with caplog.at_level(logging.WARNING):
        async with open_reader(on_bad="skip") as reader:
            assert await take(reader, 1) == [(0, 0)]
    assert reader.counts.bad == len(bad)
    said = [r.getMessage() for r in caplog.records if r.name.startswith("stream_rnn")]
    assert [message.partition(" offset ")[2].split(":")[0] for message in said] == ["0", "1", "51"]


async def test_a_prediction_of_one_source_too_many_is_an_error_each_time(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """It is not yielded, so nothing goes on behind it."""
    await create_topic(topic, 1)
    runs = [written(app_id, [0], partition)[0] for partition in range(SOURCES_MAX + 1)]
    await publish(bootstrap_servers, topic, runs)

    async with open_reader(group_id=app_id, start="earliest") as reader:
        await take(reader, SOURCES_MAX)
        for _ in range(2):
            with pytest.raises(ConfigError, match="more than 64 source partitions"):
                await take(reader, 1)
        assert reader.counts.yielded == SOURCES_MAX


async def test_predictions_that_retention_removed_unread_are_an_error(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """The reader does not jump over them silently."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(6)))
    async with open_reader(group_id=app_id) as reader:
        await take(reader, 2)
        await reader.commit()
        await reader._admin.delete_records({TopicPartition(topic, 0): _before(4)})

    async with open_reader(group_id=app_id) as reader:
        with pytest.raises(ConfigError, match=r"position 2 is outside .* begins at 4"):
            await take(reader, 1)


def _before(offset):
    from aiokafka.admin import RecordsToDelete

    return RecordsToDelete(before_offset=offset)


async def test_a_reader_without_a_group_cannot_commit(create_topic, topic, open_reader):
    """The error names the remedy."""
    await create_topic(topic, 1)
    async with open_reader() as reader:
        with pytest.raises(ConfigError, match="group_id"):
            await reader.commit()


async def test_a_topic_that_does_not_exist_is_refused(bootstrap_servers):
    """The error names the topic and the brokers."""
    reader = PredictionReader("no-such-topic", bootstrap_servers=bootstrap_servers)
    with pytest.raises(ConfigError, match="no-such-topic does not exist at 127"):
        await reader.__aenter__()


async def test_a_broker_that_does_not_answer_is_named():
    """Nothing listens on port 1."""
    reader = PredictionReader("topic", bootstrap_servers="127.0.0.1:1", timeout_s=5)
    with pytest.raises(ConfigError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        await reader.__aenter__()


async def tail(bootstrap_servers, *arguments):
    """Start ``stream-rnn tail``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream_rnn.cli",
        "tail",
        "--bootstrap-servers",
        bootstrap_servers,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_tail_prints_the_published_bytes(bootstrap_servers, topic, app_id, create_topic):
    """With ``--json`` each line is a prediction, once, and it stops after ``--max``."""
    await create_topic(topic, 1)
    run = written(app_id, range(3))
    await publish(bootstrap_servers, topic, [(b"k", b"no", []), *run[:2], *run])

    process = await tail(bootstrap_servers, topic, "--from-beginning", "--max", "3", "--json")
    async with asyncio.timeout(30):
        out, said = await process.communicate()
    assert out == b"".join(value + b"\n" for _, value, _ in run)
    assert b"1 records were not predictions" in said
    assert process.returncode == 0
    assert json.loads(out.splitlines()[0])["source"]["offset"] == 0


async def test_tail_ends_cleanly_on_ctrl_c(bootstrap_servers, topic, app_id, create_topic):
    """It prints rows as they come; the status is that of an interrupted program, without traces."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, [7]))

    process = await tail(bootstrap_servers, topic, "--from-beginning")
    async with asyncio.timeout(30):
        title, row = [await process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    assert title.split() == [b"partition", b"offset", b"key", b"steps", b"late"]
    assert row.split() == [b"0", b"7", b"key", b"2", b"0.500"]
    assert (process.returncode, said.strip()) == (130, b"")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["rows", "json"])
async def test_tail_ends_quietly_when_nobody_reads_any_more(
    bootstrap_servers, topic, app_id, create_topic, form
):
    """As before ``head -1``: the status is the one of every verb, and nothing is printed."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, [7]))

    process = await tail(bootstrap_servers, topic, "--from-beginning", *form)
    async with asyncio.timeout(30):
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()
        await publish(bootstrap_servers, topic, written(app_id, range(8, 12)))
        said = await process.stderr.read()
        assert (await process.wait(), said) == (141, b"")


async def test_tail_of_a_silent_broker_is_a_clear_error():
    """The status says that a person must act."""
    process = await tail("127.0.0.1:1", "topic")
    async with asyncio.timeout(30):
        out, said = await process.communicate()
    assert (process.returncode, out) == (3, b"")
    assert b"no Kafka broker answers at 127.0.0.1:1" in said
    assert b"Traceback" not in said
