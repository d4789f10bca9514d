"""Where a reader stands, without servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.predictions.counts import BEHIND_MAX, CAUSES_MAX, Counts
from stream_rnn.predictions.progress import (
    METADATA_BYTES_MAX,
    SOURCES_MAX,
    PartitionProgress,
    SourcePartition,
)

SOURCE = SourcePartition("app", "events", 3)


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5))
def test_a_repeated_suffix_is_dropped_however_often_it_crashes(count, crashes):
    """Each crash publishes again from some earlier offset on; each offset is admitted once."""
    offsets = [3 * i for i in range(count)]
    log, first = [], 0
    for published, committed in crashes:
        end = max(min(published, count), first)
        log += offsets[first:end]
        first = min(committed, end)
    log += offsets[first:]
    progress = PartitionProgress(0)

    assert [offset for offset in log if progress.admit(SOURCE, offset)] == offsets


def test_apps_and_partitions_are_told_apart():
    """One app's offset 5 says nothing of another's."""
    progress = PartitionProgress(0)
    assert progress.admit(SOURCE, 5)
    assert progress.admit(SOURCE._replace(app="other"), 5)
    assert progress.admit(SOURCE._replace(topic="other"), 5)
    assert progress.admit(SOURCE._replace(partition=4), 5)
    assert not progress.admit(SOURCE, 5)


def test_a_prediction_of_a_replaced_fold_is_dropped():
    """A worker that has lost the partition may append it late; the fold in charge has its offset, too."""
    progress = PartitionProgress(0)
    log = [(4, 0), (5, 0), (5, 2), (7, 0), (6, 2), (7, 1), (7, 2), (8, 3), (9, 2), (9, 3)]
    admitted = [number for number in log if progress.admit(SOURCE, *number)]
    assert admitted == [(4, 0), (5, 0), (6, 2), (7, 2), (8, 3), (9, 3)]
    assert progress.admit(SOURCE._replace(partition=4), 9), "its cut-overs are others"


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(0, 40)), max_size=8),
)
def test_late_predictions_take_a_reader_back_to_no_fold(lengths, late):
    """Fold n is in charge of ``lengths[n]`` offsets; workers that have lost it append others late."""
    numbers = [number for number, length in enumerate(lengths) for _ in range(length)]
    right = list(enumerate(numbers))
    log = list(right)
    for at, number, offset in late:
        place = min(at, len(log))
        newest = max((n for _, n in log[:place]), default=0)
        if number < newest and offset < len(numbers):
            log.insert(place, (offset, number))
    progress, admitted = PartitionProgress(0), []
    for entry in log:
        progress = PartitionProgress.parse(0, progress.metadata())
        if progress.admit(SOURCE, *entry):
            admitted.append(entry)
    assert admitted == right


def test_the_number_of_the_last_cut_over_is_committed():
    """The next reader drops the late predictions, too; without a cut-over nothing is added."""
    progress = PartitionProgress(17)
    progress.admit(SOURCE, 5)
    assert progress.metadata() == 'v1 [["app","events",3,5]]'
    progress.admit(SOURCE, 6, 2)
    again = PartitionProgress.parse(17, progress.metadata())
    assert again == progress
    assert not again.admit(SOURCE, 7, 1)
    assert again.admit(SOURCE, 7, 2)


@given(
    st.dictionaries(
        st.tuples(st.text(max_size=20), st.text(max_size=20), st.integers(0, 9)),
        st.integers(0, 2**62),
        max_size=10,
    )
)
def test_metadata_gives_back_what_was_seen(last):
    """What is committed is what the next reader knows."""
    progress = PartitionProgress(
        17, {SourcePartition(*source): offset for source, offset in last.items()}
    )
    assert PartitionProgress.parse(17, progress.metadata()) == progress


@pytest.mark.parametrize(
    "metadata", ["", "v2 []", "v1 {", 'v1 [["a"]]', "v1 7", 'v1 [["a","t",0,1,2,3]]']
)
def test_metadata_of_somebody_else_is_no_memory(metadata):
    """A group offset that a person set is obeyed."""
    assert PartitionProgress.parse(17, metadata) == PartitionProgress(17)


def test_metadata_stays_below_what_brokers_accept():
    """Too many sources are refused, not cut."""
    progress = PartitionProgress(0)
    for partition in range(20):
        progress.admit(SourcePartition("a" * 249, "t", partition), 1)
    with pytest.raises(ConfigError, match=str(METADATA_BYTES_MAX)):
        progress.metadata()


def test_the_memory_of_sources_is_bounded():
    """A topic of very many sources is refused."""
    progress = PartitionProgress(0)
    for partition in range(SOURCES_MAX):
        progress.admit(SourcePartition("a", "t", partition), 1)
    with pytest.raises(ConfigError, match=str(SOURCES_MAX)):
        progress.admit(SourcePartition("a", "t", SOURCES_MAX), 1)


def test_predictions_that_are_dropped_for_their_number_alone_are_reported(caplog):
    """An app that has lost its group offset and plan begins its numbers again, and would fall silent."""
    progress, counts, source = PartitionProgress(0), Counts(), SOURCE
    assert progress.admit(source, 4, 3)
    for offset in range(2, 5 + 2 * BEHIND_MAX):
        assert not progress.admit(source, offset, 2)
        if progress.is_behind(source, offset, 2):
            counts.note_behind(source, offset, 2, progress.numbers[source])
    assert caplog.text.count("is older than number 3, which was read before") == 1
    assert f"dropped {BEHIND_MAX} predictions of events[3]" in caplog.text
    assert "the last one has offset 1004 and number 2" in caplog.text
    assert not progress.is_behind(source, 4, 2)  # it was read before
    assert not progress.is_behind(source, 9000, 3)
    for number in range(2 * CAUSES_MAX):  # bounded, whatever a topic contains
        counts.note_behind(source._replace(partition=number), 5, 2, 3)
    assert len(counts._behind) == CAUSES_MAX
