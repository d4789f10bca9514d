"""Local servers never outlive whoever started them, and can be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from stream_rnn.errors import ConfigError
from stream_rnn.local import redis as local_redis
from stream_rnn.local.processes import ServerProcess, free_port, require_free
from stream_rnn.local.redis import LocalRedis

pytestmark = pytest.mark.integration

FREE_WITHIN_S = 10.0
PARENT = """
import sys, time
from stream_rnn.local.redis import LocalRedis

server = LocalRedis().start()
print(server.port, server._directory, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module", autouse=True)
def _program():
    """Skip at home and fail in CI where there is no server program."""
    try:
        local_redis._program()
    except ConfigError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def server():
    """A server that a test may kill."""
    with LocalRedis() as started:
        yield started


def listens(port):
    """Return whether something answers on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(predicate, timeout_s, description):
    """Wait for something that must happen."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, f"{description} not within {timeout_s:g} s"
        time.sleep(0.05)


def client(port):
    """Connect to a server."""
    return redis.Redis(port=port, socket_timeout=5)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_is_killed_leaves_no_server(how):
    """Not even SIGKILL leaves a process that listens, or its temporary directory."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            port, directory = parent.stdout.readline().split()
            assert listens(int(port))
        finally:
            parent.send_signal(how)
        parent.wait(10)
    wait_until(lambda: not listens(int(port)), FREE_WITHIN_S, f"the port {port} is free")
    require_free(int(port), "--redis-port")
    wait_until(lambda: not Path(directory).exists(), FREE_WITHIN_S, "its directory is removed")


def test_a_port_that_is_taken_is_refused(server):
    """By number, with the option that changes it, and the server there is left alone."""
    second = LocalRedis(port=server.port)
    said = f"port {server.port} of 127.0.0.1 is taken: choose another with --redis-port"
    with pytest.raises(ConfigError, match=said):
        second.start()
    second.remove()
    assert listens(server.port)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_starts_again_on_the_same_port(server, end):
    """It is another process on the same port; without persistence it holds nothing."""
    client(server.port).set("a", 1)
    before = server._process.pid
    getattr(server, end)()
    wait_until(lambda: not listens(server.port), FREE_WITHIN_S, "the port is free")
    server.start()
    assert server._process.pid != before
    assert client(server.port).get("a") is None


def test_a_server_that_persists_comes_back_with_its_data(tmp_path):
    """Arguments win over the defaults, and a directory that was named is kept."""
    arguments = ["--appendonly", "yes", "--appendfsync", "always"]
    with LocalRedis(data=tmp_path / "kept", arguments=arguments) as kept:
        client(kept.port).set("a", 1)
        kept.kill()
        kept.start()
        assert client(kept.port).get("a") == b"1"
    assert (tmp_path / "kept").is_dir()


def test_a_context_ends_the_server_and_removes_its_directory():
    """Nothing is left behind."""
    with LocalRedis() as server:
        directory, port = server._directory, server.port
        assert listens(port)
        assert server.redis_url == f"redis://127.0.0.1:{port}/0"
    assert not listens(port)
    assert not directory.exists()
    server.stop()
    server.kill()


def test_a_server_that_ends_while_starting_shows_its_log(tmp_path):
    """The message holds what the program printed."""
    command = [sys.executable, "-c", "print('no such option')"]
    process = ServerProcess("Redis", command, tmp_path / "log", 1)
    with pytest.raises(ConfigError, match=r"Redis ended while starting:\nno such option"):
        process.start(lambda: False, 20)
    assert not process.is_running


def test_a_server_that_never_answers_is_ended(tmp_path):
    """After its time, with what it printed, and no process is left."""
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    process = ServerProcess("Redis", command, tmp_path / "log", 1)
    with pytest.raises(ConfigError, match=r"does not answer after 0.5 s:\nup"):
        process.start(lambda: False, 0.5)
    assert not process.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_free_port_is_free():
    """It may be bound, and a taken one may not."""
    port = free_port()
    require_free(port, "--port")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ConfigError, match="--port"):
            require_free(port, "--port")


def test_a_free_port_is_given_once_and_is_no_outgoing_connections():
    """A broker that gets one port for two listeners does not start."""
    given = [free_port() for _ in range(900)]
    assert len(set(given)) == len(given)
    assert max(given) < 32_768  # where Linux begins with ports of outgoing connections
    with socket.create_server(("127.0.0.1", given[-1])):
        assert free_port() != given[-1]
