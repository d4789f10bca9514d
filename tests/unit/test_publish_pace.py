"""The bound of a publish: it begins small, halves when a publish takes too long, and grows again."""

import pytest

from stream_rnn.errors import FencedError, TooSlowError
from stream_rnn.fold.publish_pace import FIRST_RECORDS, PublishPace
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


def publish(pace, clock, seconds, records=None, outputs=None, error=None) -> None:
    """Publish as many records as the pace allows, each with an output."""
    records = pace.records_max if records is None else records
    with pace.measure(records, records if outputs is None else outputs):
        clock.now += seconds
        if error is not None:
            raise error


def test_it_begins_small_and_grows_to_the_largest_micro_batch(pace, clock):
    """A restarted worker does not begin with the size that ended the last one."""
    sizes = [pace.records_max]
    for _ in range(5):
        publish(pace, clock, 0.1)
        sizes.append(pace.records_max)
    assert sizes == [FIRST_RECORDS, 2048, 4096, 8192, 16_384, 16_384]


def test_a_publish_that_takes_too_long_is_halved_until_it_fits(pace, clock):
    """The message names the new bound; the bound never reaches zero."""
    sizes = []
    while pace.records_max > 1:
        with pytest.raises(
            TooSlowError, match="slow; a micro-batch now publishes the outputs of at"
        ) as error:
            publish(pace, clock, 12, error=TooSlowError("slow"))
        sizes.append(pace.records_max)
        assert str(error.value).endswith(f" {pace.records_max} records")
    assert sizes == [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]


def test_half_of_what_was_published_is_next_if_that_was_less_than_the_bound(pace, clock):
    with pytest.raises(TooSlowError):
        publish(pace, clock, 12, records=10, error=TooSlowError("slow"))
    assert pace.records_max == 5


@pytest.mark.parametrize("outputs", [0, 1])
def test_one_output_that_takes_too_long_is_an_outage(pace, clock, outputs):
    """A smaller publish is not possible: the worker exits, as it does when Kafka is away."""
    with pytest.raises(FencedError, match="slow"):
        publish(pace, clock, 12, outputs=outputs, error=TooSlowError("slow"))


def test_a_publish_near_its_deadline_makes_the_next_one_smaller(pace, clock):
    """Between a quarter and half of the deadline of 10 s the bound stays."""
    publish(pace, clock, 5.1)
    assert pace.records_max == 512
    publish(pace, clock, 4)
    assert pace.records_max == 512
    publish(pace, clock, 2.4)
    assert pace.records_max == 1024


@pytest.mark.parametrize(
    ("records", "outputs"), [(1024, 922), (1024, 512), (1024, 3), (1024, 0), (1023, 1023), (3, 3)]
)
def test_a_fast_publish_raises_the_bound_if_the_bound_has_cut_it(pace, clock, records, outputs):
    """Records without an output change nothing, because slices bound records."""
    publish(pace, clock, 0.1, records, outputs)
    assert pace.records_max == (2048 if records == FIRST_RECORDS else FIRST_RECORDS)


def test_elections_during_small_publishes_do_not_lower_the_bound(pace, clock):
    """Seven slow publishes of 3 outputs brought the bound down to 8."""
    for records in (3, 3, 3, 0, 512, 512, 512):
        publish(pace, clock, 6, records, min(records, 3))
    assert pace.records_max == FIRST_RECORDS


def test_a_slow_publish_near_the_bound_is_halved(pace, clock):
    publish(pace, clock, 6, records=514, outputs=400)
    assert pace.records_max == 257


def test_a_bound_that_elections_have_lowered_grows_again(pace, clock):
    """Also if most records have no output."""
    for _ in range(7):
        publish(pace, clock, 6, outputs=3)
    assert pace.records_max == 8
    for _ in range(11):
        publish(pace, clock, 0.1, outputs=pace.records_max // 3)
    assert pace.records_max == 16_384


def test_a_publish_with_few_outputs_that_takes_too_long_is_halved_by_its_records(pace, clock):
    """Two outputs among 1024 records: the next micro-batch has 512 records, and not one."""
    with pytest.raises(TooSlowError, match=r"at most 512 records$"):
        publish(pace, clock, 12, outputs=2, error=TooSlowError("slow"))
    assert pace.records_max == 512


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
    assert pace.records_max == FIRST_RECORDS
    publish(pace, clock, 0.51 * deadline_s)
    assert pace.records_max == FIRST_RECORDS // 2


def test_other_errors_change_nothing(pace, clock):
    with pytest.raises(FencedError):
        publish(pace, clock, 12, error=FencedError("fenced"))
    assert (pace.records_max, pace.since_s) == (FIRST_RECORDS, None)


def test_the_time_of_the_publish_in_progress_is_known(pace, clock):
    clock.now = 3.0
    with pace.measure(1, 1):
        assert pace.since_s == 3.0
    assert pace.since_s is None


def test_a_bound_that_changes_takes_effect_in_the_next_micro_batch(pace):
    """Slices are cut one at a time."""
    records = [record(i, b"k", b"{}") for i in range(100)]
    pace.records_max = 30
    slices = slice_records(records, Settings.build(), pace=pace)
    sizes = [len(next(slices))]
    pace.records_max = 60
    sizes += [len(part) for part in slices]
    assert sizes == [30, 60, 10]


@pytest.mark.parametrize(
    ("publish_from", "sizes"), [(0, [30, 30, 30, 10]), (45, [75, 25]), (100, [100]), (500, [100])]
)
def test_records_that_are_folded_silently_do_not_count(pace, publish_from, sizes):
    """A rebuild publishes nothing, so its micro-batches keep their size."""
    records = [record(i, b"k", b"{}") for i in range(100)]
    pace.records_max = 30
    parts = slice_records(records, Settings.build(), publish_from=publish_from, pace=pace)
    assert [len(part) for part in parts] == sizes
