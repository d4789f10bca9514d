"""Outputs in record batches: what is read is what was written, and a batch is never too large."""

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.fold.output_batches import Message, split_into_batches

OUTPUT = TopicPartition("out", 3)
TIMES = st.sampled_from([-2, -1, -1, 0, 1, 1_700_000_000_000, 2**62, -(2**62)])


def cut(messages, bytes_max):
    """Return the batches of some messages, each as its bytes."""
    made = split_into_batches(lambda: BatchBuilder(bytes_max, 0), messages, OUTPUT, bytes_max)
    return [bytes(batch._build()) for batch in made]


def read(batches):
    """Return what any consumer reads."""
    found = []
    for raw in batches:
        records = MemoryRecords(raw)
        while records.has_next():
            found += [
                Message(one.key, one.value, one.timestamp, list(one.headers))
                for one in records.next_batch()
            ]
    return found


@given(st.lists(TIMES, max_size=30), st.sampled_from([200, 500, 16_384]))
def test_timestamps_are_read_as_they_were_written(times, bytes_max):
    """Also where a batch begins with the one that Kafka has for none."""
    messages = [Message(b"k", b"v%d" % n, time, [("h", b"x")]) for n, time in enumerate(times)]
    assert read(cut(messages, bytes_max)) == messages


def test_batches_are_full_and_not_too_large():
    """Small messages share one; -1 costs at most one more batch."""
    messages = [Message(b"k", bytes(50), time, []) for time in (-1, -1, 5, -1, 6, -1)]
    assert [len(read([raw])) for raw in cut(messages, 10_000)] == [2, 4]
    sizes = list(map(len, cut([Message(b"k", bytes(90), 5, [])] * 50, 1000)))
    assert max(sizes) <= 1000
    assert min(sizes[:-1]) > 800


def test_a_message_that_does_not_fit_is_refused_by_name():
    """Wherever it stands: a broker would refuse its batch at each start."""
    small, large = Message(b"k", b"v", 5, []), Message(b"k", bytes(1000), 5, [])
    for messages in ([large], [small, large], [large, small]):
        with pytest.raises(
            ConfigError, match=r"does not fit into output_batch_bytes_max 1000 of out\[3\]"
        ):
            cut(messages, 1000)


def test_there_is_no_batch_of_nothing():
    """A micro-batch of nothing but forgotten keys publishes nothing."""
    assert cut([], 1000) == []
