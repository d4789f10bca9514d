"""Files of JSON: lines, each of which is a record, or one array, whose elements are records.

A line becomes the value of a record unchanged; the decoder skips a line that is not JSON.  An
element of an array keeps its own text, too, and is read without the rest of the array.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from stream_rnn.errors import ConfigError
from stream_rnn.model.byte_order_marks import bom_encoding
from stream_rnn.replay.other_content import describe_lines, describe_value
from stream_rnn.replay.text_files import (
    encoding_of,
    open_bytes,
    open_text,
    peek_bytes,
    translated_errors,
)

SUFFIXES = (".jsonl", ".ndjson", ".json")
BYTES_A_BATCH = 2_000_000
LINES_A_BATCH = 16_384
HEAD_BYTES = 1 << 20
CHUNK_CHARS = 1 << 20
ELEMENT_CHARS_MAX = 1 << 27
BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def read_json_values(path: Path, what: str = "log") -> Iterator[list[bytes]]:
    """Yield the values of the records of a file, in batches.

    Args:
        path: Path of the file, which may be compressed.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file cannot be read, or its array is not complete, or its objects extend
            over several lines.
    """
    with translated_errors(path, what, None):
        encoding = encoding_of(path, "utf-8")
        if _is_array(path, what):
            yield from _read_array(path, what)
        elif encoding in ("utf-8", "utf-8-sig"):
            with open_bytes(path) as file:
                if encoding == "utf-8-sig":
                    file.read(len(BOM_UTF8))
                while lines := file.readlines(BYTES_A_BATCH):
                    yield [line for line in map(bytes.strip, lines) if line]
        else:
            with open_text(path, encoding) as text:
                while texts := list(islice(text, LINES_A_BATCH)):
                    yield [line.encode() for line in map(str.strip, texts) if line]


def _is_array(path: Path, what: str) -> bool:
    """Return whether a file is one array, by its first characters.

    Lines of which the first is an array and others follow are lines: the decoder skips the first.

    Raises:
        ConfigError: The file is empty, its first object extends over several lines, or its lines
            are of another format.
    """
    with open_bytes(path) as file:
        encoding = bom_encoding(peek_bytes(file)) or "utf-8"
        start = file.read(HEAD_BYTES).decode(encoding, "replace").strip()
    if not start:
        raise ConfigError(f"cannot read the {what} {path}: the file is empty")
    first, _, rest = start.partition("\n")
    if first.strip() == "{":
        raise ConfigError(
            f"cannot read the {what} {path}: its objects extend over several lines; write one "
            f"object a line: jq -c . {path}"
        )
    if first.startswith("{") and (found := describe_value(first.encode())):
        raise ConfigError(f"cannot read the {what} {path}: its first line has {found}")
    if found := describe_lines(start):
        raise ConfigError(f"cannot read the {what} {path}: {found}")
    return first.startswith("[") and not (rest.strip() and _is_json(first))


def _is_json(line: str) -> bool:
    try:
        _DECODER.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_array(path: Path, what: str) -> Iterator[list[bytes]]:
    """Yield the elements of an array, in batches.

    Raises:
        ConfigError: The file ends in the array, or something else follows an element.
    """
    with open_text(path, "utf-8") as text:
        array = iter(_Array(text, path, what))
        while elements := list(islice(array, LINES_A_BATCH)):
            yield elements


class _Array:
    """The elements of a JSON array, each as its own text; holds one element and a chunk."""

    def __init__(self, text: IO[str], path: Path, what: str) -> None:
        self._text, self._path, self._what = text, path, what
        self._buffer, self._at, self._line = "", 0, 1
        self._is_at_end = False
        self._skip_blanks()
        self._at += 1  # the bracket
        self._is_first = True

    def __iter__(self) -> Iterator[bytes]:
        while True:
            mark = self._skip_blanks()
            if mark == "]":
                self._at += 1
                if self._skip_blanks():
                    raise self._error("more text follows the array")
                return
            if not self._is_first:
                if mark != ",":
                    raise self._error("a comma or ] must follow an element")
                self._at += 1
                self._skip_blanks()
            self._is_first = False
            yield self._read_element().encode()

    def _read_element(self) -> str:
        chars = CHUNK_CHARS
        while True:
            try:
                end = _DECODER.raw_decode(self._buffer, self._at)[1]
                if end < len(self._buffer) or self._is_at_end:  # a number may go on
                    element, self._at = self._buffer[self._at : end], end
                    return element
            except (ValueError, RecursionError):
                if self._is_at_end or len(self._buffer) - self._at > ELEMENT_CHARS_MAX:
                    raise self._error("an element is not JSON, or the file ends in it") from None
            self._read(chars)
            chars *= 2  # so that a long element is not parsed many times

    def _skip_blanks(self) -> str:
        """Skip blanks, and return the character after them; empty at the end of the file."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in BLANKS:
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._is_at_end:
                return ""
            self._read(CHUNK_CHARS)

    def _read(self, chars: int) -> None:
        """Drop what was read, and add a chunk to the buffer."""
        self._line += self._buffer.count("\n", 0, self._at)
        chunk = self._text.read(chars)
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        self._is_at_end = len(chunk) < chars

    def _error(self, cause: str) -> ConfigError:
        line = self._line + self._buffer.count("\n", 0, self._at)
        return ConfigError(
            f"cannot read the {self._what} {self._path}: line {line} of its JSON array: {cause}; "
            f"mend the file, or write one object a line: jq -c '.[]' {self._path}"
        )
