"""A single broker with the settings of three: the error names what can never answer, and why."""

import pytest
from aiokafka.admin import NewTopic

from stream_rnn.errors import ConfigError
from stream_rnn.fold.publisher import IdempotentPublisher, TransactionalPublisher
from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.operate.check_kafka import check_rights, check_transactions
from stream_rnn.settings import Settings
from stream_rnn.worker.output_topics import require_coordinator
from tests.integration.places import Place
from tests.integration.streams import mixed_records
from tests.shared_servers import run_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
OF_THREE = {
    "transaction.state.log.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
}


@pytest.fixture
async def kafka():
    """Return a broker without coordinators, and settings of a worker."""
    with run_server(LocalKafka(properties=OF_THREE)) as broker:
        yield Settings.build(
            app="worker",
            source="flights",
            predictions="delays",
            bootstrap_servers=broker.bootstrap_servers,
            kafka_timeout_s=1.5,
        )


async def test_a_coordinator_that_can_never_answer_is_refused_with_the_setting(kafka):
    """Of transactions by publisher and doctor, of groups by the worker's start."""
    connection = {"bootstrap_servers": kafka.bootstrap_servers}
    admin = CheckedAdminClient(**connection)
    await admin.start()
    with pytest.raises(ConfigError, match=r"transaction\.state\.log\.replication\.factor is 3"):
        await started(TransactionalPublisher(connection, kafka, 0))
    finding = await check_rights(kafka, {})
    assert "transaction.state.log.replication.factor is 3" in finding.said
    with pytest.raises(ConfigError, match=r"offsets\.topic\.replication\.factor is 3"):
        await require_coordinator(admin, connection, kafka)

    async def commits_nothing(_partition, _offset) -> None: ...

    # Without transactions there is nothing to wait for.
    patient = kafka.replace(kafka_timeout_s=30)
    await started(IdempotentPublisher(connection, patient, 0, commits_nothing))

    config = {"min.insync.replicas": "2"}
    await admin.create_topics([NewTopic("__transaction_state", 1, 1, topic_configs=config)])
    with pytest.raises(ConfigError, match=r"transaction\.state\.log\.min\.isr=1"):
        await started(TransactionalPublisher(connection, kafka, 0))
    await admin.close()


async def test_a_worker_stops_if_only_transactions_have_no_coordinator(app_id, redis_url, tmp_path):
    """The line names the setting and the other delivery, which works."""
    properties = {"transaction.state.log.replication.factor": "3"}
    with run_server(LocalKafka(properties=properties)) as broker:
        place = Place(app_id, broker.bootstrap_servers, redis_url, tmp_path, kafka_timeout_s=4)
        try:
            await place.create()
            await place.produce(mixed_records(60, 1))
            said = await place.stops()
            assert "transaction.state.log.replication.factor is 3 and the cluster has 1" in said
            assert said.endswith("; or set --delivery at_least_once, which needs no transactions")
            async with KafkaCluster.of(place.settings) as cluster:
                finding, _ = await check_transactions(cluster, place.settings.of_fold())
            assert "transaction.state.log.replication.factor is 3" in finding.said
            place.settings = place.settings.replace(delivery="at_least_once", kafka_timeout_s=30)
            await place.goes_on(4)
            assert await place.compare(exactly_once=False) > 0
        finally:
            await place.end()


async def started(publisher) -> None:
    """Start a publisher, and close it."""
    try:
        await publisher.start()
    finally:
        await publisher.close()
