"""Record keys as text, for command lines and output."""

import base64
import binascii
import difflib
from collections.abc import Iterable

from stream_rnn.errors import ConfigError, reason

BASE64 = "base64:"
COMPARED_CHARACTERS = 100
SHOWN_CHARACTERS = 60


def parse_key(text: str) -> bytes:
    r"""Return the bytes of a key that a person typed: as text, or as ``base64:`` and base64.

    Raises:
        ConfigError: The key cannot be encoded, or is not base64 after ``base64:``.

    Example:
        >>> parse_key("UA-EWR"), parse_key("base64:/w==")
        (b'UA-EWR', b'\xff')
    """
    if not text.startswith(BASE64):
        try:
            return text.encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise ConfigError(f"key {text!r} cannot be encoded: {error.reason}") from error
    try:
        return base64.b64decode(text.removeprefix(BASE64), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            f"key {text!r}: the part after {BASE64} is not base64: {reason(error)}"
        ) from error


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
    if text and text.isprintable() and not text.startswith(BASE64):
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


def similar_keys(key: bytes, keys: Iterable[bytes]) -> list[str]:
    """Return at most three keys whose text resembles that of ``key``; case is ignored."""
    texts = {_compared(other): describe_key(other) for other in sorted(keys, reverse=True)}
    close = difflib.get_close_matches(_compared(key), texts, n=3, cutoff=0.6)
    return [texts[text] for text in close]


def _compared(key: bytes) -> str:
    return describe_key(key)[:COMPARED_CHARACTERS].casefold()
