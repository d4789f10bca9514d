"""Files as bytes and as text: decompression by magic bytes, encodings, and where reading fails.

A file that begins with the magic bytes of gzip or zstd is decompressed, whatever its name is.  A
byte order mark decides the encoding, whatever the spec says.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stream_rnn.errors import ConfigError, reason
from stream_rnn.model.byte_order_marks import bom_encoding

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
CHUNK_BYTES = 1 << 20
BUFFER_BYTES = 1 << 17
OTHER_FORMATS = {  # magic bytes, and what to do with such a file
    b"PK\x03\x04": "it is a zip archive, or a workbook of Excel; unpack it, or save it as CSV",
    b"BZh": "it is compressed by bzip2; decompress it by bunzip2, or compress it by gzip or zstd",
    b"\xfd7zXZ\0": "it is compressed by xz; decompress it by unxz, or compress it by gzip or zstd",
    b"PAR1": "it is a Parquet file; give it a name that ends in .parquet",
    b"\xd0\xcf\x11\xe0": "it is a workbook of an old Excel (.xls); save it as CSV",
    b"SQLite f": "it is a database of SQLite; export the table as CSV",
    b"ARROW1": "it is a file of Arrow (Feather); write it as Parquet",
    b"\x04\x22\x4d\x18": "it is compressed by lz4; decompress it, or compress it by gzip or zstd",
    b"\x89HDF": "it is an HDF5 file; write the table as Parquet or CSV",
    b"Obj\x01": "it is an Avro container file; give it a name that ends in .avro",
}


class _DamagedError(OSError):
    """Compressed bytes that are not valid."""


class _ZstdReader(io.RawIOBase):
    """The decompressed bytes of a zstd file, which may consist of several frames.

    Unlike the stream reader of ``zstandard``, it raises an error for a file that ends in a frame.
    """

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard  # noqa: PLC0415  # only a zstd file needs it

        self._file, self._new_frame = file, zstandard.ZstdDecompressor().decompressobj
        self._zstd_error = zstandard.ZstdError
        self._frame = self._new_frame()
        self._ready = memoryview(b"")
        self._rest = b""  # compressed bytes of the next frame
        self._is_in_frame = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._rest or self._file.read(BUFFER_BYTES)
            self._rest = b""
            if not block:
                if self._is_in_frame:
                    raise EOFError("Compressed file ended before the end of a zstd frame")
                return 0
            self._is_in_frame = True
            try:
                self._ready = memoryview(self._frame.decompress(block))
            except self._zstd_error as error:
                raise _DamagedError(reason(error)) from error
            if self._frame.eof:
                self._rest = self._frame.unused_data
                self._frame, self._is_in_frame = self._new_frame(), False
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, and decompress it if it is compressed.

    Raises:
        ConfigError: It is an archive, or a format that is no text.
    """
    file = path.open("rb", CHUNK_BYTES)
    head = file.read(8)
    file.seek(0)
    if remedy := describe_magic(head):
        file.close()
        raise ConfigError(f"cannot read {path}: {remedy}")
    if head.startswith(GZIP):
        file.close()
        return gzip.open(path)  # type: ignore[return-value]  # it has all methods
    if head.startswith((ZSTD, *ZSTD_SKIPPABLE)):
        return io.BufferedReader(_ZstdReader(file), CHUNK_BYTES)
    return file


def describe_magic(head: bytes) -> str:
    """Return what a file is that is no text, with the remedy, by its first bytes; empty for none."""
    return next((text for magic, text in OTHER_FORMATS.items() if head.startswith(magic)), "")


def is_compressed(path: Path) -> bool:
    """Return whether a file begins with the magic bytes of gzip or zstd."""
    with path.open("rb") as file:
        return file.read(4).startswith((GZIP, ZSTD, *ZSTD_SKIPPABLE))


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open a file as text, with the ends of its lines as they are.

    Args:
        path: Path of the file.
        encoding: Encoding of a file without a byte order mark.
    """
    file = open_bytes(path)
    encoding = bom_encoding(peek_bytes(file)) or encoding
    return io.TextIOWrapper(file, encoding, newline="")


def encoding_of(path: Path, encoding: str) -> str:
    """Return the encoding of a file: that of its byte order mark, else the one that is given."""
    with open_bytes(path) as file:
        return bom_encoding(peek_bytes(file)) or encoding


def strip_suffix(path: Path) -> Path:
    """Return a path without the extension of a compression.

    Example:
        >>> strip_suffix(Path("log.csv.gz")).name
        'log.csv'
    """
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


@contextmanager
def translated_errors(path: Path, what: str, encoding: str | None) -> Iterator[None]:
    """Turn the errors of reading a file into errors that state the file, the place and the remedy.

    Args:
        path: Path of the file.
        what: Kind of its rows, for messages: ``log`` or ``labels``.
        encoding: Encoding of a file without a byte order mark; ``None`` for JSON, which is UTF-8.

    Raises:
        ConfigError: The block could not read the file.
    """
    start = f"cannot read the {what} {path}: "
    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigError(start + _describe_byte(path, encoding, error)) from error
    except EOFError as error:
        raise ConfigError(
            f"{start}the compressed file ends early; it is incomplete, so copy or write it again"
        ) from error
    except (zlib.error, gzip.BadGzipFile, _DamagedError) as error:
        raise ConfigError(
            f"{start}the compressed file is damaged, so copy or write it again ({reason(error)})"
        ) from error
    except OSError as error:
        raise ConfigError(start + (error.strerror or reason(error))) from error


def peek_bytes(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file, which stay unread."""
    head: bytes = file.peek(4)[:4]  # type: ignore[attr-defined]  # all three kinds have it
    return head


def _describe_byte(path: Path, encoding: str | None, error: UnicodeDecodeError) -> str:
    """Return the place of the first byte that the encoding does not allow, and the remedy."""
    actual = encoding_of(path, encoding or "utf-8")
    decoder = codecs.getincrementaldecoder(actual)()
    offset, line = 0, 1
    with open_bytes(path) as file:
        while block := file.read(CHUNK_BYTES):
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(block).count("\n")
            except UnicodeDecodeError as found:
                error = found
                offset += found.start - pending
                line += found.object[: found.start].decode(actual, "ignore").count("\n")
                break
            offset += len(block)
    byte = error.object[error.start : error.start + 1].hex().upper()
    name = actual.removesuffix("-sig")
    other = _other_encoding(path, name)
    remedy = (
        f'name the encoding of the file in the spec, such as encoding = "{other}" in [file], or by '
        f"--encoding {other} of spec init"
    )
    if encoding is None:
        remedy = f"convert the file, as in iconv -f cp1252 -t utf-8 {path}"
    return f"byte 0x{byte} at offset {offset}, in line {line}, is not {name}; {remedy}"


def _other_encoding(path: Path, name: str) -> str:
    """Return the name of an encoding that a file may have in place of one that it has not."""
    if name.lower().replace("_", "-") in ("utf-8", "utf8"):
        return "cp1252"
    with open_bytes(path) as file:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(file.read(CHUNK_BYTES))
        except UnicodeDecodeError:
            return "cp932"
    return "utf-8"
