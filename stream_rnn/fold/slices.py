"""Micro-batches: bounded prefixes of what has arrived."""

from collections import Counter
from collections.abc import Iterator, Sequence

from stream_rnn.fold.events import Record
from stream_rnn.settings import Settings


def slices(records: Sequence[Record], settings: Settings) -> Iterator[Sequence[Record]]:
    """Cut records into micro-batches by number, bytes and events of one key.

    A record that alone exceeds the bytes is a micro-batch of its own.
    """
    first = 0
    while first < len(records):
        last = min(first + settings.batch_events_max, len(records))
        last = _within_bytes(records, first, last, settings.batch_bytes_max)
        if last - first > settings.rounds_max:
            last = _within_rounds(records, first, last, settings.rounds_max)
        yield records[first:last]
        first = last


def _within_bytes(records: Sequence[Record], first: int, last: int, bytes_max: int) -> int:
    size = 0
    for i in range(first, last):
        record = records[i]
        size += len(record.value or b"") + len(record.key or b"")
        if size > bytes_max and i > first:
            return i
    return last


def _within_rounds(records: Sequence[Record], first: int, last: int, rounds_max: int) -> int:
    seen: Counter[bytes | None] = Counter()
    for i in range(first, last):
        key = records[i].key
        seen[key] += 1
        if seen[key] > rounds_max:
            return i
    return last
