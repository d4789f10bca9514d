"""The parts of an output that differ from what should be there, each with both sides."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.replay.keys import describe_key
from stream_rnn.replay.letters import ALWAYS_KEPT, CHANGING

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
    and of a dead letter what was cut or may differ.
    """
    headers: tuple[Headers, Headers] = tuple(record.headers), tuple(expected.headers)
    is_cut = is_dead_letter and any(dict(some).get("sr-truncated") for some in headers)
    free: Collection[str] = CHANGING if is_dead_letter else {"sr-origin"}
    if is_cut:
        free = {name for some in headers for name, _ in some} - ALWAYS_KEPT
    found = []
    if record.timestamp_type != LOG_APPEND_TIME and record.timestamp != expected.timestamp:
        found.append(Difference("timestamp", str(record.timestamp), str(expected.timestamp)))
    if record.key != expected.key and not is_cut:
        found.append(Difference("key", _key(record.key), _key(expected.key)))
    one, other = ([h for h in some if h[0] not in free] for some in headers)
    if one != other:
        found.append(Difference("headers", *_headers(one, other)))
    if record.value != expected.value and not is_cut:
        found.append(_of_values(record.value, expected.value))
    return found


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
    return Difference(name, shown(one, first) or "none", shown(other, first) or "none")


def shown(value: bytes | None, first: int = 0) -> str | None:
    """Return a part of a value as text."""
    return None if value is None else value[first : first + SHOWN_BYTES].decode("utf-8", "replace")
