"""A broker that answers at its bootstrap address and advertises another one, where nobody answers."""

import pytest

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import free_port
from stream_rnn.model.bundle import save_bundle
from tests import models
from tests.integration.streams import run
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(120), pytest.mark.integration]


@pytest.fixture(scope="module")
def dead():
    """Return an address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def broker(dead):
    """Return a broker that advertises this address."""
    with run_server(
        LocalKafka(properties={"advertised.listeners": f"PLAINTEXT://{dead}"})
    ) as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
def place(broker, redis_url, app_id, tmp_path):
    """Return the options of a fold."""
    save_bundle(models.small("gru"), tmp_path / "bundle")
    return {
        "app": app_id, "source": "in", "predictions": "out", "bundle": tmp_path / "bundle",
        "redis-url": redis_url, "bootstrap-servers": broker, "kafka-timeout-s": 5,
    }  # fmt: skip


FOLD = ("app", "source", "predictions", "bundle", "redis-url")
COMMANDS = {
    "tail": (["tail", "out"], (), 3),
    "audit": (["audit"], FOLD[:4], 4),
    "state": (["state", "show"], FOLD, 4),
    "deadletters": (["deadletters", "list"], FOLD[2:3], 4),
    "replay": (["replay", "--topic=in", "--out=x.jsonl"], FOLD[3:4], 4),
    "doctor": (["doctor"], FOLD, 1),
    "dashboard": (["dashboard"], FOLD, 4),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_message_names_the_advertised_address(command, place, broker, dead):
    """And what to correct, because the bootstrap address is right."""
    words, names, status = COMMANDS[command]
    options = [f"--{name}={place[name]}" for name in (*names, "bootstrap-servers")]
    if command != "deadletters":
        options.append("--kafka-timeout-s=5")
    said = " ".join((await run(*words, *options, status=status)).split())
    assert f"the Kafka broker at {broker} answers and advertises {dead}" in said
    assert "correct advertised.listeners of the broker" in said


async def test_a_worker_names_the_advertised_address(place, broker, dead, tmp_path):
    """At its start, with status 4."""
    from tests.forked import ForkedWorker
    from tests.integration.test_secure_kafka import ended

    options = {name.replace("-", "_"): str(value) for name, value in place.items()}
    status, line = await ended(ForkedWorker("worker", options, tmp_path))
    assert status == 4
    assert f"the Kafka broker at {broker} answers and advertises {dead}" in line
