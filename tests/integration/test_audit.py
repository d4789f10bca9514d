"""The audit of real topics; each kind of wrong is planted in ``tests/unit/test_audit.py``."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.testing import MemoryLog
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run
from tests.memory_topics import fold, offset_of, with_header

pytestmark = pytest.mark.timeout(180)

RIGHT = ("missing", "duplicated", "different", "unexpected", "out_of_order", "dead_letters_missing")


async def publish(made, transactions) -> None:
    """Publish outputs, a transaction each.

    Args:
        made: whose.
        transactions: (partition, predictions, dead letters, group offset); without a group offset
            the transaction is aborted.
    """
    settings = made.settings
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{settings.app}-planting"
    )
    await producer.start()
    try:
        for partition, predictions, letters, c in transactions:
            await producer.begin_transaction()
            outputs = ((settings.predictions, predictions), (settings.dead_letters_topic, letters))
            for topic, messages in outputs:
                for key, value, timestamp, headers in messages:
                    await producer.send(
                        topic, value, key, partition, timestamp_ms=timestamp, headers=list(headers)
                    )
            if c is None:
                await producer.abort_transaction()
                continue
            source = TopicPartition(settings.source, partition)
            offset = OffsetAndMetadata(c.offset, c.metadata)
            await producer.send_offsets_to_transaction({source: offset}, settings.app)
            await producer.commit_transaction()
    finally:
        await producer.stop()


async def folded(made, partition) -> MemoryLog:
    """Fold a partition of the source by the worker's own processor."""
    records = await made.source(partition)
    log = await fold(made.model, made.settings, records, sizes=[40] * 20, partition=partition)
    assert log.predictions
    return log


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold whose source has aborted records."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    settings = stream.settings
    for topic in (settings.source, settings.predictions, settings.dead_letters_topic):
        await create_topic(topic, 2)
    await stream.produce(mixed_records(300, seed=5), transactional=True, abort_every=4)
    return stream


async def test_what_is_planted_is_found(made):
    """Through Kafka, too; what was aborted, on either side, is not there."""
    log = await folded(made, 0)
    committed = {record.offset for record in await made.source(0)}
    aborted = next(offset for offset in range(1, max(committed)) if offset not in committed)
    records, letters = log.predictions, log.dead_letters
    planted = [message for number, message in enumerate(records) if number != 10]
    planted[19] = records[20]._replace(value=records[20].value.replace(b'"steps":', b'"steps": '))
    planted[24] = records[25]._replace(timestamp=records[25].timestamp + 1)
    planted += [records[30], with_header(records[5], "sr-offset", b"%d" % aborted)]
    planted += [with_header(records[6], "sr-partition", b"1")]
    changed = [*letters[:2], *letters[3:], letters[3]]
    await publish(made, [(0, records, letters, None), (0, planted, changed, log.group)])
    found = await made.audit("--partition=0", status=1)
    figures = {
        "missing": 1,
        "duplicated": 1,
        "different": 2,
        "unexpected": 2,
        "out_of_order": 1,
        "dead_letters_missing": 1,
        "dead_letters_duplicated": 1,
    }
    assert {kind: found[kind] for kind in figures} == figures
    examples = {(e["kind"], e["offset"]): e for e in found["examples"]}
    missing = examples["missing", offset_of(records[10])]
    assert missing["replayed"].encode() == records[10].value
    different = examples["different", offset_of(records[20])]
    assert different["parts"] == ["value"]
    assert different["published"].encode() == b"value " + planted[19].value
    assert different["replayed"].encode() == b"value " + records[20].value
    late = examples["different", offset_of(records[25])]
    assert late["parts"] == ["timestamp"]
    assert late["published"] == f"timestamp {records[25].timestamp + 1}"
    assert late["replayed"] == f"timestamp {records[25].timestamp}"
    assert ("unexpected", aborted) in examples
    assert found["is_fine"] is False


async def test_what_was_not_looked_at_is_said(made):
    """Exit status 0 only if something was compared; what retention removed is counted."""
    settings, right = made.settings, await folded(made, 1)
    await publish(made, [(1, right.predictions, right.dead_letters, right.group)])
    good = await made.audit("--partition=1")
    assert good["compared"] == len(right.predictions)
    assert (good["notes"], good["problems"], good["is_fine"]) == ([], [], True)
    nobody = await made.audit("--partition=1", status=1, app="nobody")
    assert "app nobody has folded none of" in nobody["problems"][0]
    assert f"app {settings.app} of topic" in nobody["problems"][0]
    half = await made.audit(status=1)
    assert (
        f"{settings.source}[0]: app {settings.app} has folded none of offsets 0 to"
        in half["problems"][0]
    )

    await remove(made, TopicPartition(settings.source, 1), 60)
    gone = await made.audit("--partition=1", "--from=0", "--to=50", status=1)
    assert "records of offsets 0 to 49 are removed" in gone["problems"][0]
    late = await made.audit("--partition=1")
    assert late["why_not_comparable"]["began_before"] > 0
    assert late["compared"] > 0
    place = ("--app", settings.app, "--source", settings.source, "--partition", "1")
    where = ("--bundle", str(made.bundle), "--bootstrap-servers", settings.bootstrap_servers)
    text = await run("audit", *place, *where, "--predictions", settings.predictions)
    assert "predictions of offsets below 60 were not compared" in text
    assert text.splitlines()[-1] == "every compared record is correct"


async def remove(made, tp, offset) -> None:
    """Remove the records below an offset, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=made.settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def test_a_running_worker_is_audited_up_to_the_group_offset(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """What is not published yet is not missing."""
    made = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(made.settings.source, 2)
    await made.produce(mixed_records(300, seed=5))
    worker = ForkedWorker("worker", made.options(), tmp_path)
    try:
        await made.until_published()
        sending = asyncio.create_task(made.produce(mixed_records(3000, seed=6)))
        for _ in range(2):
            found = await made.audit()
            assert {kind: found[kind] for kind in RIGHT} == dict.fromkeys(RIGHT, 0)
            assert found["compared"] >= 200
        await sending
        await made.until_published()
        predictions = [len(await made.outputs(made.settings.predictions, p)) for p in (0, 1)]
        assert (await made.audit())["compared"] == sum(predictions)
    finally:
        await asyncio.to_thread(worker.stop)
