"""Servers and names for all tests.

A session starts one Kafka, one Redis and one schema registry for all of its processes, unless
``STREAM_RNN_TEST_BOOTSTRAP_SERVERS``, ``STREAM_RNN_TEST_REDIS_URL`` or
``STREAM_RNN_TEST_SCHEMA_REGISTRY_URL`` names running ones.  If a server cannot start, the tests that
need it are skipped, or fail if ``CI`` is set; without the variable, ``CI`` skips those of the
registry.  The ``app_id`` of a test prefixes its topics, group and keys, so no test flushes a server.
"""

import asyncio
import gc
import os
import secrets
from collections import Counter

import hypothesis
import pytest
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.errors import ConfigError
from tests.log_tails import log_tails
from tests.shared_servers import (
    ServerOwner,
    request_address,
    skip_without,
    start_kafka,
    start_redis,
    start_registry,
)

torch.set_num_threads(1)
# An example may take long beside other tests; pytest-timeout ends what does not end.
hypothesis.settings.register_profile("stream_rnn", deadline=None)
hypothesis.settings.load_profile("stream_rnn")

collect_ignore_glob = ["bench/peers/*.py"]  # these are programs, which run when they are imported


def pytest_collection_modifyitems(items):
    """Mark every test that uses a server as an integration test."""
    for item in items:
        servers = {"bootstrap_servers", "redis_url", "schema_registry_url"}
        if servers & set(getattr(item, "fixturenames", ())):
            item.add_marker("integration")


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Run the garbage collector after each module, because clients without a connection then warn.

    The warning has a traceback, for which Python 3.11 parses source code.  During other parsing,
    such as that of a module that is imported later, this raises a SystemError.
    """
    yield
    gc.collect()


SERVER_OWNER = pytest.StashKey()
SLOW_S = 10.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Add the logs of a failed test's processes to its report."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and directory is not None:
        report.sections.extend(log_tails(directory))
    return report


def pytest_terminal_summary(terminalreporter):
    """List the slow tests, which cost time in every run."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds[getattr(report, "nodeid", "")] += getattr(report, "duration", 0.0)
    if slow := [(duration, name) for name, duration in seconds.items() if duration > SLOW_S]:
        terminalreporter.section(f"tests of more than {SLOW_S:g} s")
        for duration, name in sorted(slow, reverse=True):
            terminalreporter.line(f"{duration:6.1f} s  {name}")


def pytest_configure(config):
    """Create the servers' owner in the main process of the session."""
    if not hasattr(config, "workerinput"):
        starts = {"kafka": start_kafka, "redis": start_redis, "registry": start_registry}
        config.stash[SERVER_OWNER] = ServerOwner(starts)


def pytest_unconfigure(config):
    """Stop the servers that this session has started."""
    if SERVER_OWNER in config.stash:
        config.stash[SERVER_OWNER].stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Pass the address of the servers' owner to a process that runs tests."""
    server_owner = node.config.stash[SERVER_OWNER]
    if not server_owner.where:
        server_owner.listen()
    node.workerinput["servers"] = server_owner.where


def _address(config, name, variable):
    """Return the address of a server, from the environment or of this session."""
    if named := os.environ.get(variable):
        return named
    try:
        if SERVER_OWNER in config.stash:
            return config.stash[SERVER_OWNER].address(name)
        return request_address(config.workerinput["servers"], name)
    except ConfigError as error:
        skip_without(error)


@pytest.fixture(scope="session")
def bootstrap_servers(pytestconfig):
    """Address of a Kafka broker."""
    return _address(pytestconfig, "kafka", "STREAM_RNN_TEST_BOOTSTRAP_SERVERS")


@pytest.fixture(scope="session")
def redis_url(pytestconfig):
    """Address of a Redis."""
    return _address(pytestconfig, "redis", "STREAM_RNN_TEST_REDIS_URL")


@pytest.fixture(scope="session")
def schema_registry_url(pytestconfig):
    """Address of a schema registry; CI has none, because it is a large download."""
    variable = "STREAM_RNN_TEST_SCHEMA_REGISTRY_URL"
    if os.environ.get("CI") and not os.environ.get(variable):
        pytest.skip(f"CI starts no schema registry; {variable} names a running one")
    return _address(pytestconfig, "registry", variable)


@pytest.fixture
def app_id():
    """A unique name, which prefixes all names that a test creates on a server."""
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def create_topic(bootstrap_servers):
    """Return a coroutine function that creates a topic and waits until it exists."""

    async def create(name, partitions=4, **config):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        async with asyncio.timeout(30):
            await admin.start()
            try:
                topic = NewTopic(name, partitions, 1, topic_configs=config)
                response = await admin.create_topics([topic])
                assert not any(code for _, code, *_ in response.topic_errors), response
                while True:
                    (description,) = await admin.describe_topics([name])
                    if len(description["partitions"]) == partitions:
                        return name
                    await asyncio.sleep(0.05)
            finally:
                await admin.close()

    return create
