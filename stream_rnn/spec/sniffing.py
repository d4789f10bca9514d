"""The format of a delimited text file, found from its first bytes.

Each finding has a reason and a confidence; where two answers fit, the finding names the other one.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pydantic import ValidationError

from stream_rnn.errors import ConfigError
from stream_rnn.model.file_format import BLANKS, MISSING_WORDS, FileFormat
from stream_rnn.replay.other_content import describe_first_line
from stream_rnn.replay.sep_line import named_delimiter
from stream_rnn.spec.date_formats import find_format
from stream_rnn.spec.encodings import find_encoding
from stream_rnn.spec.questions import Candidate, Question, format_confidence, refuse_to_choose
from stream_rnn.spec.short_headers import describe_short_header

LINES_TRIED = 500
DELIMITERS = (",", ";", "\t", "|", "\x01", BLANKS)  # in order of preference
DELIMITER_NAMES = dict(
    zip(
        DELIMITERS,
        ("comma", "semicolon", "tab", "bar", "Ctrl-A, as Hive writes it,", "whitespace"),
        strict=True,
    )
)
CONSISTENT_MIN = 0.9  # share of lines with the same number of fields
GROUP_MARKS = "'\u2019 \u00a0\u202f"  # between groups of digits, besides comma and point
_POINT = re.compile(r"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_BY_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(,\d+)?")
_BY_COMMAS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(\.\d+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?")


@dataclass(frozen=True, slots=True)
class SniffedFormat:
    """A format, and the reasons for it.

    Attributes:
        format: Format of the file.
        options: Options of the format that are not their defaults.
        reasons: Reasons for the options, a sentence each.
        evidence: Encoding, decimal mark and mark of thousands, as far as the text shows them.
    """

    format: FileFormat
    options: dict[str, object]
    reasons: tuple[str, ...]
    evidence: dict[str, object]


class Sniffer:
    """Finds the format of a text file.

    Args:
        head: First bytes of the file.
        given: Options of the format that need not be guessed.
    """

    def __init__(self, head: bytes, given: dict[str, object]) -> None:
        self._options = dict(given)
        self._reasons = [f"{name} = {value!r} is given." for name, value in given.items()]
        self._evidence: dict[str, object] = {}
        self._head = head

    def sniff(self) -> SniffedFormat:
        """Return the format.

        Raises:
            ConfigError: The file is no table, or an option is invalid.
        """
        self._validated()
        lines = [
            line for line in self._decode(self._head).splitlines()[:LINES_TRIED] if line.strip()
        ]
        named = named_delimiter(lines[0]) if lines else None
        if named is not None:
            self._take_delimiter(named, lines.pop(0))
        if not lines:
            raise ConfigError("the file has no line of text")
        if found := describe_first_line(lines[0]):
            raise ConfigError(found)
        delimiter = named or str(self._options.get("delimiter") or self._find_delimiter(lines))
        rows = split_lines(lines, delimiter)
        self._check_preamble(rows, delimiter, above=named is not None)
        if "columns" not in self._options:
            self._find_header(rows)
        cells = rows if self._options.get("columns") else rows[1:]
        if "decimal" not in self._options:
            columns = [[c.strip() for c in column if c] for column in zip_longest(*cells)]
            columns = self._without_groups(columns)
            _check_one_decimal_mark(columns)
            self._find_decimal([cell for column in columns for cell in column])
        return SniffedFormat(self._validated(), self._options, tuple(self._reasons), self._evidence)

    def _validated(self) -> FileFormat:
        """Return the format of the options.

        Raises:
            ConfigError: An option that is given is invalid.
        """
        try:
            return FileFormat.model_validate(self._options)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "".join(f"--{part} " for part in first["loc"][:1])
            message = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{name}{message}") from error

    def _set(self, name: str, value: object, confidence: float, reason: str) -> None:
        self._options[name] = value
        if name in ("decimal", "thousands"):
            self._evidence[name] = value
        self._reasons.append(f"{name}: {reason} ({format_confidence(confidence)}).")

    def _decode(self, head: bytes) -> str:
        """Return the text of the file; an incomplete last line is left out."""
        if given := self._options.get("encoding"):
            return _whole_lines(head.decode(str(given), "replace"))
        found = find_encoding(head)
        if found.reason:
            self._set("encoding", found.encoding, found.confidence, found.reason)
        if found.is_stated:
            self._evidence["encoding"] = found.encoding
        return _whole_lines(found.text)

    def _take_delimiter(self, named: str, line: str) -> None:
        """Take the delimiter that the first line names, whatever was given."""
        if not named:
            return
        self._options.pop("delimiter", None)
        if named == FileFormat().delimiter:
            self._reasons.append(f"delimiter: line 1, {line.strip()}, names the comma.")
        else:
            self._set("delimiter", named, 1.0, f"line 1, {line.strip()}, names it, and is no row")

    def _find_delimiter(self, lines: Sequence[str]) -> str:
        scored = []
        for delimiter in DELIMITERS:
            lengths = [len(row) for row in split_lines(lines, delimiter)]
            fields = max(set(lengths), key=lambda length: (lengths.count(length), length))
            table = lengths[lengths.index(fields) :]  # without lines above the table
            share = table.count(fields) / len(table)
            if fields > 1 and share >= CONSISTENT_MIN:
                is_whole = len(table) == len(lengths) and share == 1
                scored.append((is_whole, delimiter != BLANKS, fields, delimiter))
        if not scored:
            return ","
        scored.sort(key=lambda item: item[:3], reverse=True)
        *_, fields, best = scored[0]
        if best == ",":
            return best
        others = [DELIMITER_NAMES[item[3]] for item in scored[1:] if item[0] == scored[0][0]]
        reason = f"it separates {fields} fields in every line"
        if others:
            reason += f"; {' and '.join(others)} would give fewer"
        self._set("delimiter", best, 0.95 if not others else 0.85, reason)
        return best

    def _check_preamble(
        self, rows: Sequence[Sequence[str]], delimiter: str, *, above: bool
    ) -> None:
        """Refuse a file whose first lines belong to no table.

        Args:
            rows: Fields of the lines.
            delimiter: The delimiter between them.
            above: Whether a line that names the delimiter is above these lines.

        Raises:
            ConfigError: The first lines have another number of fields than all others.
        """
        fields = Counter(map(len, rows[1:])).most_common(1)
        if not fields or len(rows) < 3:
            return
        usual, count = fields[0]
        first = next((i for i, row in enumerate(rows) if len(row) == usual), 0)
        if first and count >= CONSISTENT_MIN * (len(rows) - first):
            if first == 1 and _is_short_header(rows, usual):
                raise ConfigError(describe_short_header(rows, usual, delimiter, 1 + above))
            first += above
            raise ConfigError(
                f"line {1 + above} has {len(rows[0])} fields and line {first + 1} has {usual}, "
                f"separated by {DELIMITER_NAMES.get(delimiter, repr(delimiter))}: the first {first} "
                f"lines are no part of the table. Remove them: tail -n +{first + 1} LOG"
            )

    def _find_header(self, rows: Sequence[Sequence[str]]) -> None:
        first, below = rows[0], rows[1:]
        typed = [_form(cell) for cell in first]
        names = [f"column_{i}" for i in range(1, len(first) + 1)]
        if not any(typed):
            values = [cell for i, cell in enumerate(first) if cell and _recurs(first, below, i)]
            if values and 2 * len(values) >= len(first):
                reason = (
                    f"texts of the first line, such as {values[0]}, are values of the lines below, "
                    "too, so the file has no header line; rename the columns here. If the first "
                    "line is one, leave out columns"
                )
                self._set("columns", names, 0.7, reason)
            return
        column_forms = [
            Counter(_form(row[i]) for row in below if len(row) > i) for i in range(len(first))
        ]
        alike = [
            bool(form) and column[form] > 0
            for form, column in zip(typed, column_forms, strict=True)
        ]
        if not any(alike) or _count_on([cell for cell in first if _form(cell)]):
            return
        reason = (
            f"the first line contains values such as {first[typed.index(next(filter(None, typed)))]}"
            ", as the lines below do, so the file has no header line; rename the columns here"
        )
        self._set("columns", names, 0.9, reason)

    def _without_groups(self, columns: Sequence[Sequence[str]]) -> list[list[str]]:
        """Find an apostrophe or a blank between groups of digits; return the cells without it."""
        present = [[cell for cell in cells if cell not in MISSING_WORDS] for cells in columns]
        marks = GROUP_MARKS if "thousands" not in self._options else ""
        for mark in marks:
            grouped = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{mark}\d{{3}})+(?:[.,]\d+)?")
            found = [
                cells
                for cells in present
                if any(map(grouped.fullmatch, cells))
                and all(grouped.fullmatch(cell) or _NUMBER.fullmatch(cell) for cell in cells)
            ]
            if found:
                example = next(cell for cell in found[0] if grouped.fullmatch(cell))
                name = "apostrophes" if mark in "'\u2019" else "blanks"
                reason = f"numbers such as {example} have {name} between groups of three digits"
                self._set("thousands", mark, 0.85, reason)
                return [[c.replace(mark, "") for c in cells] for cells in columns]
        return [list(cells) for cells in columns]

    def _find_decimal(self, cells: Sequence[str]) -> None:
        by_comma = [cell for cell in cells if _COMMA.fullmatch(cell) or _has_both(cell, ".", ",")]
        by_point = [cell for cell in cells if _POINT.fullmatch(cell) or _has_both(cell, ",", ".")]
        sure_comma = [cell for cell in by_comma if not _BY_COMMAS.fullmatch(cell)]
        sure_point = [cell for cell in by_point if not _BY_POINTS.fullmatch(cell)]
        if sure_comma and len(sure_comma) > len(sure_point):
            self._set("decimal", ",", 0.95, f"numbers such as {sure_comma[0]} have a decimal comma")
            groups = [cell for cell in cells if _BY_POINTS.fullmatch(cell)]
            if groups and "thousands" not in self._options:
                reason = f"numbers such as {groups[0]} have points between groups of three digits"
                self._set("thousands", ".", 0.8, reason)
            return
        if sure_point:
            self._evidence["decimal"] = "."
        groups = [cell for cell in by_comma if _BY_COMMAS.fullmatch(cell)]
        groups += [cell for cell in cells if _has_both(cell, ",", ".")]
        if groups and "thousands" not in self._options:
            sure = bool(sure_point) or any(cell.count(",") > 1 for cell in groups)
            reason = f"numbers such as {groups[0]} have commas between groups of three digits"
            if not sure:
                reason += '; they could be decimal commas, too: decimal = ","'
            self._set("thousands", ",", 0.85 if sure else 0.5, reason)
        elif by_point and not sure_point:
            self._reasons.append(
                f"decimal: numbers such as {by_point[0]} are read with a decimal point, though all "
                'have three digits behind it; if these are thousands: decimal = ",", thousands = '
                f'"." ({format_confidence(0.7)}).'
            )


def _check_one_decimal_mark(columns: Sequence[Sequence[str]]) -> None:
    """Refuse a file in which some columns have decimal points and others decimal commas.

    Raises:
        ConfigError: Two columns of numbers cannot be read with one mark.
    """
    found: dict[str, list[str]] = {".": [], ",": []}
    for cells in columns:
        if sum(map(bool, map(_NUMBER.fullmatch, cells))) < CONSISTENT_MIN * len(cells):
            continue
        for mark, number, groups in ((".", _POINT, _BY_POINTS), (",", _COMMA, _BY_COMMAS)):
            sure = [c for c in cells if number.fullmatch(c) and not groups.fullmatch(c)]
            found[mark] += sure if len(sure) > len(cells) / 2 else []
    if all(found.values()):
        candidates = [
            Candidate(mark, 0.5, f"{len(cells)} numbers such as {cells[0]}; the others are texts")
            for mark, cells in sorted(found.items(), key=lambda item: -len(item[1]))
        ]
        text = "Some columns have decimal points and others decimal commas. Which are to be read?"
        refuse_to_choose(
            Question(text, "--decimal", candidates, "To read both, write them with one mark.")
        )


def split_lines(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Split lines into fields."""
    if delimiter == BLANKS:
        return [line.split() for line in lines]
    return [row for row in csv.reader(lines, delimiter=delimiter) if row]


def _whole_lines(text: str) -> str:
    text = text.removeprefix("\ufeff")
    return text[: text.rindex("\n") + 1] if "\n" in text else text


def _has_both(cell: str, thousands: str, decimal: str) -> bool:
    pattern = _BY_POINTS if thousands == "." else _BY_COMMAS
    return decimal in cell and thousands in cell and bool(pattern.fullmatch(cell))


def _is_short_header(rows: Sequence[Sequence[str]], usual: int) -> bool:
    """Return whether the first line has the names of all columns but one."""
    names = rows[0]
    if len(names) + 1 != usual or names[0].lstrip().startswith(("#", "%", "//")):
        return False
    return len(names) > 1 or any(map(_form, rows[1]))


def _recurs(first: Sequence[str], below: Sequence[Sequence[str]], i: int) -> bool:
    """Return whether a cell of the first line is a value of a line below that is no copy of it."""
    return any(len(row) > i and row[i] == first[i] and row != first for row in below)


def _count_on(cells: Sequence[str]) -> bool:
    """Return whether cells are whole numbers that count on, as years above columns do."""
    if len(cells) < 2 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _form(cell: str) -> str:
    """Return whether a cell is a number or a date; empty for any other text."""
    if _NUMBER.fullmatch(cell.strip()):
        return "number"
    if re.match(r"\d{4}-\d\d-\d\d", cell.strip()):
        return "date"
    return "date" if find_format([cell]) else ""
