"""What the demo makes on servers of others, and takes away whatever fails."""

import asyncio
import time

import javaproperties
import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    PolicyViolationError,
    UnknownTopicOrPartitionError,
)

from stream_rnn.demo import servers as demo_servers
from stream_rnn.demo.servers import DemoServers
from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.servers import Addresses
from stream_rnn.settings import Settings

NOWHERE = "127.0.0.1:1"
REFUSED = PolicyViolationError("no")


def test_a_local_broker_finds_its_data_whatever_the_directory_is_called(tmp_path):
    """What Java reads of server.properties is the path: backslashes and accents are escaped."""
    directory = tmp_path / "d\N{LATIN SMALL LETTER E WITH ACUTE}\\new: a=b"
    written = LocalKafka(data=directory)._config()
    assert written.isascii()
    assert javaproperties.loads(written)["log.dirs"] == str(directory / "data")


class Admin:
    """An admin client of a cluster, with the answers of the test.

    Args:
        refusals: by topic, what its deletion raises.
        creation: what creating one does.
    """

    def __init__(self, refusals=None, creation=None):
        self.refusals, self.creation = refusals or {}, creation
        self.deleted = []
        self._client = self

    async def start(self):
        """Answer."""

    async def close(self):
        """Answer."""

    async def create_topics(self, _topics):
        """Create."""
        if self.creation is not None:
            await self.creation()

    async def delete_topics(self, names):
        """Delete, or refuse."""
        self.deleted += names
        if names[0] in self.refusals:
            raise self.refusals[names[0]]


@pytest.fixture
def servers():
    """Servers of others, at addresses where nothing is."""
    settings = Settings.build(
        app="d",
        source="d-in",
        predictions="d-out",
        bundle="x",
        bootstrap_servers=NOWHERE,
        redis_url=f"redis://{NOWHERE}/0",
        kafka_timeout_s=0.5,
        redis_timeout_s=1,
    )
    addresses = Addresses(NOWHERE, f"redis://{NOWHERE}/0", None, None)
    return DemoServers(addresses, settings, {"f" * 12: "f" * 64}, 2)


def use(monkeypatch, admin):
    """Let the demo have an admin client."""
    monkeypatch.setattr(demo_servers, "new_admin", lambda **_options: admin)
    return admin


async def test_a_kafka_that_is_not_there_is_named_and_nothing_is_left(servers):
    """Not Redis, which is not there either: nothing was made, so nothing is to be taken away."""
    messages = []
    with pytest.raises(UnreachableError, match=rf"no Kafka broker answers at {NOWHERE} \(Conn"):
        async with servers.cleaned_up(messages.append):
            await servers.create_source()
    assert messages == []


async def test_a_kafka_that_is_silent_is_away(servers, monkeypatch):
    """A deadline is no refusal."""
    use(monkeypatch, Admin(creation=lambda: asyncio.sleep(60)))
    with pytest.raises(UnreachableError, match=r"topic d-in cannot be created: .*within 0\.5 s"):
        await servers.create_source()


async def test_a_kafka_that_refuses_is_a_matter_for_a_person(servers, monkeypatch):
    """The policy must change, or the user."""

    async def refuse():
        raise REFUSED

    use(monkeypatch, Admin(creation=refuse))
    with pytest.raises(ConfigError, match="topic d-in cannot be created: PolicyViolation"):
        await servers.create_source()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError("of the run"), ValueError),
        (asyncio.CancelledError(), asyncio.CancelledError),
        (KafkaConnectionError("cut"), UnreachableError),
        (TimeoutError(), UnreachableError),
    ],
)
async def test_the_error_of_a_run_is_not_hidden_by_what_is_left(
    servers, monkeypatch, error, raised
):
    """Neither by Redis nor by a topic; each of them is tried and named."""
    admin = use(monkeypatch, Admin({"d-in": REFUSED}))
    messages = []

    async def run():
        async with servers.cleaned_up(messages.append):
            await servers.create_source()
            raise error

    with pytest.raises(raised):
        await run()
    assert admin.deleted == list(servers.topics)
    redis, topic = messages
    assert "keys of app d are left in Redis, delete them: " in redis
    assert "topic d-in is left, delete it: PolicyViolationError" in topic


async def test_what_is_left_after_a_run_that_succeeded_is_its_error(servers, monkeypatch):
    """Every topic is tried and named; one that is not there was never made."""
    gone = UnknownTopicOrPartitionError()
    admin = use(
        monkeypatch,
        Admin(dict(zip(servers.topics, (REFUSED, gone, TimeoutError(), gone), strict=True))),
    )
    monkeypatch.setattr(DemoServers, "wipe_redis", lambda _self: asyncio.sleep(0))
    with pytest.raises(ConfigError) as found:
        async with servers.cleaned_up(pytest.fail):
            await servers.create_source()
    first, _, third, _ = servers.topics
    assert admin.deleted == list(servers.topics)
    assert f"topic {first} is left" in str(found.value)
    assert f"topic {third} is left" in str(found.value)
    assert "topic d-out is left" not in str(found.value)


async def test_a_kafka_that_is_gone_at_the_end_is_named_with_every_topic(servers):
    """The deadline of the admin client is kept."""
    servers.created.extend(servers.topics)
    began = time.monotonic()
    left = await servers.clean_up()
    assert time.monotonic() - began < 20
    assert all(name in left[-1] for name in servers.topics)
    assert "no Kafka broker answers" in left[-1]
