"""The bound of a publish: it begins small, halves when a publish takes too long, and grows again."""

import pytest

from stream_rnn.errors import FencedError, TooSlowError
from stream_rnn.fold.publish_pace import FIRST_OUTPUTS, PublishPace
from stream_rnn.fold.slices import slice_records
from stream_rnn.settings import Settings
from stream_rnn.testing import record


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    """Return the pace of a worker with the default settings."""
    return PublishPace(Settings.build(), clock)


def publish(pace, clock, seconds, outputs=None, error=None) -> None:
    """Publish as many outputs as the pace allows."""
    with pace.measure(pace.outputs_max if outputs is None else outputs):
        clock.now += seconds
        if error is not None:
            raise error


def test_it_begins_small_and_grows_to_the_largest_micro_batch(pace, clock):
    """A restarted worker does not begin with the size that ended the last one."""
    sizes = [pace.outputs_max]
    for _ in range(5):
        publish(pace, clock, 0.1)
        sizes.append(pace.outputs_max)
    assert sizes == [FIRST_OUTPUTS, 2048, 4096, 8192, 16_384, 16_384]


def test_a_publish_that_takes_too_long_is_halved_until_it_fits(pace, clock):
    """The message names the new bound; the bound never reaches zero."""
    sizes = []
    while pace.outputs_max > 1:
        with pytest.raises(TooSlowError, match="slow; micro-batches now have at most") as error:
            publish(pace, clock, 12, error=TooSlowError("slow"))
        sizes.append(pace.outputs_max)
        assert str(error.value).endswith(f" {pace.outputs_max} outputs")
    assert sizes == [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]


def test_half_of_what_was_published_is_next_if_that_was_less_than_the_bound(pace, clock):
    with pytest.raises(TooSlowError):
        publish(pace, clock, 12, outputs=10, error=TooSlowError("slow"))
    assert pace.outputs_max == 5


@pytest.mark.parametrize("outputs", [0, 1])
def test_one_output_that_takes_too_long_is_an_outage(pace, clock, outputs):
    """A smaller publish is not possible: the worker exits, as it does when Kafka is away."""
    with pytest.raises(FencedError, match="slow"):
        publish(pace, clock, 12, outputs=outputs, error=TooSlowError("slow"))


def test_a_publish_near_its_deadline_makes_the_next_one_smaller(pace, clock):
    """Between a quarter and half of the deadline of 10 s the bound stays."""
    publish(pace, clock, 5.1)
    assert pace.outputs_max == 512
    publish(pace, clock, 4)
    assert pace.outputs_max == 512
    publish(pace, clock, 2.4)
    assert pace.outputs_max == 1024


def test_a_small_publish_does_not_raise_the_bound(pace, clock):
    publish(pace, clock, 0.1, outputs=3)
    assert pace.outputs_max == FIRST_OUTPUTS


@pytest.mark.parametrize(
    ("settings", "deadline_s"),
    [
        ({}, 10),
        ({"kafka_timeout_s": 4}, 4),
        ({"delivery": "at_least_once"}, 30),
    ],
)
def test_the_deadline_is_that_of_the_transaction_or_of_an_answer(clock, settings, deadline_s):
    pace = PublishPace(Settings.build(**settings), clock)
    publish(pace, clock, 0.49 * deadline_s)
    assert pace.outputs_max == FIRST_OUTPUTS
    publish(pace, clock, 0.51 * deadline_s)
    assert pace.outputs_max == FIRST_OUTPUTS // 2


def test_other_errors_change_nothing(pace, clock):
    with pytest.raises(FencedError):
        publish(pace, clock, 12, error=FencedError("fenced"))
    assert (pace.outputs_max, pace.since_s) == (FIRST_OUTPUTS, None)


def test_the_time_of_the_publish_in_progress_is_known(pace, clock):
    clock.now = 3.0
    with pace.measure(1):
        assert pace.since_s == 3.0
    assert pace.since_s is None


def test_a_bound_that_changes_takes_effect_in_the_next_micro_batch(pace):
    """Slices are cut one at a time."""
    records = [record(i, b"k", b"{}") for i in range(100)]
    pace.outputs_max = 30
    slices = slice_records(records, Settings.build(), pace=pace)
    sizes = [len(next(slices))]
    pace.outputs_max = 60
    sizes += [len(part) for part in slices]
    assert sizes == [30, 60, 10]


@pytest.mark.parametrize(
    ("publish_from", "sizes"), [(0, [30, 30, 30, 10]), (45, [75, 25]), (100, [100]), (500, [100])]
)
def test_records_that_are_folded_silently_do_not_count(pace, publish_from, sizes):
    """A rebuild publishes nothing, so its micro-batches keep their size."""
    records = [record(i, b"k", b"{}") for i in range(100)]
    pace.outputs_max = 30
    parts = slice_records(records, Settings.build(), publish_from=publish_from, pace=pace)
    assert [len(part) for part in parts] == sizes
