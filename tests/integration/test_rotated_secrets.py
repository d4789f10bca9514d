"""Passwords that change beneath a worker, on a real broker with TLS, certificates and SCRAM."""

import asyncio
import subprocess

import pytest

from stream_rnn.local.kafka import _jars, find_java
from tests.forked import ForkedWorker
from tests.integration.secure_kafka import PASSWORD, SecureKafka
from tests.integration.streams import mixed_records
from tests.integration.test_secure_kafka import RIGHTS, Secure, ended, of
from tests.shared_servers import run_server

pytestmark = [pytest.mark.timeout(240), pytest.mark.integration]
SESSION_MS = 4000
NEW = "an0ther $ecret"
USERS = ["follows", "stays"]


class ShortSessions(SecureKafka):
    """A broker that ends each session after a few seconds, and changes passwords."""

    def _config(self) -> str:
        name = "listener.name.secure.scram-sha-512.connections.max.reauth.ms"
        return f"{super()._config()}{name}={SESSION_MS}\n"

    def set_password(self, user, password) -> None:
        """Change the password of a user."""
        tool = [find_java(), "-cp", _jars(lambda _line: None), "kafka.admin.ConfigCommand"]
        change = f"SCRAM-SHA-512=[password={password}]"
        place = ["--bootstrap-server", self.bootstrap_servers, "--entity-type", "users"]
        options = ["--entity-name", user, "--alter", "--add-config", change]
        done = subprocess.run(
            [*tool, *place, *options], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Return a broker that is ready."""
    with run_server(ShortSessions(tmp_path_factory.mktemp("certificates"), USERS)) as broker:
        yield broker


async def start(kafka, app_id, user, redis_url, directory, **more):
    """Start a worker, and wait until it has published what there is."""
    stream = Secure(app_id, kafka, user, redis_url, directory)
    await stream.create(stream.settings.source)
    await kafka.allow(user, of(app_id, RIGHTS))
    await stream.produce(mixed_records(40, seed=71))
    options = stream.options(**more)
    worker = ForkedWorker("worker", options, directory)
    await stream.until_published(worker=worker)
    return stream, worker


async def test_a_new_password_is_read_for_the_next_connection(kafka, app_id, redis_url, tmp_path):
    """The password changes first at the broker, then in the file; the worker goes on."""
    stream, worker = await start(kafka, app_id, USERS[0], redis_url, tmp_path)
    try:
        await asyncio.to_thread(kafka.set_password, USERS[0], NEW)
        await asyncio.sleep(SESSION_MS / 1000)  # the sessions of all connections end
        changed = tmp_path / "changed"
        kafka.client_config(changed, USERS[0], sasl_password=NEW)
        changed.replace(stream.options()["kafka_config"])
        await stream.produce(mixed_records(40, seed=72))
        await stream.until_published(worker=worker)
    finally:
        status = await asyncio.to_thread(worker.stop)
    log = worker.log.read_text()
    assert status == 0, log[-3000:]
    assert "Kafka config read again" in log
    assert PASSWORD not in log
    assert NEW not in log
    assert await stream.compare() > 40


async def test_a_password_that_serves_no_more_ends_a_worker_with_status_4(
    kafka, app_id, redis_url, tmp_path
):
    """A restart follows, which takes the new one when it is there; status 3 would end it for good."""
    _, worker = await start(kafka, app_id, USERS[1], redis_url, tmp_path, kafka_timeout_s=4)
    await asyncio.to_thread(kafka.set_password, USERS[1], NEW)
    status, line = await ended(worker)
    assert status == 4
    assert "Kafka has refused every new connection" in line
    assert "uthentication failed" in line, line
