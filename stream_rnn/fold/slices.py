"""The bounds of a micro-batch, by which a fetch is cut into slices."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from stream_rnn.fold.decoder import Record
from stream_rnn.fold.publish_pace import PublishPace
from stream_rnn.settings import Settings


def slice_records(
    records: Sequence[Record],
    settings: Settings,
    state_bytes: int = 1,
    records_max: int | None = None,
    key_bytes_max: int | None = None,
    publish_from: int = 0,
    pace: PublishPace | None = None,
) -> Iterator[Sequence[Record]]:
    """Cut records into micro-batches, bounded in number, bytes and events of one key.

    A single record that exceeds the bytes is a micro-batch by itself.

    Args:
        records: Records of a fetch.
        settings: Bounds of a micro-batch.
        state_bytes: Bytes of one hidden state; n events write at most n states in one commit.
        records_max: Further bound of the number of records; ``None`` if there is none.
        key_bytes_max: Further bound of the bytes of all keys; ``None`` if there is none.  The load and
            the commit of forgets consist of keys alone.
        publish_from: First offset whose outputs are published.
        pace: Bound of the records that are not silent, read before each micro-batch; ``None`` for no bound.
    """
    silent = count_silent(records, publish_from)
    events_max = min(settings.batch_events_max, max(1, settings.commit_bytes_max // state_bytes))
    events_max = min(events_max, records_max or events_max)
    keys_max = min(settings.commit_bytes_max, key_bytes_max or settings.commit_bytes_max)
    first = 0
    while first < len(records):
        last = min(first + events_max, len(records))
        if pace is not None:
            last = min(last, max(first, silent) + pace.records_max)
        sizes = [len(r.value or b"") + len(r.key or b"") for r in records[first:last]]
        last = first + _within_bytes(sizes, settings.batch_bytes_max)
        if sum(sizes) > keys_max:
            sizes = [len(record.key or b"") for record in records[first:last]]
            last = first + _within_bytes(sizes, keys_max)
        if last - first > settings.rounds_max:
            last = _within_rounds(records, first, last, settings.rounds_max)
        yield records[first:last]
        first = last


def count_silent(records: Sequence[Record], publish_from: int) -> int:
    """Return the number of records below the first offset whose outputs are published."""
    return bisect_left(records, publish_from, key=lambda record: record.offset)


def _within_bytes(sizes: Sequence[int], bytes_max: int) -> int:
    """Return how many of some sizes fit into a bound, at least one."""
    if sum(sizes) <= bytes_max:
        return len(sizes)
    total_bytes = 0
    for i, size in enumerate(sizes):
        total_bytes += size
        if total_bytes > bytes_max and i:
            return i
    return len(sizes)


def _within_rounds(records: Sequence[Record], first: int, last: int, rounds_max: int) -> int:
    keys = [record.key for record in records[first:last]]
    if max(Counter(keys).values()) <= rounds_max:
        return last
    counts: Counter[bytes | None] = Counter()
    for i, key in enumerate(keys, first):
        counts[key] += 1
        if counts[key] > rounds_max:
            return i
    return last
