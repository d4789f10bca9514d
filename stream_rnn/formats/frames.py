"""Frames: which schema a record names, and where its body begins.

Serializers of a schema registry put a zero byte and the schema id before the body, or they put the
id, or a GUID, into a header and leave the value bare.  JSON never begins with a zero byte.
"""

from collections.abc import Sequence
from typing import NamedTuple

SCHEMA_HEADER = "__value_schema_id"
"""Header in which serializers of Confluent put the schema id instead."""
FRAME_BYTES = 5
"""Bytes before a value that a schema registry has framed: 0, and a schema id in 4 bytes."""
GUID_BYTES = 17
"""Bytes of a header whose first byte is :data:`GUID_VERSION`, before the GUID."""
GUID_VERSION = 1


class Frame(NamedTuple):
    """The schema of a record.

    Attributes:
        schema_id: Decimal number, or the 32 hexadecimal digits of a GUID.
        skip: Bytes of the value before its body.
        rest: Bytes of a header after the id, which name the message of a Protobuf schema.
    """

    schema_id: str
    skip: int
    rest: bytes | None = None


def frame_of(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Frame | None:
    r"""Return the frame of a record, ``None`` if it has none.

    Args:
        value: Value of the record.
        headers: Headers of the record.

    Example:
        >>> frame_of(b"\x00\x00\x00\x00\x07body", ()), frame_of(b"{}", ())
        (Frame(schema_id='7', skip=5, rest=None), None)
    """
    if headers:
        for name, header in headers:
            if name == SCHEMA_HEADER and (frame := _of_header(header or b"")):
                return frame
    if value[:1] == b"\0" and len(value) >= FRAME_BYTES:
        return Frame(_number(value), FRAME_BYTES)
    return None


def _of_header(header: bytes) -> Frame | None:
    if len(header) >= FRAME_BYTES and header[0] == 0:
        return Frame(_number(header), 0, header[FRAME_BYTES:])
    if len(header) >= GUID_BYTES and header[0] == GUID_VERSION:
        return Frame(header[1:GUID_BYTES].hex(), 0, header[GUID_BYTES:])
    return None


def _number(frame: bytes) -> str:
    return str(int.from_bytes(frame[1:FRAME_BYTES], "big"))
