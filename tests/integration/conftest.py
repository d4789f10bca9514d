"""Fixtures of integration tests: folds and their workers, a predictions topic and its readers."""

from functools import partial

import pytest

from stream_rnn.predictions import PredictionReader
from tests.integration.rollout_person import people
from tests.integration.started_workers import started_workers


@pytest.fixture
def topic(app_id):
    """Name of the predictions topic of a test."""
    return f"{app_id}-predictions"


@pytest.fixture
def open_reader(bootstrap_servers, topic):
    """Open a reader of the test's topic."""
    return partial(PredictionReader, topic, bootstrap_servers=bootstrap_servers)


@pytest.fixture
def open_member(open_reader, app_id):
    """Open a reader of the test's topic and group."""
    return partial(open_reader, group_id=app_id)


@pytest.fixture
async def stream(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a factory of a fold whose source exists, with two partitions."""
    places = app_id, bootstrap_servers, redis_url
    async with started_workers(*places, create_topic, tmp_path) as make:
        yield make


@pytest.fixture
async def made(stream):
    """Return a fold of two partitions, and a way to start its workers."""
    return await stream()


@pytest.fixture
async def person_of(stream, redis_url, tmp_path):
    """Return a function that makes a fold with some records, and a person with two bundles."""
    async with people(stream, redis_url, tmp_path) as make:
        yield make
