"""Fixtures of the tests of readers: a predictions topic, and what opens it."""

from functools import partial

import pytest

from stream_rnn.predictions import PredictionReader


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
