"""Brokers without transactions: a real broker behind a proxy that hides these requests."""

import pytest
from aiokafka.errors import InvalidRequestError, KafkaError, UnsupportedVersionError

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.kafka.clients import new_admin, stop_admin
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.coordinator import TRANSACTION_APIS, require_transactions
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import free_port
from stream_rnn.operate.check_kafka import check_transactions
from stream_rnn.operate.dead_letters import DeadLetterFilter
from stream_rnn.operate.retry_dead_letters import Retry
from tests.integration.places import Place
from tests.integration.streams import mixed_records
from tests.integration.without_transactions import HidingProxy
from tests.shared_servers import run_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
OF_TRANSACTIONS = set(TRANSACTION_APIS) - {22}


@pytest.fixture
async def place(app_id, redis_url, tmp_path):
    """A fold on a broker whose clients see no requests of transactions."""
    port = free_port()
    advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    with run_server(LocalKafka(properties=advertised)) as kafka:
        async with HidingProxy(port, kafka.port, OF_TRANSACTIONS):
            made = Place(app_id, f"127.0.0.1:{port}", redis_url, tmp_path)
            await made.create()
            await made.produce(mixed_records(60, 1))
            yield made
            await made.end()


async def test_exactly_once_stops_with_the_remedy_and_at_least_once_works(place):
    """One line, before the worker joins its group; the remedy is followed."""
    said = await place.stops()
    missing = "AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit missing"
    assert f"the brokers provide no transactions ({missing}), which exactly_once needs" in said
    assert "set --delivery at_least_once" in said
    settings = place.settings.of_fold()
    async with KafkaCluster.of(settings) as cluster:
        finding, has_transactions = await check_transactions(cluster, settings)
        assert (str(finding.level), has_transactions) == ("bad", False)
        assert missing in finding.said
        place.settings = place.settings.replace(delivery="at_least_once")
        finding, has_transactions = await check_transactions(cluster, place.settings.of_fold())
        assert (str(finding.level), has_transactions) == ("fine", False)
    await place.goes_on(4)
    assert await place.compare(exactly_once=False) > 0


async def test_a_retry_of_dead_letters_names_what_it_needs(place):
    """It has no alternative without transactions: a failure could put a record back twice."""
    retry = Retry(place.settings.of_fold(), DeadLetterFilter())
    with pytest.raises(
        ConfigError, match=r"no transactions .*, which deadletters retry needs: use"
    ):
        await retry.open()


class _Refusing:
    """The answers of an admin client whose brokers list all requests and refuse a coordinator."""

    def __init__(self, admin, error) -> None:
        self._client = admin._client
        self._error = error

    async def find_coordinator(self, _key, _kind):
        raise self._error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidRequestError("type code 1 is not supported"), ConfigError),
        (UnsupportedVersionError("no transactions"), ConfigError),
        (KafkaError("something else"), UnreachableError),
    ],
)
async def test_a_refused_coordinator_is_a_missing_feature_or_an_outage(
    bootstrap_servers, error, expected
):
    """No broker here gives these answers, so the errors are raised; the remedy is the same."""
    connection = {"bootstrap_servers": bootstrap_servers}
    admin = new_admin(**connection)
    await admin.start()
    try:
        with pytest.raises(expected, match="set --delivery at_least_once"):
            await require_transactions(_Refusing(admin, error), connection, "a/b/0", 1.0)
        await require_transactions(admin, connection, "a/b/0", 30.0)
    finally:
        await stop_admin(admin, 5)
