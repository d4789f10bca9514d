"""One server for all processes of a session: started once, refused once, stopped once."""

import socket
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import pytest

from stream_rnn.errors import ConfigError
from tests.shared_servers import ServerOwner, request_address, run_server


class Counted:
    """A server that counts what is done to it."""

    def __init__(self) -> None:
        self.done = []

    def start(self) -> tuple["Counted", str]:
        self.done.append("start")
        return self, "127.0.0.1:9"

    def stop(self) -> None:
        self.done.append("stop")

    def remove(self) -> None:
        self.done.append("remove")


def refuse():
    """Be a server that cannot be had."""
    refuse.calls += 1
    raise ConfigError("no Java runtime")


refuse.calls = 0


def test_whoever_asks_first_starts_a_server_and_all_get_its_address():
    """Eight ask at a time, in this process and by the socket."""
    server, found = Counted(), []
    server_owner = ServerOwner({"kafka": server.start})
    server_owner.listen()
    ways = [
        lambda: server_owner.address("kafka"),
        lambda: request_address(server_owner.where, "kafka"),
    ] * 4
    threads = [threading.Thread(target=lambda way=way: found.append(way())) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    server_owner.stop()
    assert found == ["127.0.0.1:9"] * 8
    assert server.done == ["start", "stop", "remove"]


def test_a_server_that_cannot_be_had_is_refused_to_all_and_tried_once():
    """A start that fails takes long; the reason stays the same."""
    server_owner = ServerOwner({"kafka": refuse})
    server_owner.listen()
    for way in (
        lambda: server_owner.address("kafka"),
        lambda: request_address(server_owner.where, "kafka"),
    ):
        with pytest.raises(ConfigError, match="no Java runtime"):
            way()
    server_owner.stop()
    assert refuse.calls == 1


def test_what_nobody_asked_for_is_not_started():
    """A session of unit tests starts no server."""
    server = Counted()
    ServerOwner({"kafka": server.start}).stop()
    assert server.done == []


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_start_that_fails_in_any_way_is_told_to_all_and_tried_once():
    """It is no reason to skip a test, and everybody who waits gets the error."""
    calls = []

    def start():
        calls.append("start")
        raise PermissionError(13, "Permission denied")

    server_owner = ServerOwner({"kafka": start})
    server_owner.listen()
    for way in (
        lambda: server_owner.address("kafka"),
        lambda: request_address(server_owner.where, "kafka"),
    ) * 2:
        with pytest.raises(RuntimeError, match=r"starting kafka failed: PermissionError: .*denied"):
            way()
    with pytest.raises(RuntimeError, match="oracle"):
        request_address(server_owner.where, "oracle")
    server_owner.stop()
    assert calls == ["start"]


class Stuck(Counted):
    """A server that cannot be stopped."""

    def stop(self) -> None:
        super().stop()
        raise OSError("stuck")


def test_a_server_that_cannot_be_stopped_leaves_no_other():
    """Both are removed, and the failure is not hidden."""
    stuck, other = Stuck(), Counted()
    server_owner = ServerOwner({"kafka": stuck.start, "redis": other.start})
    server_owner.address("kafka")
    server_owner.address("redis")
    with pytest.raises(ExceptionGroup) as raised:
        server_owner.stop()
    assert [str(error) for error in raised.value.exceptions] == ["stuck"]
    assert stuck.done == other.done == ["start", "stop", "remove"]


def test_a_server_of_some_tests_is_removed_if_it_cannot_be_stopped():
    """What it wrote goes with it."""

    class Own(Stuck):
        def start(self) -> "Own":
            self.done.append("start")
            return self

    server = Own()
    with pytest.raises(OSError, match="stuck"), run_server(server) as started:
        assert started is server
    assert server.done == ["start", "stop", "remove"]


def test_a_server_that_is_being_started_is_stopped_too():
    """The end of the session waits for it, and nobody starts one afterwards."""
    is_starting, go_on = threading.Event(), threading.Event()
    server, found = Counted(), []

    def start():
        is_starting.set()
        go_on.wait(20)
        return server.start()

    server_owner = ServerOwner({"kafka": start, "redis": server.start})
    asking = threading.Thread(target=lambda: found.append(server_owner.address("kafka")))
    stopping = threading.Thread(target=server_owner.stop)
    asking.start()
    assert is_starting.wait(20)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    go_on.set()
    asking.join(20)
    stopping.join(20)
    assert found == ["127.0.0.1:9"]
    assert server.done == ["start", "stop", "remove"]
    with pytest.raises(RuntimeError, match="the session is over"):
        server_owner.address("redis")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_goes_away_or_has_not_the_key_hinders_nobody():
    """The next one is answered."""
    server = Counted()
    server_owner = ServerOwner({"kafka": server.start})
    server_owner.listen()
    address, key = server_owner.where
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(address)
    with pytest.raises(AuthenticationError):
        Client(address, authkey=b"another key")
    Client(address, authkey=key).close()
    assert request_address(server_owner.where, "kafka") == "127.0.0.1:9"
    server_owner.stop()
