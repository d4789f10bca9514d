"""A member of the fold's group that is no worker: it is named, with its host and what to do."""

import asyncio
import re
import urllib.error
import urllib.request

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import InconsistentGroupProtocolError

from stream_rnn.errors import ConfigError, FencedError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_members import read_group_members
from stream_rnn.operate.check_kafka import check_group
from stream_rnn.worker.membership import Membership
from tests.integration.places import WITHIN_S, Place
from tests.integration.strangers import CLIENT_ID, classic_member, connect_member, new_member
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def place(app_id, bootstrap_servers, redis_url, tmp_path):
    """A fold with some records."""
    made = Place(app_id, bootstrap_servers, redis_url, tmp_path, facts_interval_s=0.5)
    await made.create()
    await made.produce(mixed_records(60, 1))
    yield made
    await made.end()


def stranger(kind, place):
    """Return a context in which a stranger is in the group of a fold."""
    servers, group, topic = (
        place.settings.bootstrap_servers,
        place.settings.app,
        place.settings.source,
    )
    if kind == "consumer":
        return new_member(servers, group, topic)
    if kind == "connect":
        return connect_member(servers, group)
    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}
    return classic_member(servers, group, topic, assignors[kind])


@pytest.mark.parametrize("kind", ["range", "roundrobin", "consumer", "connect"])
async def test_a_worker_does_not_join_a_group_with_a_stranger(kind, place):
    """Whether the group would refuse it, or would give the stranger partitions; once it left, on."""
    async with stranger(kind, place):
        said = await place.stops()
        async with KafkaCluster.of(place.settings) as cluster:
            finding = await check_group(cluster, place.settings.of_fold())
    group, source = place.settings.app, place.settings.source
    found = f"group {group} has a member that is no worker and takes partitions of {source}"
    refused = f"group {group} refuses this worker, because it has a member with another protocol"
    assert said.startswith((found, refused))
    assert f": client {CLIENT_ID} on 127.0.0.1 (member " in said
    assert "; stop it, or give the fold an app id of its own" in said
    assert CLIENT_ID in finding.said
    if kind != "consumer":  # such a member stays until its session timeout
        await place.goes_on(4)
        assert await place.compare() > 0


@pytest.mark.parametrize("kind", ["range", "consumer"])
async def test_a_group_that_refuses_a_worker_is_explained(kind, place):
    """A stranger may join between the look at the group and the worker's own join."""
    async with KafkaCluster.of(place.settings) as cluster:
        membership = Membership(cluster, place.settings.of_fold(), "faust-0.15.3")
        async with stranger(kind, place):
            error = await membership.explain(InconsistentGroupProtocolError())
        assert isinstance(error, ConfigError)
        assert f"another protocol ({kind}): client {CLIENT_ID} on 127.0.0.1" in str(error)
        if kind != "consumer":  # it has left: a restart may help
            error = await membership.explain(InconsistentGroupProtocolError())
            assert isinstance(error, FencedError)


async def ready_text(worker) -> str:
    """Return the body of ``/ready``."""
    url = re.search(r"health address=(\S+)", worker.log.read_text())[1]

    def get() -> str:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:  # asked again
            return ""

    return await asyncio.to_thread(get)


async def test_a_stranger_that_joins_later_is_named_and_the_rest_goes_on(place):
    """The worker keeps its other partition, names the stranger, and folds all once it has left."""
    worker = place.start()
    await place.until_published(WITHIN_S, worker)
    async with stranger("roundrobin", place):
        await place.until_says(worker, f"ERROR .* no worker and takes .*client {CLIENT_ID}")
        async with asyncio.timeout(WITHIN_S):
            while CLIENT_ID not in await ready_text(worker):  # not while the group rebalances
                await asyncio.sleep(0.2)
        await place.produce(mixed_records(60, 2))
        assert worker.is_alive
    await place.until_published(WITHIN_S, worker)
    async with asyncio.timeout(WITHIN_S):
        while CLIENT_ID in await ready_text(worker):
            await asyncio.sleep(0.2)
    assert await asyncio.to_thread(worker.stop) == 0
    assert await place.compare() > 0


async def test_readers_and_other_workers_are_no_strangers(place):
    """A reader of the predictions may use the group; two workers share the partitions."""
    workers = [place.start()]
    await place.until_published(WITHIN_S, workers[0])
    settings = place.settings
    reader = classic_member(
        settings.bootstrap_servers,
        settings.app,
        settings.predictions,
        RoundRobinPartitionAssignor,
    )
    async with reader:
        workers.append(place.start())
        await place.until_says(workers[1], r"starting .* row=11")
        assert all(worker.is_alive for worker in workers)
        async with KafkaCluster.of(settings) as cluster, asyncio.timeout(WITHIN_S):
            marks = []
            while sorted(marks, key=str) != [False, True, True]:  # None while the group rebalances
                members = (await read_group_members(cluster.admin, settings.app)).members
                marks = [member.is_marked for member in members]
        assert not any("no worker" in worker.log.read_text() for worker in workers)
