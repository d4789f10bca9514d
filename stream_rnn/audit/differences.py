"""The parts of an output that differ from what should be there, each with both sides."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_rnn.audit.contents import is_origin
from stream_rnn.audit.dead_letter_table import HEADERS, KEY, VALUE
from stream_rnn.audit.dead_letters import CHANGING, NAMES, cut_of, cut_to, is_named_right, of_worker
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.keys import describe_key

SHOWN_BYTES = 2000
BEFORE_BYTES = 40  # that are shown before the first one that differs

Headers = Sequence[tuple[str, bytes | None]]


class Difference(NamedTuple):
    """One part that differs: value, timestamp, key or headers."""

    part: str
    published: str
    replayed: str


def differences(
    record: ConsumerRecord, expected: Message, *, is_dead_letter: bool = False
) -> list[Difference]:
    """Return the parts that differ; a value comes last, for it is long.

    Of headers only those that differ are named.  A timestamp is left out where it is the broker's,
    and of a dead letter what may differ; what was cut must be the beginning of what is expected, which
    is whole.
    """
    if is_dead_letter:
        cut, free, headers = _of_letter(record, expected)
    else:
        said, cut, headers = dict(record.headers), 0, expected.headers
        free = set() if _is_false_origin(said, expected) else {"sr-origin"}
    found = []
    if record.timestamp_type != LOG_APPEND_TIME and record.timestamp != expected.timestamp:
        found.append(Difference("timestamp", str(record.timestamp), str(expected.timestamp)))
    if not _is_kept(record.key, expected.key, is_cut=bool(cut & KEY)):
        found.append(Difference("key", _key(record.key), _key(expected.key)))
    one, other = ([h for h in some if h[0] not in free] for some in (record.headers, headers))
    if one != other:
        found.append(Difference("headers", *_headers(one, other)))
    if not _is_kept(record.value, expected.value, is_cut=bool(cut & VALUE)):
        found.append(_of_values(record.value, expected.value))
    return found


def _is_false_origin(said: Mapping[str, bytes | None], expected: Message) -> bool:
    offset = int(dict(expected.headers)["sr-offset"] or b"")
    return not is_origin(said.get("sr-origin"), offset)


def _of_letter(record: ConsumerRecord, expected: Message) -> tuple[int, set[str], Headers]:
    """Return what was cut, the headers that are not compared, and those that should be there."""
    said, right = dict(record.headers), dict(expected.headers)
    free = set(CHANGING)
    if not is_named_right(said, int(right["sr-offset"] or b"")):
        free -= {"sr-origin"} if all(name in said for name in NAMES) else set(NAMES)
    named, headers = cut_of(said), expected.headers
    own = of_worker(headers)
    is_cut, must_cut = bool((named or 0) & HEADERS), bool((cut_of(right) or 0) & HEADERS)
    could_cut = must_cut or len(own) < len(headers)
    if named is None or is_cut > could_cut or must_cut > is_cut:
        free -= {"sr-truncated"}
    return named or 0, free, own if is_cut else headers


def _is_kept(one: bytes | None, other: bytes | None, *, is_cut: bool) -> bool:
    """Tell whether a key or a value is the right one, or the beginning of it where it was cut."""
    return one == (cut_to(other, len(one)) if is_cut and one is not None else other)


def _key(key: bytes | None) -> str:
    return "none" if key is None else describe_key(key)


def _headers(one: Headers, other: Headers) -> tuple[str, str]:
    """Return the headers that the other side has not; all of them if only their order differs."""
    own, others = [h for h in one if h not in other], [h for h in other if h not in one]
    if not own and not others:
        own, others = list(one), list(other)
    return _named(own), _named(others)


def _named(headers: Headers) -> str:
    text = " ".join(
        f"{name}={'none' if value is None else value[:SHOWN_BYTES].decode('utf-8', 'replace')}"
        for name, value in headers
    )
    return text[:SHOWN_BYTES] or "none"


def _of_values(one: bytes | None, other: bytes | None) -> Difference:
    """Compare values; where their beginnings are equal, show them from before the difference."""
    first = 0
    if one is not None and other is not None and one[:SHOWN_BYTES] == other[:SHOWN_BYTES]:
        pairs = enumerate(zip(one, other, strict=False))
        differs = (at for at, (a, b) in pairs if a != b)
        first = next(differs, min(len(one), len(other))) - BEFORE_BYTES
    name = f"value from byte {first} on" if first else "value"
    return Difference(
        name, printable_bytes(one, first) or "none", printable_bytes(other, first) or "none"
    )


def printable_bytes(value: bytes | None, first: int = 0) -> str | None:
    """Return a part of a value as text."""
    return None if value is None else value[first : first + SHOWN_BYTES].decode("utf-8", "replace")
