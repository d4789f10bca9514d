"""Fixtures of several unit tests: a log that a worker has folded, one that is evaluated, and bundles."""

import asyncio

import pytest

from stream_rnn.model.bundle import save_bundle
from stream_rnn.rollout.bundles import read_bundle_bytes
from tests import models, plain_networks
from tests.audited import records_of, settings_of
from tests.memory_topics import Folded, fold
from tests.registry_server import RegistryServer
from tests.unit.evaluated_log import make_evaluated


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


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Make a log of 300 rows and an untrained bundle with a baseline beside it."""
    return make_evaluated(tmp_path_factory.mktemp("evaluated"))


@pytest.fixture
def naps(monkeypatch):
    """Replace sleeping by a list of its durations, which advance the test's clock."""
    slept = []

    async def sleep(seconds):
        if seconds:  # a sleep of 0 only yields to the event loop
            slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    return slept


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return the path of a small bundle."""
    path = tmp_path_factory.mktemp("bundle")
    save_bundle(models.small(), path, {}, {})
    return path


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a Kafka config and returns its path."""

    def write(text):
        path = tmp_path / "client.properties"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def folder(tmp_path):
    """Return a directory with the files of a trained GRU."""
    plain_networks.write(tmp_path)
    return tmp_path


@pytest.fixture
def registry():
    """Run a schema registry without schemas."""
    with RegistryServer() as server:
        yield server


@pytest.fixture
def bundles(tmp_path):
    """Return two models with the bytes of their bundles."""
    made = []
    for seed in (1, 2):
        save_bundle(models.small("gru", seed=seed), tmp_path / str(seed))
        made.append(read_bundle_bytes(tmp_path / str(seed)))
    return made
