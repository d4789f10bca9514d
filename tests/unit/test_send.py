"""What becomes of a record that Kafka does not take: a refusal is a person's, an absence passes."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotControllerError,
    NotEnoughReplicasError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.replay import send as sending
from stream_rnn.replay.logs import Range
from stream_rnn.replay.send import SendOptions, send
from stream_rnn.settings import Settings

SETTINGS = Settings.build(bootstrap_servers="127.0.0.1:1", kafka_timeout_s=0.5)
TOPIC = "t"


class Log:
    """A log of one record."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        pass

    async def ranges(self):
        """Return the only one."""
        return [Range(0, 0, 1)]

    async def batches(self, _wanted):
        """Yield the record."""
        yield [SimpleNamespace(key=b"k", value=b"{}")]


class Client:
    """Producer and admin client of a cluster with a topic.

    Args:
        refusal: what a record, or the creation of a topic, gets.
        topics: that are there.
    """

    def __init__(self, refusal, topics):
        self.refusal, self.topics = refusal, topics
        self.stopped = 0
        self.client = self._client = self
        self.cluster = SimpleNamespace(brokers=list)

    async def start(self):
        """Answer."""

    async def stop(self):
        """Be stopped."""
        self.stopped += 1

    async def close(self):
        """Be closed."""

    async def list_topics(self):
        """Name them."""
        return self.topics

    async def describe_cluster(self):
        """Name the brokers."""
        return {"brokers": [1]}

    async def create_topics(self, _topics):
        """Create one, or refuse."""
        if self.refusal is not None:
            raise self.refusal

    async def send(self, _topic, _value, key):  # noqa: ARG002  # aiokafka's name
        """Answer later."""
        future = asyncio.get_running_loop().create_future()
        if self.refusal is None:
            future.set_result(None)
        else:
            future.set_exception(self.refusal)
        return future


@pytest.fixture
def cluster(monkeypatch):
    """Return how to make a cluster."""

    def make(refusal, topics=(TOPIC,)):
        client = Client(refusal, topics)
        monkeypatch.setattr(sending, "new_producer", lambda **_options: client)
        monkeypatch.setattr(sending, "new_admin", lambda **_options: client)
        return client

    return make


def send_one(partitions=0):
    """Send the record."""
    return send(
        Log(), SETTINGS, SendOptions(TOPIC, create_partitions=partitions), lambda _sent: None
    )


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        KafkaTimeoutError(),
        KafkaConnectionError("cut"),
        LeaderNotAvailableError(),
        NotEnoughReplicasError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_brokers_that_are_away_are_not_the_topics_fault(cluster, error):
    """Status 4: it passes; the message counts what was acknowledged."""
    client = cluster(error)
    with pytest.raises(UnreachableError) as found:
        await send_one()
    assert f"does not acknowledge records of topic t: {type(error).__name__}" in str(found.value)
    assert "sends them twice" in str(found.value)
    assert client.stopped == 1


@pytest.mark.parametrize(
    "error",
    [
        MessageSizeTooLargeError(),
        TopicAuthorizationFailedError(),
        UnknownTopicOrPartitionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_topic_that_refuses_a_record_is_a_matter_for_a_person(cluster, error):
    """Status 3, as long as nobody changes anything."""
    client = cluster(error)
    match = f"topic t refuses a record: {type(error).__name__}"
    with pytest.raises(ConfigError, match=match):
        await send_one()
    assert client.stopped == 1


async def test_a_topic_that_cannot_be_made_now_is_no_refusal(cluster):
    """The controller moves: it passes."""
    cluster(NotControllerError(), topics=())
    with pytest.raises(UnreachableError):
        await send_one(partitions=1)


async def test_a_topic_that_is_refused_is_a_matter_for_a_person(cluster):
    """The cluster's answer is in the message."""
    cluster(InvalidReplicationFactorError(), topics=())
    with pytest.raises(ConfigError, match="cannot create topic t: InvalidReplicationFactorError"):
        await send_one(partitions=1)


async def test_a_topic_that_somebody_else_makes_meanwhile_is_there(cluster):
    """Two may send at once."""
    client = cluster(TopicAlreadyExistsError(), topics=())
    client.send = Client(None, ()).send
    assert await send_one(partitions=1) == 1
