"""Avro container files: blocks of records with the schema of their writer in front.

A record becomes the JSON that the same event has in a topic, by the reader of framed records
(``formats/avro_content.py``), so a file and a topic give the same fold.  A file that is damaged is
an error that names the block and its offset: no row is lost silently.
"""

import json
import zlib
from bz2 import BZ2Decompressor
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from lzma import LZMADecompressor, LZMAError
from pathlib import Path
from typing import IO, Any

import orjson

from stream_rnn.errors import ConfigError, DecodeError, reason
from stream_rnn.formats.avro_content import CONTINUES, VARINT_BYTES_MAX, contents_reader
from stream_rnn.formats.avro_schema import SCHEMA_BYTES_MAX, AvroType, parse_avro
from stream_rnn.formats.logical import Moment
from stream_rnn.replay.other_content import describe_first_line
from stream_rnn.replay.text_files import describe_magic, translated_errors

SUFFIXES = (".avro",)
MAGIC = b"Obj\x01"
SYNC_BYTES = 16
HEAD_BYTES = 200
HEADER_ENTRIES_MAX = 10_000
BLOCK_BYTES_MAX = 1 << 28
DECOMPRESSED_BYTES_MAX = 1 << 30
RECORDS_PER_BATCH = 16_384
CRC_BYTES = 4


class _DamagedError(ValueError):
    """Bytes that are not those of a container file."""


@dataclass(slots=True)
class Container:
    """The header of a file.

    Attributes:
        root: Type of the records.
        codec: Name of the compression of the blocks.
        sync: Bytes that end each block.
        meta: All entries of the header.
    """

    root: AvroType
    codec: str
    sync: bytes
    meta: Mapping[str, bytes] = field(repr=False)


def read_container(path: Path, what: str = "log") -> Container:
    """Read the header of a file.

    Raises:
        ConfigError: The file cannot be read, or is no container file.
    """
    with translated_errors(path, what, None), path.open("rb") as file:
        return _read_header(file, path, what)


def read_avro_contents(path: Path, moment: Moment, what: str = "log") -> Iterator[list[Any]]:
    """Yield the contents of records, in batches.

    Args:
        path: Path of the file.
        moment: What a logical time becomes.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file cannot be read, is no container file, or is damaged.
    """
    with translated_errors(path, what, None), path.open("rb") as file:
        container = _read_header(file, path, what)
        read = contents_reader(container.root, moment)
        for number, (offset, count, data) in enumerate(_blocks(file, container, path, what), 1):
            contents = read(data, count)
            while True:
                batch: list[Any] = []
                try:
                    for content in contents:
                        batch.append(content)
                        if len(batch) == RECORDS_PER_BATCH:
                            break
                except ValueError as error:
                    why = f"a record is not of the schema ({reason(error)})"
                    raise _damaged(path, what, number, offset, why) from None
                if not batch:
                    break
                yield batch


def read_avro_values(path: Path, moment: Moment, what: str = "log") -> Iterator[list[bytes]]:
    """Yield records as JSON, in batches; see :func:`read_avro_contents`."""
    for contents in read_avro_contents(path, moment, what):
        yield list(map(as_json, contents))


def as_json(content: Any) -> bytes:
    """Return the JSON of a content, in which numbers that are not finite stay what they are."""
    try:
        text = orjson.dumps(content)
    except TypeError:  # an integer beyond 64 bits
        text = b"null"
    if b"null" not in text:  # which orjson also writes for NaN
        return text
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _read_header(file: IO[bytes], path: Path, what: str) -> Container:
    start = f"cannot read the {what} {path}: "
    head = file.read(HEAD_BYTES)
    if not head.startswith(MAGIC):
        other = "" if head.startswith(b"Obj") else describe_magic(head)
        other = other or describe_first_line(head.decode("latin-1"))
        raise ConfigError(start + (other or "it is no Avro container file, which begins with Obj"))
    file.seek(len(MAGIC))
    try:
        meta = _read_meta(file)
        sync = _take(file, SYNC_BYTES)
        root = parse_avro(meta.get("avro.schema", b"").decode())
    except (_DamagedError, UnicodeDecodeError) as error:
        raise ConfigError(f"{start}its header is damaged: {reason(error)}") from None
    except DecodeError as error:
        raise ConfigError(f"{start}{error}") from error
    codec = meta.get("avro.codec", b"null").decode("latin-1")
    if codec not in CODECS:
        known = ", ".join(CODECS)
        raise ConfigError(f"{start}its codec {codec[:64]!r} is not known; write it with {known}")
    return Container(root, codec, sync, meta)


def _read_meta(file: IO[bytes]) -> dict[str, bytes]:
    meta: dict[str, bytes] = {}
    while count := _varint(file):
        if count < 0:
            count = -count
            _varint(file)
        for _ in range(min(count, HEADER_ENTRIES_MAX + 1)):
            name = _take(file, _size(file)).decode("utf-8", "replace")
            meta[name] = _take(file, _size(file))
            if len(meta) > HEADER_ENTRIES_MAX:
                raise _DamagedError(f"it has more than {HEADER_ENTRIES_MAX} entries")
    return meta


def _blocks(
    file: IO[bytes], container: Container, path: Path, what: str
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the offset, the number of records and the decompressed bytes of each block."""
    decompress, number = CODECS[container.codec], 0
    while file.peek(1):  # type: ignore[attr-defined]  # a buffered reader has it
        number, offset = number + 1, file.tell()
        try:
            count, data = _read_block(file, container.sync)
            yield offset, count, decompress(data)
        except _DamagedError as error:
            raise _damaged(path, what, number, offset, reason(error)) from None


def _read_block(file: IO[bytes], sync: bytes) -> tuple[int, bytes]:
    count, size = _varint(file), _varint(file)
    if count < 0 or not 0 <= size <= BLOCK_BYTES_MAX:
        raise _DamagedError(f"{count} records in {size} bytes")
    data = _take(file, size)
    if _take(file, SYNC_BYTES) != sync:
        raise _DamagedError("the bytes behind it are not the sync marker of the file")
    return count, data


def _damaged(path: Path, what: str, number: int, offset: int, why: str) -> ConfigError:
    return ConfigError(
        f"cannot read the {what} {path}: block {number} at offset {offset} is damaged: {why}; copy "
        "or write the file again"
    )


def _take(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _DamagedError("the file ends in it")
    return data


def _size(file: IO[bytes]) -> int:
    size = _varint(file)
    if not 0 <= size <= SCHEMA_BYTES_MAX:
        raise _DamagedError(f"an entry has {size} bytes")
    return size


def _varint(file: IO[bytes]) -> int:
    result = 0
    for number in range(VARINT_BYTES_MAX):
        byte = _take(file, 1)[0]
        result |= (byte & 0x7F) << 7 * number
        if byte < CONTINUES:
            return (result >> 1) ^ -(result & 1)
    raise _DamagedError("an integer does not end")


def _null(data: bytes) -> bytes:
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) > DECOMPRESSED_BYTES_MAX:
        raise _DamagedError(f"it has more than {DECOMPRESSED_BYTES_MAX} bytes, decompressed")
    return data


def _deflate(data: bytes) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = _bounded(stream.decompress(data, DECOMPRESSED_BYTES_MAX + 1))
    except zlib.error as error:
        raise _DamagedError(f"it does not decompress ({reason(error)})") from None
    if not stream.eof:
        raise _DamagedError("it does not decompress (its stream does not end)")
    return found


def _by_stream(make: Callable[[], Any]) -> Callable[[bytes], bytes]:
    def decompress(data: bytes) -> bytes:
        stream = make()
        try:
            found: bytes = _bounded(stream.decompress(data, DECOMPRESSED_BYTES_MAX + 1))
        except (OSError, EOFError, LZMAError) as error:
            raise _DamagedError(f"it does not decompress ({reason(error)})") from None
        if not stream.eof:
            raise _DamagedError("it does not decompress (its stream does not end)")
        return found

    return decompress


def _snappy(data: bytes) -> bytes:
    """Decompress a block of Snappy, which ends in the CRC of what is in it."""
    import cramjam  # noqa: PLC0415  # only such a file needs it

    body, crc = data[:-CRC_BYTES], data[-CRC_BYTES:]
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > DECOMPRESSED_BYTES_MAX:
            raise _DamagedError(f"it has {size} bytes, decompressed")
        found = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise _DamagedError(f"it does not decompress ({reason(error)})") from None
    if zlib.crc32(found).to_bytes(CRC_BYTES, "big") != crc:
        raise _DamagedError("its checksum is wrong")
    return found


def _zstandard(data: bytes) -> bytes:
    import zstandard  # noqa: PLC0415  # only such a file needs it

    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            return _bounded(stream.read(DECOMPRESSED_BYTES_MAX + 1))
    except zstandard.ZstdError as error:
        raise _DamagedError(f"it does not decompress ({reason(error)})") from None


CODECS: Mapping[str, Callable[[bytes], bytes]] = {
    "null": _null,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _by_stream(BZ2Decompressor),
    "xz": _by_stream(LZMADecompressor),
}
"""Functions that decompress a block, by the name of the codec."""
