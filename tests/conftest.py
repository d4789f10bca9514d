"""Servers and names for all tests.

Kafka and Redis are started once a session, unless ``STREAM_RNN_TEST_BOOTSTRAP_SERVERS`` or
``STREAM_RNN_TEST_REDIS_URL`` name some.  Where they cannot be had, tests that need them skip at
home and fail in CI.  Every test has an ``app_id`` of its own, the prefix of its topics, group and
keys, so nothing is ever flushed.
"""

import asyncio
import gc
import os
import secrets

import pytest
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.errors import ConfigError
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis

torch.set_num_threads(1)

collect_ignore_glob = ["bench/peers/*.py"]  # programs: importing one runs it


def pytest_collection_modifyitems(items):
    """Mark every test that uses a server."""
    for item in items:
        if {"bootstrap_servers", "redis_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("integration")


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Collect what a module's tests left: clients that were cut off report it when they are collected.

    The report has a traceback, for which Python 3.11 parses source; within other parsing, such as
    that of a module that is imported later, this ends in a SystemError.
    """
    yield
    gc.collect()


def _started(server):
    try:
        return server.start()
    except ConfigError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def bootstrap_servers():
    """Address of a Kafka broker."""
    named = os.environ.get("STREAM_RNN_TEST_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    kafka = LocalKafka()
    yield _started(kafka).bootstrap_servers
    kafka.stop()
    kafka.remove()


@pytest.fixture(scope="session")
def redis_url():
    """Address of a Redis."""
    named = os.environ.get("STREAM_RNN_TEST_REDIS_URL")
    if named:
        yield named
        return
    redis = LocalRedis()
    yield _started(redis).redis_url
    redis.stop()
    redis.remove()


@pytest.fixture
def app_id():
    """A fresh name: the prefix of everything that a test leaves on a server."""
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def create_topic(bootstrap_servers):
    """Return a coroutine that creates a topic and waits until it is there."""

    async def create(name, partitions=4, **config):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        async with asyncio.timeout(30):
            await admin.start()
            try:
                topic = NewTopic(name, partitions, 1, topic_configs=config)
                response = await admin.create_topics([topic])
                assert not any(code for _, code, *_ in response.topic_errors), response
                while True:
                    (found,) = await admin.describe_topics([name])
                    if len(found["partitions"]) == partitions:
                        return name
                    await asyncio.sleep(0.05)
            finally:
                await admin.close()

    return create
