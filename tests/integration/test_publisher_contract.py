"""The publisher's contract on a real Kafka, and the facts that recovery reads there."""

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, UnknownProducerId

from stream_rnn.errors import FencedError, ForgottenError
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.publisher import IdempotentPublisher, TransactionalPublisher
from stream_rnn.fold.recovery import LastOutput
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import NUMBER_MAX, GroupOffset
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryPublisher

OURS = "0123456789ab"  # a fold id


@pytest.fixture
async def settings(app_id, bootstrap_servers, create_topic):
    """Settings whose three topics exist, with two partitions."""
    made = Settings.build(
        app=app_id,
        source=f"{app_id}-in",
        predictions=f"{app_id}-out",
        bootstrap_servers=bootstrap_servers,
    )
    for name in (made.source, made.predictions, made.dead_letters_topic):
        await create_topic(name, 2)
    return made


@pytest.fixture
async def facts(settings):
    """Clients that ask Kafka."""
    async with KafkaCluster({"bootstrap_servers": settings.bootstrap_servers}, settings) as opened:
        yield opened


def message(settings, offset, size=10) -> Message:
    headers = {"sr-topic": settings.source, "sr-partition": "1", "sr-offset": str(offset)}
    headers |= {"sr-app": settings.app, "sr-fold": OURS, "sr-origin": "2"}
    return Message(b"k", b"v" * size, 1000 + offset, [(n, t.encode()) for n, t in headers.items()])


async def committed(facts, topic, partition=1) -> list:
    tp = TopicPartition(topic, partition)
    end = await facts.log_end(tp)
    return [record async for batch in facts.batches(tp, 0, end) for record in batch]


async def test_a_transaction_carries_outputs_and_group_offset(settings, facts):
    """Predictions, dead letters and C with its metadata become visible together."""
    publisher = TransactionalPublisher(
        {"bootstrap_servers": settings.bootstrap_servers}, settings, 1
    )
    await publisher.start()
    await publisher.publish([message(settings, 5)], [message(settings, 6)], GroupOffset(7, OURS, 2))
    (prediction,) = await committed(facts, settings.predictions)
    (dead,) = await committed(facts, settings.dead_letters_topic)
    assert (prediction.value, prediction.timestamp, dead.timestamp) == (b"v" * 10, 1005, 1006)
    log = KafkaLog(facts, settings, 1)
    assert await log.group_offset() == GroupOffset(7, OURS, 2)
    assert await log.last_output() == LastOutput(6, OURS, 2, 1006)
    await publisher.close()


async def test_an_aborted_transaction_does_not_hide_the_last_output(settings, facts):
    """However many records it has: only committed records count for the bound of the search."""
    address = {"bootstrap_servers": settings.bootstrap_servers}
    publisher = TransactionalPublisher(address, settings, 1)
    await publisher.start()
    await publisher.publish([], [message(settings, 3)], GroupOffset(4, OURS, 2))
    await publisher.publish(
        [message(settings, 4), message(settings, 5)], [], GroupOffset(6, OURS, 2)
    )
    await publisher.close()
    async with AIOKafkaProducer(**address, transactional_id=f"{settings.app}-x") as producer:
        for _ in range(2):
            await producer.begin_transaction()
            for _ in range(60):
                await producer.send(settings.predictions, b"v", partition=1)
            await producer.flush()
            await producer.abort_transaction()
    for bound in (1, 20, 1000):
        log = KafkaLog(facts, settings.replace(lookback_records_max=bound), 1)
        assert await log.last_output() == LastOutput(5, OURS, 2, 1005)


async def test_one_reader_searches_a_log_with_sparse_and_dense_parts(settings, facts):
    """It seeks backwards over aborted records, into records of others, which count for the bound."""
    address = {"bootstrap_servers": settings.bootstrap_servers}
    publisher = TransactionalPublisher(address, settings, 1)
    await publisher.start()
    await publisher.publish([message(settings, 5)], [], GroupOffset(6, OURS, 2))
    await publisher.close()
    async with AIOKafkaProducer(**address, transactional_id=f"{settings.app}-x") as producer:
        for count, commits in ((400, True), (20_000, False), (1, True), (3000, False)):
            await producer.begin_transaction()
            for _ in range(count):
                await producer.send(settings.predictions, b"v", partition=1)
            await producer.flush()
            await (producer.commit_transaction() if commits else producer.abort_transaction())
    for bound, found in ((1, None), (401, None), (402, 5), (1000, 5)):
        log = KafkaLog(facts, settings.replace(lookback_records_max=bound), 1)
        last = await log.last_output()
        assert (last and last.offset) == found
    log = KafkaLog(facts, settings.replace(lookback_timeout_s=1e-6), 1)
    with pytest.raises(FencedError) as raised:
        await log.last_output()
    # Both topics are searched at once: either one may be the first to find its time over.
    topic, _, rest = str(raised.value).partition("[1]: ")
    assert topic in (settings.predictions, settings.dead_letters_topic)
    assert rest.startswith("the search for the last output did not end within 1e-06 s")


async def test_a_dead_letter_that_names_no_fold_says_nothing_of_what_is_published(settings, facts):
    """Without transactions it may be there while predictions before it are not."""
    publisher = TransactionalPublisher(
        {"bootstrap_servers": settings.bootstrap_servers}, settings, 1
    )
    await publisher.start()
    headers = [pair for pair in message(settings, 9).headers if pair[0] != "sr-app"]
    dead = Message(b"k", b"v", 1009, headers)
    await publisher.publish([message(settings, 5)], [dead], GroupOffset(10, OURS, 2))
    assert (await KafkaLog(facts, settings, 1).last_output()).offset == 5
    await publisher.close()


async def test_an_output_whose_cut_over_no_group_offset_could_repeat_is_ignored(settings, facts):
    """The next commit would write metadata that no worker parses."""
    publisher = TransactionalPublisher(
        {"bootstrap_servers": settings.bootstrap_servers}, settings, 1
    )
    await publisher.start()
    for offset, number in ((5, NUMBER_MAX), (6, NUMBER_MAX + 1), (7, -1)):
        made = message(settings, offset)
        cut_over = (CUT_OVER_HEADER, b"%d" % number)
        forged = made._replace(headers=[*made.headers, cut_over])
        await publisher.publish([forged], [], GroupOffset(offset + 1, OURS, 2))
    last = await KafkaLog(facts, settings, 1).last_output()
    assert last == LastOutput(5, OURS, 2, 1005, NUMBER_MAX)
    written = GroupOffset(6, OURS, 2, last.number)
    assert GroupOffset.parse(6, written.metadata) == written
    await publisher.close()


async def test_late_outputs_of_a_replaced_fold_are_passed(settings, facts):
    """In ``at_least_once``, a worker that has lost the partition may append them after those that count."""
    publisher = TransactionalPublisher(
        {"bootstrap_servers": settings.bootstrap_servers}, settings, 1
    )
    await publisher.start()
    for offset, number in ((5, 2), (6, 2), (7, 1), (8, 1), (6, 0)):
        made = message(settings, offset)
        headers = [*made.headers, *([(CUT_OVER_HEADER, b"%d" % number)] if number else [])]
        await publisher.publish([made._replace(headers=headers)], [], GroupOffset(9, OURS, 2))
    await publisher.publish([], [message(settings, 9)], GroupOffset(10, OURS, 2))
    for bound in (20, 1000):
        log = KafkaLog(facts, settings.replace(lookback_records_max=bound), 1)
        found = [await log.last_output(number_min) for number_min in (2, NUMBER_MAX)]
        assert found == [LastOutput(6, OURS, 2, 1006, 2)] * 2
    log = KafkaLog(facts, settings.replace(lookback_records_max=2), 1)
    assert await log.last_output(2) == LastOutput(8, OURS, 2, 1008, 1)
    await publisher.close()


async def test_an_owner_of_the_version_before_is_fenced_too(settings, facts):
    """Its transactional id is another one; what it has open is aborted, and it commits no more."""
    connection = {"bootstrap_servers": settings.bootstrap_servers}
    identity = f"{settings.app}-{settings.source}-1"
    zombie = AIOKafkaProducer(transactional_id=identity, **connection)
    await zombie.start()
    await zombie.begin_transaction()
    await zombie.send_and_wait(settings.predictions, b"of a zombie", partition=1)
    publisher = TransactionalPublisher(connection, settings, 1)
    await publisher.start()
    with pytest.raises(KafkaError):
        await zombie.commit_transaction()
    await zombie.stop()
    await publisher.publish([message(settings, 5)], [], GroupOffset(6, OURS, 2))
    (prediction,) = await committed(facts, settings.predictions)
    assert prediction.value == b"v" * 10
    await publisher.close()


async def test_apps_whose_names_join_alike_do_not_fence_each_other(settings, create_topic):
    """One named like the start of the other, on a source named like the other's end."""
    connection = {"bootstrap_servers": settings.bootstrap_servers}
    source = settings.source
    alike = settings.replace(app=f"{settings.app}-eu"), settings.replace(source=f"eu-{source}")
    assert len({f"{one.app}-{one.source}" for one in alike}) == 1
    await create_topic(f"eu-{source}", 2)
    publishers = [TransactionalPublisher(connection, one, 1) for one in alike]
    for publisher in publishers:
        await publisher.start()
    for publisher in publishers:
        await publisher.publish([message(settings, 5)], [], GroupOffset(6, OURS, 2))
        await publisher.close()


async def test_the_next_owner_fences_the_last_one(settings, facts):
    """After a second producer of the partition started, the first one publishes nothing."""
    connection = {"bootstrap_servers": settings.bootstrap_servers}
    zombie = TransactionalPublisher(connection, settings, 1)
    owner = TransactionalPublisher(connection, settings, 1)
    await zombie.start()
    await zombie.publish([message(settings, 1)], [], GroupOffset(2, OURS, 2))
    await owner.start()
    with pytest.raises(FencedError):
        await zombie.publish([message(settings, 2)], [], GroupOffset(3, OURS, 2))
    await owner.publish([message(settings, 2)], [], GroupOffset(3, OURS, 2))
    offsets = [dict(r.headers)["sr-offset"] for r in await committed(facts, settings.predictions)]
    assert offsets == [b"1", b"2"]
    await owner.close()
    await zombie.close()


async def test_the_memory_publisher_fences_alike():
    """The stand-in keeps the contract of the real one."""
    log = MemoryLog([])
    zombie, owner = MemoryPublisher(log), MemoryPublisher(log)
    await zombie.start()
    await owner.start()
    with pytest.raises(FencedError):
        await zombie.publish([Message(b"k", b"v", 0, [])], [], GroupOffset(3, OURS, 2))
    assert (log.predictions, log.group) == ([], None)


async def test_outputs_larger_than_a_record_batch_are_split(settings, facts):
    """Three megabytes of predictions in one micro-batch do not meet the broker's limit."""
    publisher = TransactionalPublisher(
        {"bootstrap_servers": settings.bootstrap_servers}, settings, 1
    )
    await publisher.start()
    messages = [message(settings, i, 100_000) for i in range(30)]
    await publisher.publish(messages, [], GroupOffset(30, OURS, 2))
    found = await committed(facts, settings.predictions)
    assert [r.timestamp for r in found] == [m.timestamp for m in messages]
    await publisher.close()


async def test_without_a_transaction_the_group_offset_comes_last(settings, facts):
    """at_least_once moves C only after Kafka has acknowledged the predictions."""
    seen = []

    async def commit_group_offset(partition, offset):
        seen.append((partition, offset, len(await committed(facts, settings.predictions))))

    connection = {"bootstrap_servers": settings.bootstrap_servers}
    publisher = IdempotentPublisher(connection, settings, 1, commit_group_offset)
    await publisher.start()
    await publisher.publish([message(settings, 1)], [], GroupOffset(2, OURS, 2))
    assert seen == [(1, GroupOffset(2, OURS, 2), 1)]
    await publisher.close()


async def test_facts_of_a_log_with_markers_and_aborted_records(settings, facts):
    """E is the last stable offset, and a record that was aborted is none."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.app
    )
    await producer.start()
    for value, commits in ((b"1", True), (b"2", False), (b"3", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(settings.source, value, key=b"k", partition=1)
        await (producer.commit_transaction() if commits else producer.abort_transaction())
    await producer.stop()
    log = KafkaLog(facts, settings, 1)
    assert (await log.log_start(), await log.log_end()) == (0, 6)
    assert (await log.record_at(0)).value == b"1"
    assert await log.record_at(2) is None
    assert (await log.record_at(4)).value == b"3"
    assert (await log.topics()).source_partitions == 2
    assert await log.group_offset() is None
    assert await log.last_output() is None


@pytest.mark.parametrize("delivery", [TransactionalPublisher, IdempotentPublisher])
async def test_the_owner_is_asked_before_it_is_fenced_and_only_with_transactions(
    settings, delivery
):
    """A producer without a transactional id fences nobody."""
    connection = {"bootstrap_servers": settings.bootstrap_servers}
    asked = []

    async def check_owner(*_arguments):
        asked.append(publisher._producer._txn_manager.has_pid())
        raise FencedError("the generation is over")

    if delivery is IdempotentPublisher:
        publisher = IdempotentPublisher(connection, settings, 1, check_owner)
        await publisher.start()
        assert asked == []
    else:
        publisher = TransactionalPublisher(connection, settings, 1, check_owner=check_owner)
        with pytest.raises(FencedError, match="the generation is over"):
            await publisher.start()
        assert asked == [False]
        assert not publisher._producer._txn_manager.has_pid()
    await publisher.close()


@pytest.mark.parametrize("is_cause", [False, True])
async def test_without_transactions_too_a_forgotten_producer_is_told_from_a_lost_one(
    settings, is_cause
):
    """Brokers before Kafka 2.5 say so, whose records of a producer have expired."""
    publisher = IdempotentPublisher({"bootstrap_servers": "127.0.0.1:9"}, settings, 1, None)
    error = UnknownProducerId()
    if is_cause:
        error = KafkaError("Unexpected error during batch delivery")
        error.__cause__ = UnknownProducerId()
    with (
        pytest.raises(ForgottenError, match="UnknownProducerId"),
        publisher._translate_errors("publishing"),
    ):
        raise error
    await publisher.close()


async def test_what_comes_after_the_end_of_the_clients_sender_is_a_release_too(settings):
    """Its client then says that there is no transaction, by an error that is no Kafka error."""
    publisher = IdempotentPublisher({"bootstrap_servers": "127.0.0.1:9"}, settings, 1, None)
    with (
        pytest.raises(FencedError, match="IllegalOperation"),
        publisher._translate_errors("publishing"),
    ):
        raise IllegalOperation("Can't send messages while not in transaction")
    await publisher.close()
