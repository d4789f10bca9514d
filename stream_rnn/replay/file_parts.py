"""The files of a log: one file, or a directory of parts, as Spark and Hive write it.

The parts of a directory are read in the natural order of their names: part-2 precedes part-10.
Names that begin with ``_`` or ``.``, and checksums, are no parts.  A folder such as ``day=7`` adds
the column ``day`` to its rows.  A directory with the same events twice is refused: a table of Delta
Lake and the like, which keeps files that it has replaced, and a file beside its compressed copy.
"""

import re
from collections.abc import Sequence
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
TABLES = {  # a name in a table's directory, and the kind of the table
    "_delta_log": "a table of Delta Lake",
    ".hoodie": "a table of Hudi",
    "_spark_metadata": "the output of Spark's structured streaming",
}


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
        entries = list(path.rglob("*"))
        _refuse_table(path, entries, what)
        files = [file for file in entries if _is_part(file.relative_to(path), file)]
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
    _refuse_copies(path, files, what)
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


def _refuse_table(path: Path, entries: Sequence[Path], what: str) -> None:
    """Refuse a directory whose files are not all part of the table that it holds.

    Raises:
        ConfigError: It is such a table, or one of its partitions.
    """
    folder = path.resolve()
    roots = [folder]
    while "=" in folder.name:
        folder = folder.parent
        roots.append(folder)
    known = [root / name for root in roots for name in TABLES if (root / name).is_dir()]
    inner = [entry for entry in entries if entry.name in TABLES and entry.is_dir()]
    iceberg = [e for e in entries if e.match("metadata/*.metadata.json")]
    iceberg += [e for root in roots[1:] for e in root.glob("metadata/*.metadata.json")]
    marks = [*known, *inner, *iceberg]
    if marks:
        kind = TABLES.get(marks[0].name, "a table of Iceberg")
        raise ConfigError(
            f"cannot read the {what} {path}: {marks[0]} shows {kind}, whose directory also keeps "
            "files that were replaced or never committed, so events would be read twice; write the "
            "table's current state as Parquet to another directory, as Spark's write.parquet does"
        )


def _refuse_copies(path: Path, files: Sequence[Path], what: str) -> None:
    """Refuse parts of which one is the compressed copy of another.

    Raises:
        ConfigError: Two parts differ only in the extension of a compression.
    """
    seen: dict[Path, Path] = {}
    for file in files:
        other = seen.setdefault(strip_suffix(file), file)
        if other != file:
            raise ConfigError(
                f"cannot read the {what} {path}: {other} and {file} differ only in the extension of "
                "a compression, so events would be read twice; remove one, or rename it if it has "
                "other events"
            )


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
