"""Record batches that aiokafka's parser refuses: what can be read of them, and the errors."""

import struct

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    FetchError,
    FetchResult,
    PartitionRecords,
    RecordTooLargeError,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from stream_rnn.errors import Reaction, UnreadableError
from stream_rnn.kafka.record_batches import _Fetches
from tests.raw_batches import CODECS, RawName, batch

TP = TopicPartition("events", 3)
BAD = RawName(b"id\xff\xfe")
PLAIN = [(b"k", b"0", [("a", b"b")]), (None, b"1", []), (b"k", None, [("c", None)])]
ODD = [(b"k", b"3", [(BAD, b"x"), ("d", None)]), (b"k", b"4", [])]


class Here:
    """The one partition that is assigned, and where the consumer stands in it."""

    active, paused = True, False

    def __init__(self, position=0):
        self.position = position

    def state_value(self, _tp):
        return self

    def consumed_to(self, position):
        self.position = position


def fetch(raw, position=0, here=None, bare=False):
    """Take what a consumer would, fetch by fetch as its broker sends whole batches, until an error."""
    here = here or Here(position)
    fetches, taken = _Fetches({TP: raw}), []
    parsed = PartitionRecords(
        TP, MemoryRecords(raw), None, here.position, None, None, True, READ_COMMITTED
    )
    fetches[TP] = result = FetchResult(TP, assignment=here, partition_records=parsed, backoff=0)
    if bare:
        result._partition_records._consumer_record = lambda _tp, record: record
    taken = result.getall()
    del fetches[TP]  # as the fetcher does with what has no more
    return taken, fetches.get(TP), here.position


def forged(raw, at, new) -> bytes:
    """Return a batch with other bytes and the right checksum."""
    made = bytearray(raw)
    made[at : at + len(new)] = new
    made[17:21] = struct.pack(">I", calc_crc32c(made[21:]))
    return bytes(made)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_not_utf_8_is_escaped_and_costs_nothing_else(codec, bare):
    """Keys, values, timestamps, offsets and the other headers are what was written."""
    raw = batch(PLAIN, codec) + batch(ODD, codec, 3) + batch(PLAIN, codec, 5)
    taken, error, position = fetch(raw, bare=bare)
    assert error is None
    assert position == 8
    assert [r.offset for r in taken] == list(range(8))
    assert [r.value for r in taken] == [b"0", b"1", None, b"3", b"4", b"0", b"1", None]
    assert [r.key for r in taken] == [b"k", None, b"k", b"k", b"k", b"k", None, b"k"]
    assert [r.timestamp for r in taken] == [1000, 1001, 1002, 1000, 1001, 1000, 1001, 1002]
    headers = [list(r.headers) for r in taken]
    assert headers[3] == [("id\\xff\\xfe", b"x"), ("d", None)]
    assert headers[0] == headers[5] == [("a", b"b")]
    assert headers[2] == [("c", None)]


@pytest.mark.parametrize("position", range(7))
def test_a_fetch_begins_where_it_was_asked_for_and_gives_no_record_twice(position):
    """A broker sends the whole batch that an offset is in; it may be the third one that is odd."""
    raw = batch(PLAIN * 2) + batch(PLAIN, base_offset=6) + batch([*PLAIN, *ODD], base_offset=9)
    taken, error, at = fetch(raw, position)
    assert ([r.offset for r in taken], error, at) == (list(range(position, 14)), None, 14)


def test_both_parsers_add_timestamps_up_in_64_bits():
    """A timestamp beyond int64 is the same in every reader, whatever the names of headers."""
    first, delta = 2**63 - 5, 9
    plain = batch([(b"k", b"0", [], 0), (b"k", b"1", [], delta)])
    odd = batch([(b"k", b"0", [(BAD, b"")], 0), (b"k", b"1", [(BAD, b"")], delta)])
    stamped = [forged(raw, 27, struct.pack(">q", first)) for raw in (plain, odd)]
    times = [[record.timestamp for record in fetch(raw)[0]] for raw in stamped]
    assert times == [[first, first + delta - 2**64]] * 2


@pytest.mark.parametrize("before", [b"", batch(ODD)])
def test_a_batch_is_read_as_far_as_it_can_be_by_both_parsers(before):
    """Of a batch that says to hold more records than it does, those that are there are delivered."""
    first = 2 if before else 0
    raw = bytearray(forged(batch(PLAIN), 57, bytes([0, 0, 0, 9])))
    raw[:8] = first.to_bytes(8, "big")
    taken, failed, position = fetch(before + bytes(raw))
    assert [r.offset for r in taken] == list(range(first + 3))
    assert position == first + 3
    assert failed._error.offset == first + 3


def damaged():
    """Return batches that nobody can read, by what is wrong with them."""
    plain = batch(PLAIN)
    packed = batch(PLAIN * 50, "gzip")
    return {
        "checksum": plain[:-1] + bytes([plain[-1] ^ 1]),
        "codec": forged(plain, 21, b"\x00\x07"),
        "compressed": forged(packed, 61, b"\xff" * 30),
        "zstd": forged(batch(PLAIN * 50, "zstd"), 61, b"\xff" * 30),
        "lz4": forged(batch(PLAIN * 50, "lz4"), 61, b"\xff" * 30),
        "snappy": forged(batch(PLAIN * 50, "snappy"), 61, b"\xff" * 30),
        "record": forged(plain, 61, b"\x7f"),
        "name": forged(batch([(b"k", b"v", [(BAD, b"x" * 9)])]), 61 + 9, b"\x7e"),
        "short": struct.pack(">qiib", 0, 9, 0, 2) + bytes(9),
    }


@pytest.mark.parametrize("kind", damaged())
def test_what_cannot_be_read_stops_at_its_place_after_all_before_it_was_delivered(kind):
    """The error says topic, partition, offset, cause and remedy."""
    raw = bytearray(damaged()[kind])
    raw[:8] = (2).to_bytes(8, "big")
    taken, failed, position = fetch(batch(ODD) + bytes(raw) + batch(PLAIN, base_offset=5))
    assert [r.offset for r in taken] == [0, 1]
    assert position == 2
    assert type(failed) is FetchError
    with pytest.raises(UnreadableError) as caught:
        failed.check_raise()
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == ("events", 3, 2)
    assert caught.value.reaction is Reaction.STOP
    assert "events[3]: offset 2 cannot be read: " in str(caught.value)
    assert "kafka-delete-records" in str(caught.value)
    again, failed, _ = fetch(bytes(raw), here=Here(2))
    assert again == []
    assert isinstance(failed._error, UnreadableError)


def test_a_length_beyond_the_fetch_is_no_large_record():
    """A broker sends the first batch whole: aiokafka's advice to raise a limit would not help."""
    fetches = _Fetches({})
    said = RecordTooLargeError("%s=%s", TP, 7, 100)
    fetches[TP] = FetchError(error=said, backoff=0)
    with pytest.raises(UnreadableError, match=r"events\[3\]: offset 7"):
        fetches[TP].check_raise()
