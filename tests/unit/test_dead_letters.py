"""A dead letter says what, why and where, and can always be published."""

import re
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

import stream_rnn.fold
from stream_rnn.errors import DecodeError, RecordError
from stream_rnn.fold.dead_letters import (
    HEADER_BYTES_MAX,
    LENGTHS_BYTES,
    REASON_BYTES_MAX,
    dead_letter,
    record_header_name,
)
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.output_batches import split_into_batches
from stream_rnn.fold.single_steps import NOT_FINITE
from stream_rnn.fold.skip_reasons import SKIP_REASONS

ERROR = DecodeError("not_json", "the value is not JSON")
BYTES_MAX, BATCH_BYTES_MAX = 100, 900_000


def made(record, error=ERROR):
    """Make a dead letter of events[3]."""
    return dead_letter(record, error, "events", 3, BYTES_MAX, BATCH_BYTES_MAX)


def weight(message):
    """Return the bytes of all parts."""
    headers = sum(len(name.encode()) + len(text or b"") for name, text in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers


def test_headers_say_what_why_and_where():
    """Key, value, timestamp and the record's own headers are kept as they are."""
    message = made(LogRecord(12, 34, b"k\xff", b"nope", (("trace", b"\x01"),)))
    assert (message.key, message.value, message.timestamp) == (b"k\xff", b"nope", 34)
    assert list(message.headers) == [
        ("trace", b"\x01"),
        ("sr-error", b"not_json"),
        ("sr-reason", b"the value is not JSON"),
        ("sr-topic", b"events"),
        ("sr-partition", b"3"),
        ("sr-offset", b"12"),
        ("sr-timestamp", b"34"),
        ("sr-size", b"4"),
        ("sr-truncated", b""),
    ]


@pytest.mark.parametrize(
    ("record", "cut", "size"),
    [
        (LogRecord(0, 0, b"k" * 101, b"v"), b"key", b"1"),
        (LogRecord(0, 0, b"k", b"v" * 5000), b"value", b"5000"),
        (LogRecord(0, 0, b"k", b"v", (("h", b"x" * 70_000),)), b"headers", b"1"),
        (LogRecord(0, 0, b"k", b"v", (("h" * 70_000, b""),)), b"headers", b"1"),
        (LogRecord(0, 0, b"k" * 9999, b"v" * 2_000_000), b"key,value", b"2000000"),
    ],
)
def test_what_is_huge_is_cut_and_named(record, cut, size):
    """The rest is kept, the true size of the value is stated, and the whole stays small."""
    message = made(record)
    headers = dict(message.headers)
    assert (headers["sr-truncated"], headers["sr-size"]) == (cut, size)
    assert message.key == record.key[:BYTES_MAX]
    assert message.value == record.value[:BYTES_MAX]
    assert weight(message) <= 2 * BYTES_MAX + 2000


RECORDS = [
    LogRecord(0, 5, b"k" * 2_000_000, b"v" * 2_000_000),
    LogRecord(0, 5, b"k" * 400_000, b"v" * 800_000, (("h", b"x" * 60_000),)),
    LogRecord(0, 5, None, b"v", (("", None),) * 1_000_000),
    LogRecord(0, 5, b"k", b"v", (("\N{FIRE}" * 30_000, b""),)),
    LogRecord(0, 5, b"k" * 5000, b"v" * 9000, (("h", b"x"),) * 400),
]


@pytest.mark.parametrize("batch_bytes_max", [16_384, 900_000])
@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_dead_letter_fits_into_a_batch_whatever_the_record_and_the_settings(
    record, batch_bytes_max
):
    """Also one whose headers say nothing a million times."""
    error = RecordError("odd", "ü" * 5000)
    more = [("sr-app", b"a" * 249), ("sr-fold", b"f" * 12), ("sr-origin", b"1" * 20)]
    message = dead_letter(record, error, "t" * 249, 3, 800_000, batch_bytes_max, more)
    output = TopicPartition("out", 3)
    made = split_into_batches(
        lambda: BatchBuilder(batch_bytes_max, 0), [message], output, batch_bytes_max
    )
    assert len(list(made)) == 1
    said = dict(message.headers)["sr-truncated"].decode().split(",")
    kept = [name for name, _ in message.headers if not name.startswith("sr-")]
    assert ("key" in said) == (message.key != record.key)
    assert ("value" in said) == (message.value != record.value)
    assert ("headers" in said) == (len(kept) != len(record.headers))


def test_what_just_fits_is_whole():
    """The bounds themselves are not beyond the bounds."""
    headers = (("h", b"x" * (HEADER_BYTES_MAX - 1 - LENGTHS_BYTES)),)
    message = made(LogRecord(0, 0, b"k" * BYTES_MAX, b"v" * BYTES_MAX, headers))
    assert dict(message.headers)["sr-truncated"] == b""
    assert message.headers[0] == headers[0]


def test_a_reason_is_short_and_ascii():
    """Whatever an error says, its header is bounded and ASCII."""
    message = made(LogRecord(0, 0, b"k", b"v"), RecordError("odd", "ü\n" * 5000))
    reason = dict(message.headers)["sr-reason"]
    assert reason.isascii()
    assert reason.startswith(b"\\xfc\n")
    assert len(reason) <= REASON_BYTES_MAX


def test_a_record_of_nothing_can_be_published():
    """Without key and value the value is empty, and the size says that there was none."""
    message = made(LogRecord(0, -1, None, None))
    assert (message.key, message.value) == (None, b"")
    assert dict(message.headers)["sr-size"] == b"-1"
    assert dict(message.headers)["sr-timestamp"] == b"-1"


def test_a_producer_of_events_cannot_write_the_headers_that_recovery_reads():
    """Its ``sr-`` headers have another name, and get their own back when the record is put back."""
    given = (("sr-app", b"a"), ("sr-fold", b"f"), ("sr-record-x", b"y"), ("sr-", b""), ("t", b"1"))
    message = made(LogRecord(0, 0, b"k", b"v", given))
    names = [name for name, _ in message.headers]
    assert names[:5] == ["sr-record-app", "sr-record-fold", "sr-record-record-x", "sr-record-", "t"]
    assert {"sr-app", "sr-fold", "sr-origin"}.isdisjoint(names)
    restored = [
        (record_header_name(name), text)
        for name, text in message.headers
        if record_header_name(name)
    ]
    assert restored == list(given)


def test_every_code_in_the_source_has_words():
    """And none has words that no code gives."""
    package = Path(stream_rnn.fold.__file__).parent
    files = [*package.glob("*.py"), *package.parent.glob("formats/*.py")]
    files.append(package.parent / "model/encoder.py")
    text = "".join(path.read_text() for path in files)
    given = re.findall(r'(?:Decode|Feature)Error\(\s*f?"([a-z_]+)"', text)
    assert {NOT_FINITE, *given} == set(SKIP_REASONS)


def test_a_null_header_is_kept():
    """Kafka's headers may have no value."""
    message = made(LogRecord(0, 0, b"k", b"v", (("empty", None),)))
    assert message.headers[0] == ("empty", None)
