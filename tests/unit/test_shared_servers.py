"""One server for all processes of a session: started once, refused once, stopped once."""

import threading

import pytest

from stream_rnn.errors import ConfigError
from tests.shared_servers import Keeper, ask


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
    keeper = Keeper({"kafka": server.start})
    keeper.listen()
    ways = [lambda: keeper.address("kafka"), lambda: ask(keeper.where, "kafka")] * 4
    threads = [threading.Thread(target=lambda way=way: found.append(way())) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    keeper.stop()
    assert found == ["127.0.0.1:9"] * 8
    assert server.done == ["start", "stop", "remove"]


def test_a_server_that_cannot_be_had_is_refused_to_all_and_tried_once():
    """A start that fails takes long; the reason stays the same."""
    keeper = Keeper({"kafka": refuse})
    keeper.listen()
    for way in (lambda: keeper.address("kafka"), lambda: ask(keeper.where, "kafka")):
        with pytest.raises(ConfigError, match="no Java runtime"):
            way()
    keeper.stop()
    assert refuse.calls == 1


def test_what_nobody_asked_for_is_not_started():
    """A session of unit tests starts no server."""
    server = Counted()
    Keeper({"kafka": server.start}).stop()
    assert server.done == []
