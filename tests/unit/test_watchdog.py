"""The watchdog ends a process that shows no sign of life, and no other."""

import threading

from stream_rnn.worker.watchdog import EXIT_STATUS_RELEASE, Watchdog

LIMIT_S = 0.04  # it looks four times as often
NEVER_S = 0.3


class Clock:
    """Time as a value, readable from the watchdog's thread."""

    def __init__(self):
        self.now = 0.0
        self.looks = threading.Semaphore(0)

    def __call__(self):
        if threading.current_thread().name == "watchdog":
            self.looks.release()
        return self.now

    def looked_at(self, times):
        """Wait until somebody has looked so often."""
        return all(self.looks.acquire(timeout=5) for _ in range(times))


def watched(asked=threading.Event()):  # noqa: B008  # never set
    """Make a watchdog, its clock, and what would end the process."""
    clock, ended, statuses = Clock(), threading.Event(), []

    def end(status):
        statuses.append(status)
        ended.set()

    return (
        Watchdog(LIMIT_S, clock, lambda: 0 if asked.is_set() else None, 10.0, end),
        clock,
        ended,
        statuses,
    )


def test_a_process_without_a_sign_of_life_is_ended():
    """Once, with the status of a release."""
    dog, clock, ended, statuses = watched()
    dog.record_progress()
    clock.now = LIMIT_S + 0.001
    dog.start()
    assert ended.wait(5)
    dog._thread.join(5)
    assert not dog._thread.is_alive()
    assert statuses == [EXIT_STATUS_RELEASE]


def test_a_process_at_the_limit_is_left_alone():
    """Only more than the limit is too much."""
    dog, clock, ended, _ = watched()
    dog.record_progress()
    clock.now = LIMIT_S
    dog.start()
    assert clock.looked_at(5)
    assert not ended.is_set()
    dog.stop()


def test_signs_of_life_keep_a_process():
    """Time passes far beyond the limit, in steps with a sign in between."""
    dog, clock, ended, _ = watched()
    dog.record_progress()
    dog.start()
    for _ in range(9):
        clock.now += LIMIT_S / 2
        assert clock.looked_at(2)
        dog.record_progress()
    assert clock.now > 4 * LIMIT_S
    assert not ended.is_set()
    clock.now += 2 * LIMIT_S
    assert ended.wait(5), "and when the signs end, so does the process"


def test_a_stopped_watchdog_ends_nothing():
    """A worker that stops in order may take its time."""
    dog, clock, ended, _ = watched()
    dog.start()
    dog.stop()
    dog._thread.join(5)
    clock.now = 100.0
    assert not dog._thread.is_alive()
    assert not ended.wait(NEVER_S)


def test_a_failed_process_that_does_not_end_is_ended():
    """Stopped or not, signs of life or not: with the status of what failed."""
    dog, clock, ended, statuses = watched()
    dog.end_within(10.0, 3)
    dog.stop()
    dog.start()
    clock.now = 10.0
    assert clock.looked_at(5)
    assert not ended.is_set()
    clock.now = 10.001
    assert ended.wait(5)
    assert statuses == [3]


def test_a_process_that_has_not_begun_may_take_its_time():
    """Redis may load, Kafka may start: each look at them has a deadline of its own."""
    dog, clock, ended, _ = watched()
    dog.start()
    clock.now = 100 * LIMIT_S
    assert not ended.wait(NEVER_S)
    dog.stop()


def test_a_process_that_was_asked_to_end_and_does_not_is_ended():
    """With 0, before its first sign of life, too; its own failure keeps its own status."""
    for status in (0, 4):
        asked = threading.Event()
        dog, clock, ended, statuses = watched(asked)
        if status:
            dog.end_within(10.0, status)
        asked.set()
        dog.start()
        assert clock.looked_at(3)
        clock.now = 9.9
        assert clock.looked_at(3)
        assert not ended.is_set()
        clock.now = 10.1
        assert ended.wait(5)
        assert statuses == [status]


def test_a_process_that_ends_in_time_when_asked_is_left_alone():
    """Its services have stopped; the rest is not the watchdog's."""
    asked = threading.Event()
    dog, clock, ended, _ = watched(asked)
    asked.set()
    dog.start()
    assert clock.looked_at(3)
    dog.stop()
    dog._thread.join(5)
    clock.now = 100.0
    assert not ended.wait(NEVER_S)
