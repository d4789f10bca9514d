"""The first rows of a delimited log, whose parts are joined by the names of their columns.

The fold reads the columns of each part by its own header, and all parts by one ``[file]``.  So a
column that a part lacks is missing in its rows, and parts that no single ``[file]`` reads are
refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stream_rnn.errors import ConfigError
from stream_rnn.model.file_format import FileFormat
from stream_rnn.replay.delimited import for_suffix, read_text_rows
from stream_rnn.replay.file_parts import Part
from stream_rnn.replay.text_files import open_bytes, translated_errors
from stream_rnn.spec.sniffing import SniffedFormat, Sniffer

HEAD_BYTES = 1 << 20
NAMES_SHOWN = 6
_ESCAPE = re.compile(r"\\(t|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")  # as a shell passes it on


@dataclass(slots=True)
class TextTable:
    """The first R rows of a delimited log.

    Attributes:
        log: Path of the log.
        format: Format of all parts.
        options: Options of the format that are not their defaults.
        reasons: Reasons for these options, and remarks, a sentence each.
        cells: The R texts of each column, by its name; ``None`` in the rows of a part without it.
        rows: Number of rows.
        unnamed: Numbers, from 1, of the columns of the first part that have no name.
    """

    log: Path
    format: FileFormat = field(default_factory=FileFormat)
    options: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    cells: dict[str, list[str | None]] = field(default_factory=dict)
    rows: int = 0
    unnamed: tuple[int, ...] = ()
    _evidence: dict[str, tuple[str, object]] = field(default_factory=dict)
    _lacking: dict[str, list[str]] = field(default_factory=dict)
    _parts: list[str] = field(default_factory=list)

    def add(self, part: Part, rows_max: int, given: Mapping[str, Any]) -> None:
        """Add the rows of a part.

        Args:
            part: The part.
            rows_max: Largest number of rows of the table.
            given: Options of the format that need not be guessed.

        Raises:
            ConfigError: The part cannot be read, shares no column with the parts before it, or has
                another format.
        """
        with translated_errors(part.path, "log", None), open_bytes(part.path) as file:
            head = file.read(HEAD_BYTES)
        self._add_format(part, head, dict(given))
        batches = read_text_rows(part.path, self.format)
        first = next(batches)
        folders = {n: text for n, text in part.folders.items() if n not in first.names}
        name = self._name(part)
        if self._parts:
            self._check_header(name, first.names)
        else:
            self.unnamed = first.unnamed
        names = [*first.names, *folders]
        before = self.rows
        for new in (n for n in names if n not in self.cells):
            self.cells[new] = [None] * before
            self._lacking[new] = list(self._parts)
        for absent in self.cells.keys() - set(names):
            self._lacking[absent].append(name)
        self._parts.append(name)
        for batch in batches:
            taken = batch.rows[: rows_max - self.rows]
            for i, column in enumerate(first.names):
                self.cells[column] += [row[i] for row in taken]
            self.rows += len(taken)
            if self.rows >= rows_max:
                break
        for column, cells in self.cells.items():
            cells.extend([folders.get(column)] * (self.rows - len(cells)))

    def notes(self) -> list[str]:
        """Return which columns some parts lack, as a sentence."""
        lacking = {column: parts for column, parts in self._lacking.items() if parts}
        if not lacking:
            return []
        listed = [
            f"{column} is not in {_list_some(parts)}"
            for column, parts in list(lacking.items())[:NAMES_SHOWN]
        ]
        more = f"; and {len(lacking) - NAMES_SHOWN} more" * (len(lacking) > NAMES_SHOWN)
        note = (
            f"Of {len(self._parts)} parts, some lack columns that others have, whose values are "
            f"missing there: {'; '.join(listed)}{more}. If a column was renamed, write one name; a "
            "column of the key or of the event time must be in every part."
        )
        return [note]

    def _name(self, part: Part) -> str:
        return str(part.path if part.path == self.log else part.path.relative_to(self.log))

    def _add_format(self, part: Part, head: bytes, given: dict[str, Any]) -> None:
        """Sniff the format of a part, and join it with that of the parts before it."""
        if self._parts:
            given["delimiter"] = for_suffix(part.path, self.format).delimiter
            given |= {"columns": self.format.columns} if self.format.columns else {}
        elif for_suffix(part.path, FileFormat()) != FileFormat():
            given.setdefault("delimiter", "\t")
        try:
            sniffed = Sniffer(head, given).sniff()
        except ConfigError as error:
            place = part.path if self._parts else self.log
            raise ConfigError(f"cannot read the log {place}: {error}") from error
        if not self._parts:
            self.format, self.options = sniffed.format, dict(sniffed.options)
            self.reasons += sniffed.reasons
        self._join_format(self._name(part), sniffed)

    def _join_format(self, name: str, sniffed: SniffedFormat) -> None:
        for option, value in sniffed.evidence.items():
            other, before = self._evidence.setdefault(option, (name, value))
            if value != before:
                raise self._differ(option, (other, before), (name, value))
            if getattr(self.format, option) != value:
                self.options[option] = value
                self.reasons += [f"In {name}: {r}" for r in sniffed.reasons if r.startswith(option)]
        try:
            self.format = FileFormat.model_validate(self.options)
        except ValidationError as error:  # one mark separates thousands here and decimals there
            marks = self._evidence["decimal"], self._evidence["thousands"]
            raise self._differ("decimal", *marks) from error

    def _differ(self, option: str, one: tuple[str, object], two: tuple[str, object]) -> ConfigError:
        return ConfigError(
            f"cannot read the log {self.log}: the parts {one[0]} and {two[0]} have no {option} in "
            f"common: {one[1]!r} and {two[1]!r}; [file] of a spec holds for all parts, so write them "
            f"alike, or give --{option} if this is a wrong guess"
        )

    def _check_header(self, name: str, names: Sequence[str]) -> None:
        """Refuse a part that has none of the columns of the parts before it.

        Raises:
            ConfigError: It has none.
        """
        if not set(names) & self.cells.keys():
            raise ConfigError(
                f"cannot read the log {self.log}: the first line of {name} is {_list_some(names)}, and "
                f"names no column of {self._parts[0]} ({_list_some(list(self.cells))}). Each part "
                "needs the header line, which split writes to the first part alone: add it to the "
                "others, or join the parts to one file"
            )


def read_text_table(
    log: Path, parts: Sequence[Part], rows: int, given: Mapping[str, Any]
) -> TextTable:
    """Return the first rows of a delimited log.

    Args:
        log: Path of the log.
        parts: Its parts.
        rows: Maximum number of rows to read.
        given: Options of ``[file]`` that need not be guessed.

    Raises:
        ConfigError: A part cannot be read, or parts have nothing in common.
    """
    given = dict(given)
    if _ESCAPE.fullmatch(delimiter := str(given.get("delimiter", ""))):
        given["delimiter"] = delimiter.encode().decode("unicode_escape")
    table = TextTable(log)
    for part in parts:
        table.add(part, rows, given)
        if table.rows >= rows:
            break
    return table


def _list_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}"
