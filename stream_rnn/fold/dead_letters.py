"""A dead letter: the record that was skipped, with headers that say what, why and where."""

from collections.abc import Sequence

from stream_rnn.errors import RecordError
from stream_rnn.fold.events import Record
from stream_rnn.fold.output_batches import Message

HEADER_BYTES_MAX = 65_536
REASON_CHARACTERS_MAX = 500
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
    more: Sequence[tuple[str, bytes]] = (),
) -> Message:
    """Make the dead letter of a record; small enough to be published, whatever the record.

    Args:
        record: the record that is skipped.
        error: why.
        topic: the source topic.
        partition: the source partition.
        bytes_max: bytes that are kept of the key and of the value each.
        more: headers; app and fold, where the dead letter leaves in one transaction with all that
            comes before it, so that recovery may take it for a sign of that.

    A header of the record that begins with ``sr-`` is kept as ``sr-record-...``.
    ``sr-truncated`` names what was cut: ``key``, ``value`` and ``headers``; it is empty if the
    record is whole.  ``sr-size`` is the true size of the value in bytes, -1 if there is none.
    """
    key, value = record.key, record.value
    headers = [(kept_name(name), text) for name, text in record.headers]
    cut: list[str] = []
    if key is not None and len(key) > bytes_max:
        key, cut = key[:bytes_max], [*cut, "key"]
    if value is not None and len(value) > bytes_max:
        value, cut = value[:bytes_max], [*cut, "value"]
    if sum(len(name) + len(text or b"") for name, text in headers) > HEADER_BYTES_MAX:
        headers, cut = [], [*cut, "headers"]
    said = {
        "sr-error": error.code,
        "sr-reason": str(error)[:REASON_CHARACTERS_MAX],
        "sr-topic": topic,
        "sr-partition": str(partition),
        "sr-offset": str(record.offset),
        "sr-timestamp": str(record.timestamp),
        "sr-size": str(-1 if record.value is None else len(record.value)),
        "sr-truncated": ",".join(cut),
    }
    headers += [(name, text.encode("ascii", "backslashreplace")) for name, text in said.items()]
    headers += more
    if key is None and value is None:
        value = b""  # a Kafka producer refuses a record of nothing
    return Message(key, value, record.timestamp, headers)
