"""What an output says, as digests that are compared."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import orjson


def digest_of(value: bytes | None) -> int:
    """Return 64 bits of a value's hash."""
    return int.from_bytes(blake2b(value or b"", digest_size=8).digest(), "little")


def content_of(value: bytes | None) -> dict[str, Any]:
    """Return what a prediction says; nothing if it is none."""
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def frame_of(
    content: Mapping[str, Any],
    key: bytes | None,
    timestamp: int | None,
    headers: Iterable[tuple[str, bytes]],
) -> int:
    """Return a digest of all that is the same whatever the memory holds.

    That is the record's key, timestamp and headers but the origin, and of the content all but
    steps, cold and numerics; of the outputs their shape.
    """
    outputs = content.get("outputs")
    shape = {k: sorted(v) if isinstance(v, dict) else None for k, v in outputs.items()} if isinstance(outputs, dict) else None  # fmt: skip
    free = {"outputs", "steps", "cold", "numerics"}
    kept = {name: value for name, value in content.items() if name not in free}
    try:
        said = orjson.dumps([kept, shape], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deeply
        said = b""
    about = [(name, text) for name, text in headers if name != "sr-origin"]
    return digest_of(b"%b %b" % (said, repr((key, timestamp, about)).encode()))


def is_origin(text: bytes | None, offset: int) -> bool:
    """Tell whether a header can name the origin of the fold that read a source offset."""
    try:
        origin = int(text or b"")
    except ValueError:
        return False
    return text == b"%d" % origin and 0 <= origin <= offset
