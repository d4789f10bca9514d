"""Dead letters: skipped records with headers for the reason and the place of the record."""

from collections.abc import Sequence

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message

HEADER_BYTES_MAX = 65_536
REASON_BYTES_MAX = 500
RESERVED_BYTES = 8192  # for the added headers, and for the header of the record batch
LENGTHS_BYTES = 10  # of the two lengths that a header has: of its name and of its value
ADDED_PREFIX, RENAMED_PREFIX = "sr-", "sr-record-"


def dead_letter_header_name(name: str) -> str:
    """Return the name that a header of a record has in the dead letter.

    Recovery reads headers with the prefix ``sr-``, so a producer of events must not be able to
    write them: they get the prefix ``sr-record-``.

    Example:
        >>> (
        ...     dead_letter_header_name("trace"),
        ...     dead_letter_header_name("sr-app"),
        ...     record_header_name("sr-record-app"),
        ...     record_header_name("trace"),
        ... )
        ('trace', 'sr-record-app', 'sr-app', 'trace')
    """
    return (
        RENAMED_PREFIX + name.removeprefix(ADDED_PREFIX) if name.startswith(ADDED_PREFIX) else name
    )


def record_header_name(name: str) -> str | None:
    """Return the name that a header of a dead letter has in the record; ``None`` if added."""
    if name.startswith(RENAMED_PREFIX):
        return ADDED_PREFIX + name.removeprefix(RENAMED_PREFIX)
    return None if name.startswith(ADDED_PREFIX) else name


def dead_letter(
    record: Record,
    error: RecordError,
    topic: str,
    partition: int,
    bytes_max: int,
    batch_bytes_max: int,
    fold_headers: Sequence[tuple[str, bytes]] = (),
) -> Message:
    """Build the dead letter of a record, truncated so that it can be published.

    Args:
        record: Record that is skipped.
        error: Reason for the skip.
        topic: Source topic.
        partition: Source partition.
        bytes_max: Maximum bytes of the key and of the value.
        batch_bytes_max: Maximum bytes of a record batch, which must include the dead letter.
        fold_headers: Headers with app and fold.  Only a dead letter in a transaction has them:
            there it proves that everything before it is published.

    A header of the record that begins with ``sr-`` becomes ``sr-record-...``.  ``sr-truncated``
    lists the truncated parts among ``key``, ``value`` and ``headers``; it is empty if the record is
    complete.  ``sr-size`` is the full size of the value in bytes, or -1 for a null value.
    """
    key, value = record.key, record.value
    headers = [(dead_letter_header_name(name), text) for name, text in record.headers]
    truncated: list[str] = []
    free_bytes = batch_bytes_max - RESERVED_BYTES
    header_bytes = sum(map(_size, headers))
    if header_bytes > min(HEADER_BYTES_MAX, free_bytes // 2):
        headers, header_bytes = [], 0
        truncated = ["headers"]
    free_bytes -= header_bytes
    if value is not None and len(value) > min(bytes_max, free_bytes // 2):
        value, truncated = value[: min(bytes_max, free_bytes // 2)], ["value", *truncated]
    if key is not None and len(key) > min(bytes_max, free_bytes // 2):
        key, truncated = key[: min(bytes_max, free_bytes // 2)], ["key", *truncated]
    added = {
        "sr-error": error.code,
        "sr-reason": str(error),
        "sr-topic": topic,
        "sr-partition": str(partition),
        "sr-offset": str(record.offset),
        "sr-timestamp": str(record.timestamp),
        "sr-size": str(-1 if record.value is None else len(record.value)),
        "sr-truncated": ",".join(truncated),
    }
    headers += [
        (name, text[:REASON_BYTES_MAX].encode("ascii", "backslashreplace")[:REASON_BYTES_MAX])
        for name, text in added.items()
    ]
    headers += fold_headers
    if key is None and value is None:
        value = b""  # a Kafka producer refuses a record with neither key nor value
    return Message(key, value, record.timestamp, headers)


def _size(header: tuple[str, bytes | None]) -> int:
    """Return an upper bound of a header's bytes in a record batch."""
    name, text = header
    return len(name.encode()) + len(text or b"") + LENGTHS_BYTES
