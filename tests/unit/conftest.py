"""Fixtures of several unit tests: a log that a worker has folded in memory, to be spoilt."""

import asyncio

import pytest

from tests import models
from tests.audited import records_of, settings_of
from tests.memory_topics import Folded, fold


@pytest.fixture(scope="module")
def model():
    """Return a model."""
    return models.small("gru")


@pytest.fixture(scope="module")
def worked(model):
    """Return a log that a worker has folded, exactly once."""
    return asyncio.run(fold(model, settings_of(), records_of(), sizes=[20] * 12))


@pytest.fixture
def folded(model, worked):
    """Return what the worker made, to be spoilt."""
    return Folded(model, settings_of(), worked)
