"""The parts in which a published output differs from the expected one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_rnn.audit.dead_letter_table import HEADERS, KEY, VALUE, is_code_for
from stream_rnn.audit.dead_letters import (
    FOLD_HEADERS,
    VARIABLE_HEADERS,
    cut_parts,
    cut_to_size,
    has_valid_names,
    worker_headers,
)
from stream_rnn.audit.digests import is_cut_over, is_origin
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.keys import describe_key

SHOWN_BYTES = 2000
BEFORE_BYTES = 40  # shown before the first byte that differs

Headers = Sequence[tuple[str, bytes | None]]


class Difference(NamedTuple):
    """One part that differs.

    Attributes:
        name: "timestamp", "key", "headers", "value", or "value from byte N on".
        published: The published part as text.
        replayed: The expected part as text.
    """

    name: str
    published: str
    replayed: str


def differences(
    record: ConsumerRecord, expected: Message, *, is_dead_letter: bool = False
) -> list[Difference]:
    """Return the parts that differ; the value, which is long, comes last.

    Headers are compared one by one, and only those that differ are named.  A timestamp that the
    broker set is not compared, nor are those headers of dead letters that may differ.  If a part
    was cut, it must be the beginning of the expected part.

    Args:
        record: The published output.
        expected: The output of the replay, of which nothing was cut.
        is_dead_letter: Whether the output is a dead letter.
    """
    if is_dead_letter:
        cut, ignored, headers = _dead_letter_rules(record, expected)
    else:
        headers_read, cut, headers = dict(record.headers), 0, expected.headers
        ignored = set() if _is_false_origin(headers_read, expected) else {"sr-origin"}
    parts = []
    if record.timestamp_type != LOG_APPEND_TIME and record.timestamp != expected.timestamp:
        parts.append(Difference("timestamp", str(record.timestamp), str(expected.timestamp)))
    if not _is_equal(record.key, expected.key, is_cut=bool(cut & KEY)):
        parts.append(Difference("key", _format_key(record.key), _format_key(expected.key)))
    published = [
        header for header in record.headers if header[0] not in ignored and not is_cut_over(*header)
    ]
    replayed = [header for header in headers if header[0] not in ignored]
    if published != replayed:
        parts.append(Difference("headers", *_header_differences(published, replayed)))
    if not _is_equal(record.value, expected.value, is_cut=bool(cut & VALUE)):
        parts.append(_compare_values(record.value, expected.value))
    return parts


def _is_false_origin(headers_read: Mapping[str, bytes | None], expected: Message) -> bool:
    offset = int(dict(expected.headers)["sr-offset"] or b"")
    return not is_origin(headers_read.get("sr-origin"), offset)


def _dead_letter_rules(record: ConsumerRecord, expected: Message) -> tuple[int, set[str], Headers]:
    """Return the parts that were cut, the headers to ignore, and the expected headers."""
    headers_read, expected_headers = dict(record.headers), dict(expected.headers)
    ignored = set(VARIABLE_HEADERS)
    if not has_valid_names(headers_read, int(expected_headers["sr-offset"] or b"")):
        ignored -= (
            {"sr-origin"}
            if all(name in headers_read for name in FOLD_HEADERS)
            else set(FOLD_HEADERS)
        )
    codes = (
        (headers.get("sr-error") or b"").decode() for headers in (headers_read, expected_headers)
    )
    if is_code_for(*codes):
        ignored |= {"sr-error"}
    cut, headers = cut_parts(headers_read), expected.headers
    own_headers = worker_headers(headers)
    is_cut = bool((cut or 0) & HEADERS)
    must_cut = bool((cut_parts(expected_headers) or 0) & HEADERS)
    could_cut = must_cut or len(own_headers) < len(headers)
    if cut is None or is_cut > could_cut or must_cut > is_cut:
        ignored -= {"sr-truncated"}
    return cut or 0, ignored, own_headers if is_cut else headers


def _is_equal(published: bytes | None, replayed: bytes | None, *, is_cut: bool) -> bool:
    """Return whether a key or value is the expected one, or its beginning if it was cut."""
    if is_cut and published is not None:
        return published == cut_to_size(replayed, len(published))
    return published == replayed


def _format_key(key: bytes | None) -> str:
    return "none" if key is None else describe_key(key)


def _header_differences(published: Headers, replayed: Headers) -> tuple[str, str]:
    """Return the headers that the other side lacks, or all headers if only their order differs."""
    surplus = [header for header in published if header not in replayed]
    missing = [header for header in replayed if header not in published]
    if not surplus and not missing:
        surplus, missing = list(published), list(replayed)
    return _format_headers(surplus), _format_headers(missing)


def _format_headers(headers: Headers) -> str:
    text = " ".join(
        f"{name}={'none' if value is None else value[:SHOWN_BYTES].decode('utf-8', 'replace')}"
        for name, value in headers
    )
    return text[:SHOWN_BYTES] or "none"


def _compare_values(published: bytes | None, replayed: bytes | None) -> Difference:
    """Return the difference of two values; equal beginnings of long values are not shown."""
    first = 0
    left, right = published or b"", replayed or b""
    if None not in (published, replayed) and left[:SHOWN_BYTES] == right[:SHOWN_BYTES]:
        pairs = enumerate(zip(left, right, strict=False))
        differs = (index for index, (a, b) in pairs if a != b)
        first = next(differs, min(len(left), len(right))) - BEFORE_BYTES
    name = f"value from byte {first} on" if first else "value"
    return Difference(
        name,
        printable_bytes(published, first) or "none",
        printable_bytes(replayed, first) or "none",
    )


def printable_bytes(value: bytes | None, first: int = 0) -> str | None:
    """Return up to ``SHOWN_BYTES`` of a value as text."""
    return None if value is None else value[first : first + SHOWN_BYTES].decode("utf-8", "replace")
