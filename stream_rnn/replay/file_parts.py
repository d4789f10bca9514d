"""The files of a log: one file, or a directory of parts, as Spark and Hive write it.

The parts of a directory are read in the natural order of their names: part-2 precedes part-10.
Names that begin with ``_`` or ``.``, and checksums, are no parts.  A folder such as ``day=7`` adds
the column ``day`` to its rows.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from stream_rnn.errors import ConfigError
from stream_rnn.replay import avro_files, delimited, json_files
from stream_rnn.replay.text_files import is_compressed, strip_suffix

Kind = Literal["json", "delimited", "parquet", "avro"]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(json_files.SUFFIXES, "json"),
    **dict.fromkeys(delimited.SUFFIXES, "delimited"),
    ".parquet": "parquet",
    **dict.fromkeys(avro_files.SUFFIXES, "avro"),
}
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
NO_PARTS = (".crc",)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log.

    Attributes:
        path: Path of the file.
        kind: Kind of its content.
        folders: Texts of the columns that its folders add; ``None`` for a missing value.
    """

    path: Path
    kind: Kind
    folders: dict[str, str | None] = field(default_factory=dict)


def list_parts(path: Path, what: str = "log") -> list[Part]:
    """Return the files of a log, in the order in which they are read.

    Args:
        path: Path of a file or a directory.
        what: Kind of the rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: The file does not exist or is empty, its name states no format, or a directory
            contains no parts or parts of several formats.
    """
    try:
        if not path.is_dir():
            kind = _kind_of(path, what)
            if not path.stat().st_size:
                raise ConfigError(f"cannot read the {what} {path}: the file is empty")
            return [Part(path, kind)]
        files = [file for file in path.rglob("*") if _is_part(file.relative_to(path), file)]
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from error
    if not files:
        raise ConfigError(f"cannot read the {what} {path}: the directory contains no part")
    files.sort(key=lambda file: natural_order(file.relative_to(path)))
    parts = [Part(file, _kind_of(file, what), _folders(file.relative_to(path))) for file in files]
    other = next((part for part in parts if part.kind != parts[0].kind), None)
    if other is not None:
        raise ConfigError(
            f"cannot read the {what} {path}: {parts[0].path} and {other.path} have different "
            "formats; a directory contains parts of one format"
        )
    return parts


def natural_order(path: Path) -> list[tuple[str, int, str]]:
    """Return the key that sorts paths by name, and the numbers in them by value.

    Example:
        >>> [
        ...     str(p)
        ...     for p in sorted(map(Path, ("day=10/a", "day=9/b", "day=9/a")), key=natural_order)
        ... ]
        ['day=9/a', 'day=9/b', 'day=10/a']
    """
    pieces = re.findall(r"([^0-9]*)([0-9]*)", "\0".join(path.parts))
    return [(text, int(number or -1), number) for text, number in pieces]


def _is_part(name: Path, file: Path) -> bool:
    is_hidden = any(part.startswith(("_", ".")) for part in name.parts)
    is_empty_or_other = is_hidden or name.suffix in NO_PARTS or not file.is_file()
    return not is_empty_or_other and file.stat().st_size > 0


def _kind_of(path: Path, what: str) -> Kind:
    kind = KINDS.get(strip_suffix(path).suffix.lower())
    if kind is None or (kind in ("parquet", "avro") and is_compressed(path)):
        subject = "a log is a" if what == "log" else f"{what} are a"
        raise ConfigError(
            f"{path}: {subject} .jsonl, .csv, .parquet or .avro file, or a directory of them; .csv and "
            ".jsonl may be compressed by gzip or zstd"
        )
    return kind


def _folders(name: Path) -> dict[str, str | None]:
    """Return the columns and values that the folders of a part state."""
    pairs = [folder.partition("=") for folder in name.parts[:-1] if "=" in folder]
    return {
        unquote(column): None if value == NULL_FOLDER else unquote(value)
        for column, _, value in pairs
    }
