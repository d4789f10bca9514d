"""Servers and names for all tests.

Kafka and Redis are started once a session, however many processes run its tests, unless ``STREAM_RNN_TEST_BOOTSTRAP_SERVERS`` or
``STREAM_RNN_TEST_REDIS_URL`` name some.  Where they cannot be had, tests that need them skip at
home and fail in CI.  Every test has an ``app_id`` of its own, the prefix of its topics, group and
keys, so nothing is ever flushed.
"""

import asyncio
import gc
import os
import secrets
from collections import Counter

import pytest
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.errors import ConfigError
from tests.shared_servers import Keeper, ask, refuse, start_kafka, start_redis

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


KEEPER = pytest.StashKey()
LOG_TAIL = 4000
SLOW_S = 10.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show the logs of a failed test's processes: they say why."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and directory is not None:
        for log in sorted(directory.rglob("*.log"), key=lambda log: log.stat().st_mtime):
            text = log.read_text("utf-8", "replace")[-LOG_TAIL:]
            report.sections.append((f"end of {log.relative_to(directory)}", text))
    return report


def pytest_terminal_summary(terminalreporter):
    """List the tests that take long: they are paid for in every run."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds[getattr(report, "nodeid", "")] += getattr(report, "duration", 0.0)
    if slow := [(took, name) for name, took in seconds.items() if took > SLOW_S]:
        terminalreporter.section(f"tests of more than {SLOW_S:g} s")
        for took, name in sorted(slow, reverse=True):
            terminalreporter.line(f"{took:6.1f} s  {name}")


def pytest_configure(config):
    """Own the servers, unless another process of this session does."""
    if not hasattr(config, "workerinput"):
        config.stash[KEEPER] = Keeper({"kafka": start_kafka, "redis": start_redis})


def pytest_unconfigure(config):
    """Stop what was started."""
    if KEEPER in config.stash:
        config.stash[KEEPER].stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell a process that runs tests whom to ask for servers."""
    keeper = node.config.stash[KEEPER]
    if not keeper.where:
        keeper.listen()
    node.workerinput["servers"] = keeper.where


def _address(config, name, variable):
    """Return where a server is: a named one, or one of this session."""
    if named := os.environ.get(variable):
        return named
    try:
        if KEEPER in config.stash:
            return config.stash[KEEPER].address(name)
        return ask(config.workerinput["servers"], name)
    except ConfigError as error:
        refuse(error)


@pytest.fixture(scope="session")
def bootstrap_servers(pytestconfig):
    """Address of a Kafka broker."""
    return _address(pytestconfig, "kafka", "STREAM_RNN_TEST_BOOTSTRAP_SERVERS")


@pytest.fixture(scope="session")
def redis_url(pytestconfig):
    """Address of a Redis."""
    return _address(pytestconfig, "redis", "STREAM_RNN_TEST_REDIS_URL")


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
