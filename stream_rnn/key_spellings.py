"""Near spellings of a record key: other bytes that serializers and people write for the same key.

A key that is not found is usually there in another form: as JSON text, as the eight bytes of a
Java Long, with a blank at its end.  The candidates are a few hundred keys, whose existence is
cheap to test, so nobody has to read all keys.
"""

import base64
import json
import re
import struct
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from stream_rnn.errors import ConfigError
from stream_rnn.key_texts import DECIMAL, INTEGER, plain_texts, spell_text
from stream_rnn.key_wrappers import unquote_text, unwrap
from stream_rnn.keys import INTEGERS, describe_key, parse_key, shorten

CANDIDATES_MAX = 1000
READ_BYTES_MAX = 256  # a longer key has no other spelling
FRAME_BYTES = 5  # a zero byte and the schema id, big-endian
FRAMES_MAX = 8
WRAPPERS_MAX = 12
DOUBLES = (1e-6, 1e15)  # other eight bytes are hardly a number that somebody writes
NAMED_MAX = 5

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[nrtab\\\"])")
_FLOATS = {4: ">f", 8: ">d"}
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "\\": "\\", '"': '"'}


@dataclass(frozen=True, slots=True)
class NearKey:
    """A stored key that may be the key that somebody looks for.

    Attributes:
        key: Bytes of the stored key.
        how: Difference to the key that was looked for; empty if only the texts resemble each other.
        partitions: Partitions that contain the stored key; empty if they are not known.
    """

    key: bytes
    how: str
    partitions: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The key as it may be typed: an integer as a number, if it differs by that."""
        for prefix, size in INTEGERS.items():
            if self.how == _integer_form(size):
                return f"{prefix}{int.from_bytes(self.key, 'big', signed=True)}"
        return describe_key(self.key)

    def __str__(self) -> str:
        """Return the name, the difference and the partitions."""
        is_text = self.name == self.key.decode(errors="replace")
        number = "" if is_text or self.name.startswith((*INTEGERS,)) else _float_text(self.key)
        details = ", ".join(filter(None, (self.how, number and f"the number {number}")))
        text = repr(shorten(self.name)) + (f" ({details})" if details else "")
        return f"{text} in {format_partitions(self.partitions)}" if self.partitions else text


def format_partitions(partitions: Iterable[int]) -> str:
    """Return partitions as text, with ranges for neighbours.

    Example:
        >>> format_partitions([3]), format_partitions([0, 1, 2, 5]), format_partitions([4, 5])
        ('partition 3', 'partitions 0 to 2 and 5', 'partitions 4 and 5')
    """
    runs: list[list[int]] = []
    for number in sorted(set(partitions)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [
        word
        for run in runs
        for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))
    ]
    text = " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return f"partition{'s'[: len(words) > 1 or len(runs[0]) > 1]} {text}"


def list_near_keys(keys: Iterable[NearKey]) -> str:
    """Return near keys as text, at most ``NAMED_MAX`` of them."""
    names = [str(key) for key in keys]
    more = len(names) - NAMED_MAX
    return "; ".join(names[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")


class Spellings:
    """The near spellings of a key.

    Args:
        key: The key that somebody looks for.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hows: dict[bytes, str] = {}
        self._payloads: dict[bytes, str] = {}
        self._texts: dict[str, None] = {}
        readings = [*_readings(key)] if len(key) <= READ_BYTES_MAX else []
        readings += [
            (text, "without what is around it")
            for text, _ in unwrap(key)
            if len(text) <= READ_BYTES_MAX
        ]
        for reading, what in readings:
            self._texts.setdefault(reading)
            for spelling, how in _writings(reading):
                self._add(spelling, how or what)
            for payload in _payloads(reading):
                self._payloads.setdefault(payload, "framed by a schema registry")
        for raw in _raw_readings(key) if len(key) <= READ_BYTES_MAX else ():
            if not (key.isdigit() and raw.isdigit()):  # digits are a number, and it is another
                self._add(raw, "as bytes")

    def _add(self, spelling: bytes, how: str) -> None:
        if spelling and spelling != self._key and len(self._hows) < CANDIDATES_MAX:
            self._hows.setdefault(spelling, how)

    def candidates(self, stored: Iterable[bytes] = ()) -> list[bytes]:
        """Return the keys whose existence is worth a test.

        Args:
            stored: Some keys of the store, whose schema ids may also frame the key, and whose
                objects of JSON and prefixes may be around it.
        """
        stored = [*stored]
        wrappers = dict.fromkeys(wrapper for key in stored for _, wrapper in unwrap(key))
        wrapped = [
            key
            for wrapper in [*wrappers][:WRAPPERS_MAX]
            for text in self._texts
            for key in wrapper.wrap(text)
            if self.describe(key)
        ]
        frames = dict.fromkeys(frame for key in stored if (frame := frame_of(key)))
        framed = [frame + load for frame in [*frames][:FRAMES_MAX] for load in self._payloads]
        keys = dict.fromkeys([*self._hows, *[*wrapped, *framed][:CANDIDATES_MAX]])
        return [key for key in keys if key != self._key]

    def describe(self, other: bytes) -> str | None:
        """Return the difference of another key to this one; ``None`` if it is no near spelling."""
        if other == self._key:
            return None
        if (how := self._hows.get(other)) is not None:
            return how
        frame = frame_of(other)
        if frame is None or other[FRAME_BYTES:] not in self._payloads:
            hows = [wrapper.how for text, wrapper in unwrap(other) if text in self._texts]
            return next(iter(hows), None) or self._describe_characters(other)
        return f"framed by a schema registry, schema id {int.from_bytes(frame[1:], 'big')}"

    def _describe_characters(self, other: bytes) -> str | None:
        """Return the difference of a key that looks the same; ``None`` if it looks different."""
        if len(other) > READ_BYTES_MAX:
            return None
        try:
            text = other.decode()
        except UnicodeDecodeError:
            return None
        for changed, how in plain_texts(text):
            if changed in self._texts:
                return how
        return None


def frame_of(key: bytes) -> bytes | None:
    """Return the bytes with which a schema registry frames a key; ``None`` without a frame."""
    is_framed = len(key) > FRAME_BYTES and key[0] == 0 and any(key[1:FRAME_BYTES])
    return key[:FRAME_BYTES] if is_framed else None


def _integer_form(size: int) -> str:
    name = {4: "a Java Integer, ", 8: "a Java Long, "}.get(size, "")
    return f"as {name}a big-endian integer of {size} bytes"


def _readings(key: bytes) -> Iterator[tuple[str, str]]:
    """Yield the texts that a key may mean, and the name of the difference to the key."""
    for text, what in _decodings(key):
        yield text, what
        if (stripped := text.strip("\0 \t\r\n\ufeff")) != text:
            yield stripped, "without blanks at its ends"
        for inner in unquote_text(stripped):
            yield inner, "without quotes"
        if "%" in text:
            yield unquote(text), "without percent-encoding"
        yield from plain_texts(text)
    for raw in _raw_readings(key):
        for text, _ in _decodings(raw):
            if not (key.isdigit() and text.isdigit()):
                yield text, "decoded"


def _decodings(key: bytes) -> Iterator[tuple[str, str]]:
    texts = [(key, "utf-8", "as text")]
    if len(key) % 2 == 0 and b"\0" in key:
        texts += [(key, "utf-16-le", "as UTF-8"), (key, "utf-16-be", "as UTF-8")]
    if frame_of(key):
        texts += [(key[at:], "utf-8", "without its frame") for at in (FRAME_BYTES, FRAME_BYTES + 1)]
    for data, encoding, what in texts:
        try:
            yield data.decode(encoding), what
        except UnicodeDecodeError:
            continue
    if len(key) in INTEGERS.values():
        yield str(int.from_bytes(key, "big", signed=True)), "as decimal text"
        if (text := _float_text(key)) is not None:
            yield text.removesuffix(".0"), "as decimal text"


def _float_text(key: bytes) -> str | None:
    """Return the number of a Java Double or Float, such as ``3.0``; ``None`` if it is hardly one."""
    if len(key) not in _FLOATS:
        return None
    number = struct.unpack(_FLOATS[len(key)], key)[0]
    if not DOUBLES[0] <= abs(number) <= DOUBLES[1]:
        return None
    text = f"{number:.{15 if len(key) == 8 else 7}g}"
    is_exact = "e" not in text and struct.pack(_FLOATS[len(key)], float(text)) == key
    return (text if "." in text else f"{text}.0") if is_exact else None


def _raw_readings(key: bytes) -> Iterator[bytes]:
    """Yield the bytes that a key may be the text of: hexadecimal, base64, redis-cli's escapes."""
    try:
        text = key.decode().strip()
    except UnicodeDecodeError:
        return
    with suppress(ValueError):
        yield bytes.fromhex(text.removeprefix("0x").removeprefix("\\x"))
    with suppress(ValueError):  # binascii.Error is one
        yield base64.b64decode(text, validate=True)
    if _ESCAPE.search(text):
        inner = text[1:-1] if text[:1] == text[-1:] == '"' else text
        parts = _ESCAPE.sub(_unescape, inner)
        yield parts.encode("latin-1", "replace")


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] == "x" else _ESCAPED[code]


def _writings(text: str) -> Iterator[tuple[bytes, str]]:
    """Yield the spellings of a text with the name of each; the text itself has no name."""
    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        for spelling, how in spell_text(text):
            yield spelling.encode(), how
        for encoding in ("utf-16-le", "utf-16-be", "utf-16"):
            yield text.encode(encoding), "in UTF-16"
        for encoding in () if text.isascii() else ("latin-1", "cp1252"):
            yield text.encode(encoding, "replace"), f"in {encoding}"
    if INTEGER.fullmatch(text):
        yield from _integers(int(text))
    if INTEGER.fullmatch(text) or DECIMAL.fullmatch(text):
        yield struct.pack(">d", float(text)), "as a Java Double, a big-endian float of 8 bytes"
        yield struct.pack(">f", float(text)), "as a Java Float, a big-endian float of 4 bytes"
    with suppress(ValueError):
        yield uuid.UUID(text).bytes, "as the 16 bytes of a UUID"


def _integers(number: int) -> Iterator[tuple[bytes, str]]:
    for size in (8, 4, 2):
        with suppress(OverflowError):
            big_endian = number.to_bytes(size, "big", signed=True)
            yield big_endian, _integer_form(size)
            yield big_endian[::-1], f"as a little-endian integer of {size} bytes"


def _payloads(text: str) -> Iterator[bytes]:
    """Yield what follows the frame of a registry: Avro's text and number, JSON, text, integers."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    yield _varint(2 * len(data)) + data
    yield json.dumps(text).encode()
    yield data
    if INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        yield _varint((int(text) << 1) ^ (int(text) >> 63))
        for prefix in INTEGERS:
            try:
                yield parse_key(f"{prefix}{int(text)}")
            except ConfigError:
                continue


def _varint(number: int) -> bytes:
    """Return a number that is not negative in Avro's variable length."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
