"""Near spellings of a record key: other bytes that serializers and people write for the same key.

A key that is not found is usually there in another form: as JSON text, as the eight bytes of a
Java Long, with a blank at its end.  The candidates are a few hundred keys, whose existence is
cheap to test, so nobody has to read all keys.
"""

import base64
import json
import re
import struct
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Literal
from urllib.parse import unquote

from stream_rnn.errors import ConfigError
from stream_rnn.key_wrappers import unquote_text, unwrap
from stream_rnn.keys import INTEGERS, describe_key, parse_key, shorten

CANDIDATES_MAX = 1000
READ_BYTES_MAX = 256  # a longer key has no other spelling
FRAME_BYTES = 5  # a zero byte and the schema id, big-endian
FRAMES_MAX = 8
WRAPPERS_MAX = 8
DOUBLES = (1e-6, 1e15)  # other eight bytes are hardly a number that somebody writes
ZEROS_TO = 12
DASHES_MAX = 4
NAMED_MAX = 5
UNICODE_FORMS: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}\.[0-9]{1,19}")
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
        text = repr(shorten(self.name)) + (f" ({self.how})" if self.how else "")
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
        if (wrapped := unwrap(key)) is not None and len(wrapped[0]) <= READ_BYTES_MAX:
            readings.append((wrapped[0], "without what is around it"))
        for reading, what in readings:
            self._texts.setdefault(reading)
            for spelling, how in _writings(reading):
                self._add(spelling, how or what)
            for payload in _payloads(reading):
                self._payloads.setdefault(payload, "framed by a schema registry")
        for raw in _raw_readings(key) if len(key) <= READ_BYTES_MAX else ():
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
        wrappers = dict.fromkeys(found[1] for key in stored if (found := unwrap(key)) is not None)
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
            wrapped = unwrap(other)
            return wrapped[1].how if wrapped is not None and wrapped[0] in self._texts else None
        return f"framed by a schema registry, schema id {int.from_bytes(frame[1:], 'big')}"


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
    for raw in _raw_readings(key):
        for text, _ in _decodings(raw):
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
        number = struct.unpack(_FLOATS[len(key)], key)[0]
        if DOUBLES[0] <= abs(number) <= DOUBLES[1]:
            text = f"{number:.{15 if len(key) == 8 else 7}g}"
            if "e" not in text and struct.pack(_FLOATS[len(key)], float(text)) == key:
                yield text, "as decimal text"


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
        for spelling, how in _texts(text):
            yield spelling.encode(), how
        for encoding in ("utf-16-le", "utf-16-be", "utf-16"):
            yield text.encode(encoding), "in UTF-16"
        for encoding in () if text.isascii() else ("latin-1", "cp1252"):
            yield text.encode(encoding, "replace"), f"in {encoding}"
    if _INTEGER.fullmatch(text):
        yield from _integers(int(text))
    if _INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text):
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


def _texts(text: str) -> Iterator[tuple[str, str]]:
    yield text, ""
    yield json.dumps(text), "as JSON text"
    yield json.dumps(text, ensure_ascii=False), "as JSON text"
    yield f"'{text}'", "in single quotes"
    yield f"b'{text}'", "as Python writes bytes"
    yield text.lower(), "in lower case"
    yield text.upper(), "in upper case"
    yield text.title(), "in title case"
    for form in UNICODE_FORMS:
        yield unicodedata.normalize(form, text), f"in Unicode's form {form}"
    for end in ("\n", "\r\n", "\r", "\0"):
        yield text + end, "with a line end or a NUL at its end"
    for before, after in (("", " "), (" ", ""), (" ", " "), ("", "\t"), ("\t", ""), ("\ufeff", "")):
        yield before + text + after, "with a blank or a byte order mark"
    yield text.encode(errors="replace").hex(), "in hexadecimal"
    yield text.encode(errors="replace").hex().upper(), "in hexadecimal"
    yield base64.b64encode(text.encode(errors="replace")).decode(), "in base64"
    yield from _numbers(text)
    yield from _escapes(text)
    with suppress(ValueError):
        each = uuid.UUID(text)
        for spelling in (str(each), each.hex, f"{{{each}}}", str(each).upper()):
            yield spelling, "as a UUID"


def _numbers(text: str) -> Iterator[tuple[str, str]]:
    """Yield numbers of the same value: with leading zeros, or with another number of decimals."""
    if _INTEGER.fullmatch(text):
        sign = text[:1] if text[0] in "+-" else ""
        digits = text.lstrip("+-")
        bare = digits.lstrip("0") or "0"
        sign = sign.replace("+", "")
        yield sign + bare, "without leading zeros"
        for width in range(len(bare) + 1, ZEROS_TO + 1):
            yield sign + bare.zfill(width), "with leading zeros"
        yield f"{sign}{bare}.0", "with decimals"
    elif _DECIMAL.fullmatch(text):
        bare = text.rstrip("0")
        yield bare.rstrip("."), "without decimals"
        yield (bare + "0" if bare.endswith(".") else bare), "with fewer decimals"
        decimals = len(bare) - bare.index(".") - 1
        for count in range(decimals + 1, decimals + 4):
            yield bare + "0" * (count - decimals), "with more decimals"


def _escapes(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield composite keys in which ``-`` and ``\`` inside of a part are escaped, or are not."""
    if "\\" in text:
        yield re.sub(r"\\(.)", r"\1", text), "without escapes"
        yield text.replace("\\", "\\\\"), "with escapes"
    dashes = [match.start() for match in re.finditer("-", text)][: DASHES_MAX + 1]
    if not 0 < len(dashes) <= DASHES_MAX:
        return
    for count in range(1, len(dashes) + 1):
        for chosen in combinations(dashes, count):
            escaped = "".join("\\" * (at in chosen) + each for at, each in enumerate(text))
            yield escaped, "with escapes, as a part of a composite key"


def _payloads(text: str) -> Iterator[bytes]:
    """Yield what follows the frame of a registry: Avro's text and number, JSON, text, integers."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    yield _varint(2 * len(data)) + data
    yield json.dumps(text).encode()
    yield data
    if _INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
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
