"""The entries of a zip file, whose sizes are checked before one of them is read."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_rnn.errors import BundleError, reason

ENTRIES_MAX = 4_000


@contextmanager
def open_zip(path: Path, bytes_max: int, what: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose entries have at most ``bytes_max`` bytes, uncompressed.

    Args:
        path: Path of the file.
        bytes_max: Maximum of the bytes of all entries.
        what: Kind of file, for messages, such as ``a .keras file``.

    Raises:
        BundleError: The file is no zip, or its entries are too many or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > ENTRIES_MAX or size > bytes_max:
                raise BundleError(
                    f"{path} has {len(entries)} entries with {size} bytes; {what} may have "
                    f"{ENTRIES_MAX} entries with {bytes_max} bytes"
                )
            if any(entry.flag_bits & 1 for entry in entries):
                raise BundleError(f"{path} is encrypted; save it without a password")
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BundleError(f"{path} is not {what}, or is damaged: {reason(error)}") from error


def read_entry(archive: zipfile.ZipFile, name: str, place: Path) -> bytes:
    """Read an entry, never more bytes than its directory states.

    Raises:
        BundleError: There is no such entry, or it is damaged.
    """
    try:
        size = archive.getinfo(name).file_size
        with archive.open(name) as entry:
            content = entry.read(size)
            if len(content) == size and not entry.read(1):
                return content
    except KeyError:
        raise BundleError(f"{place} contains no {name}; save it again") from None
    raise BundleError(f"{place}: {name} does not have the size that the file states; save it again")
