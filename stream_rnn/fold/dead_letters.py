"""A dead letter: the record that was skipped, with headers that say what, why and where."""

from collections.abc import Sequence

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message

HEADER_BYTES_MAX = 65_536
REASON_BYTES_MAX = 500
OWN_BYTES_MAX = (
    8192  # our headers, names of topics and app among them, and what a batch begins with
)
LENGTHS_BYTES = 10  # of a header: its name's and its value's
OURS, OF_RECORD = "sr-", "sr-record-"


def kept_name(name: str) -> str:
    """Return what a header of the record is called in its dead letter: ``sr-`` is ours alone.

    Recovery reads ``sr-`` headers; a producer of events must not be able to write them.

    Example:
        >>> kept_name("trace"), kept_name("sr-app"), own_name("sr-record-app"), own_name("trace")
        ('trace', 'sr-record-app', 'sr-app', 'trace')
    """
    return OF_RECORD + name.removeprefix(OURS) if name.startswith(OURS) else name


def own_name(name: str) -> str | None:
    """Return what a header of a dead letter was called in the record; ``None`` if it is ours."""
    if name.startswith(OF_RECORD):
        return OURS + name.removeprefix(OF_RECORD)
    return None if name.startswith(OURS) else name


def dead_letter(
    record: Record,
    error: RecordError,
    topic: str,
    partition: int,
    bytes_max: int,
    batch_bytes_max: int,
    more: Sequence[tuple[str, bytes]] = (),
) -> Message:
    """Make the dead letter of a record; small enough to be published, whatever the record.

    Args:
        record: the record that is skipped.
        error: why.
        topic: the source topic.
        partition: the source partition.
        bytes_max: bytes that are kept of the key and of the value each.
        batch_bytes_max: of a record batch, into which the dead letter must fit.
        more: headers; app and fold, where the dead letter leaves in one transaction with all that
            comes before it, so that recovery may take it for a sign of that.

    A header of the record that begins with ``sr-`` is kept as ``sr-record-...``.
    ``sr-truncated`` names what was cut: ``key``, ``value`` and ``headers``; it is empty if the
    record is whole.  ``sr-size`` is the true size of the value in bytes, -1 if there is none.
    """
    key, value = record.key, record.value
    headers = [(kept_name(name), text) for name, text in record.headers]
    cut: list[str] = []
    room = batch_bytes_max - OWN_BYTES_MAX
    header_bytes = sum(map(_size, headers))
    if header_bytes > min(HEADER_BYTES_MAX, room // 2):
        headers, header_bytes = [], 0
        cut = ["headers"]
    room -= header_bytes
    if value is not None and len(value) > min(bytes_max, room // 2):
        value, cut = value[: min(bytes_max, room // 2)], ["value", *cut]
    if key is not None and len(key) > min(bytes_max, room // 2):
        key, cut = key[: min(bytes_max, room // 2)], ["key", *cut]
    said = {
        "sr-error": error.code,
        "sr-reason": str(error),
        "sr-topic": topic,
        "sr-partition": str(partition),
        "sr-offset": str(record.offset),
        "sr-timestamp": str(record.timestamp),
        "sr-size": str(-1 if record.value is None else len(record.value)),
        "sr-truncated": ",".join(cut),
    }
    headers += [
        (name, text[:REASON_BYTES_MAX].encode("ascii", "backslashreplace")[:REASON_BYTES_MAX])
        for name, text in said.items()
    ]
    headers += more
    if key is None and value is None:
        value = b""  # a Kafka producer refuses a record of nothing
    return Message(key, value, record.timestamp, headers)


def _size(header: tuple[str, bytes | None]) -> int:
    """Return the bytes of a header in a record batch, or a few more."""
    name, text = header
    return len(name.encode()) + len(text or b"") + LENGTHS_BYTES
