"""Record keys as text, for command lines and output."""

import base64
import binascii
import difflib
from collections.abc import Iterable

from stream_rnn.errors import ConfigError, reason

BASE64 = "base64:"
HEX = "hex:"
INTEGERS = {"int32:": 4, "int64:": 8}
"""Prefix of a big-endian integer, as Java's Integer and Long are serialized -> its bytes."""

KEY_FORMS = (
    "text, or base64:, hex:, int32: or int64: followed by the bytes in that form; int64:7 is the "
    "key that Java's LongSerializer writes"
)
"""The forms of a key on the command line, for messages."""

_PREFIXES = (BASE64, HEX, *INTEGERS)

COMPARED_CHARACTERS = 100
SHOWN_CHARACTERS = 60


def parse_key(text: str) -> bytes:
    r"""Return the bytes of a key that a person typed.

    Args:
        text: The key as text, or one of these prefixes and the bytes of the key: ``base64:``,
            ``hex:``, or ``int32:`` and ``int64:`` for big-endian integers, which Java's
            IntegerSerializer and LongSerializer write.

    Raises:
        ConfigError: The key cannot be encoded, or the part after the prefix is invalid.

    Example:
        >>> parse_key("UA-EWR"), parse_key("base64:/w=="), parse_key("hex:00ff")
        (b'UA-EWR', b'\xff', b'\x00\xff')
        >>> parse_key("int32:7"), parse_key("int64:-1")
        (b'\x00\x00\x00\x07', b'\xff\xff\xff\xff\xff\xff\xff\xff')
    """
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), None)
    if prefix is None:
        try:
            return text.encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise ConfigError(f"key {text!r} cannot be encoded: {error.reason}") from error
    rest = text.removeprefix(prefix)
    try:
        if prefix == BASE64:
            return base64.b64decode(rest, validate=True)
        return bytes.fromhex(rest) if prefix == HEX else _encode_integer(rest, INTEGERS[prefix])
    except (binascii.Error, ValueError, OverflowError) as error:
        kind = {BASE64: "base64", HEX: "hexadecimal"}.get(
            prefix, f"an integer of {INTEGERS.get(prefix)} bytes"
        )
        literally = BASE64 + base64.b64encode(text.encode(errors="replace")).decode()
        raise ConfigError(
            f"key {text!r}: the part after {prefix} is not {kind}: {reason(error)}; if the key is "
            f"this text itself, write {literally}"
        ) from error


def _encode_integer(text: str, size: int) -> bytes:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        raise ValueError("it has other characters than digits, or too many")
    return int(text).to_bytes(size, "big", signed=True)


def describe_key(key: bytes) -> str:
    r"""Return a key as text that ``parse_key`` accepts.

    Example:
        >>> describe_key(b"UA-EWR"), describe_key(b"\xff"), describe_key(b"base64:x")
        ('UA-EWR', 'base64:/w==', 'base64:YmFzZTY0Ong=')
    """
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable() and not text.startswith(_PREFIXES):
        return text
    return BASE64 + base64.b64encode(key).decode()


def shorten(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """Return a text whose middle is cut out if it is longer than ``characters``.

    Example:
        >>> shorten("a key that is rather long", 11)
        'a key\N{HORIZONTAL ELLIPSIS} long'
    """
    if len(text) <= characters:
        return text
    head = characters // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (characters - head - 1) :]}"


def similar_keys(key: bytes, keys: Iterable[bytes]) -> list[bytes]:
    """Return at most three keys whose text resembles that of ``key``; case is ignored."""
    texts = {_compared(other): other for other in sorted(keys, reverse=True)}
    close = difflib.get_close_matches(_compared(key), texts, n=3, cutoff=0.6)
    return [texts[text] for text in close]


def _compared(key: bytes) -> str:
    return describe_key(key)[:COMPARED_CHARACTERS].casefold()
