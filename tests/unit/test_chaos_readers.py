"""Whom the readers' chaos hurts: who has its signal handlers, and is still there."""

import multiprocessing
import signal
import time

import pytest

from tests.chaos.readers import ReaderChaos, ReaderProcess


@pytest.fixture
def process():
    """A process that does nothing."""
    started = multiprocessing.get_context("forkserver").Process(
        target=time.sleep, args=(60,), daemon=True
    )
    started.start()
    yield started
    started.kill()
    started.join(10)


def test_a_reader_is_up_once_it_has_written_down_something_itself(process, tmp_path):
    """What another one has written says nothing about it."""
    started = ReaderProcess(process, tmp_path / "reader-000")
    assert not started.is_up
    (tmp_path / "reader-001").write_text("1 B\n")
    started.log.touch()
    assert not started.is_up
    started.log.write_text("1 B\n")
    assert started.is_up


async def test_who_has_left_is_not_hurt(process, tmp_path, monkeypatch):
    """Neither by a signal, nor as a victim that is counted, whatever was known of it before."""
    started = ReaderProcess(process, tmp_path / "reader-000")
    started.log.write_text("1 B\n")
    assert started.signal(signal.SIGCONT)
    process.kill()
    process.join(10)
    assert not started.is_up
    assert not started.signal(signal.SIGCONT)

    monkeypatch.setattr("tests.chaos.readers.SESSION_TIMEOUT_S", 1.5)
    chaos = ReaderChaos("committed", 1, tmp_path)
    chaos._readers = [started]
    for kind in ("freeze", "kill", "leave", "slow", "look-up"):
        await chaos._inject(kind)
        assert not await chaos._signal(kind, started)
    assert not chaos.kinds


def test_things_go_on_until_enough_was_told(tmp_path):
    """By all readers together, whatever the speed of the machine."""
    chaos = ReaderChaos("committed", 1, tmp_path)
    assert not chaos._have_logged({"Y": 1})
    (tmp_path / "reader-000").write_text("1 B\n2 O\n3 Y 0 1\n4 c\n5 C\n")
    (tmp_path / "reader-001").write_text("1 B\n3 Y 1 1\n3")
    assert chaos._have_logged({"Y": 2, "C": 1})
    assert not chaos._have_logged({"Y": 2, "C": 2})
