"""Dead letters by source offset, as rows of numbers: 4 bytes an offset and 45 a dead letter."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES_MAX = 1000
CODE_CHARS_MAX = 100
OTHER_CODE = "another code"
"""Stands for codes beyond ``CODES_MAX``; a worker has some ten."""

BLOCK_ROWS = 1 << 12
COUNT_MAX = 65_535
NAMED, CHOSEN, ALIKE, TIMED = 1, 2, 4, 8
CUT_BIT = 4  # from it on, of a row's flags, what was cut
KEY, VALUE, HEADERS = 1, 2, 4
ROW = np.dtype(
    [
        ("facts", "u8"),
        ("whole", "u8"),
        ("timestamp", "i8"),
        ("place", "i8"),
        ("key_size", "u4"),
        ("value_size", "u4"),
        ("count", "u2"),
        ("code", "u2"),
        ("flags", "u1"),
    ]
)


@dataclass(slots=True)
class Letter:
    """One dead letter.

    Attributes:
        code: what is wrong with the record.
        facts: digest of what it says of the record's time and size.
        timestamp: its own; ``None`` if that is the broker's.
        whole: digest of all that is kept of the record.
        is_named: it names app and fold, as in one transaction with predictions.
        is_chosen: its key is compared.
        place: its offset in the dead letters.
        count: how many there are.
        is_unlike: not all of them say the same, or one cannot be.
        cut: ``KEY``, ``VALUE`` and ``HEADERS``, what of them was cut.
        key_size: bytes that are kept of a key that was cut.
        value_size: the same of a value.
    """

    code: str
    facts: int
    timestamp: int | None
    whole: int
    is_named: bool
    is_chosen: bool
    place: int = -1
    count: int = 1
    is_unlike: bool = False
    cut: int = 0
    key_size: int = 0
    value_size: int = 0

    def says(self, other: "Letter") -> bool:
        """Tell whether another one is the same, with as much of its record."""
        return self.is_cut_as(other) and self.whole == other.whole and self.is_about_as(other)

    def is_about_as(self, other: "Letter") -> bool:
        """Tell whether another one says the same beside what it keeps of the record."""
        times = self.timestamp, other.timestamp
        is_timed_as = None in times or times[0] == times[1]
        return is_timed_as and (self.code, self.facts) == (other.code, other.facts)

    def is_cut_as(self, other: "Letter") -> bool:
        """Tell whether another one keeps as much of its record."""
        sizes = (self.cut, self.key_size, self.value_size)
        return sizes == (other.cut, other.key_size, other.value_size)


class LetterTable:
    """At most one letter of each offset of a range.

    Args:
        start: the first offset.
        end: the offset after the last one.
    """

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._row: NDArray[np.int32] = np.zeros(max(0, end - start), np.int32)  # its number + 1
        self._blocks: list[NDArray[Any]] = []
        self._rows = 0
        self._codes = [OTHER_CODE]

    def __contains__(self, offset: int) -> bool:
        """Tell whether an offset has one."""
        return bool(self._row[offset - self._start])

    def get(self, offset: int) -> Letter | None:
        """Return a copy of an offset's letter."""
        number = int(self._row[offset - self._start]) - 1
        return None if number < 0 else self._letter(number)

    def __getitem__(self, offset: int) -> Letter:
        """Return a copy of the letter of an offset that has one."""
        return self._letter(int(self._row[offset - self._start]) - 1)

    def put(self, offset: int, letter: Letter) -> None:
        """Keep a letter in place of what an offset had."""
        number = int(self._row[offset - self._start]) - 1
        if number < 0:
            number, self._rows = self._rows, self._rows + 1
            self._row[offset - self._start] = self._rows
            if number % BLOCK_ROWS == 0:
                self._blocks.append(np.zeros(BLOCK_ROWS, ROW))
        flags = (
            NAMED * letter.is_named
            | CHOSEN * letter.is_chosen
            | ALIKE * (not letter.is_unlike)
            | TIMED * (letter.timestamp is not None)
            | letter.cut << CUT_BIT
        )
        count = min(letter.count, COUNT_MAX)
        digests, sizes = (letter.facts, letter.whole), (letter.key_size, letter.value_size)
        code = self._number(letter.code)
        row = (*digests, letter.timestamp or 0, letter.place, *sizes, count, code)
        self._blocks[number // BLOCK_ROWS][number % BLOCK_ROWS] = (*row, flags)

    def items(self) -> Iterator[tuple[int, Letter]]:
        """Yield offsets and copies of their letters, in offset order."""
        for at in np.flatnonzero(self._row):
            yield self._start + int(at), self._letter(int(self._row[at]) - 1)

    def _number(self, code: str) -> int:
        code = code[:CODE_CHARS_MAX]
        if code not in self._codes:
            if len(self._codes) >= CODES_MAX:
                return 0
            self._codes.append(code)
        return self._codes.index(code)

    def _letter(self, number: int) -> Letter:
        row = self._blocks[number // BLOCK_ROWS][number % BLOCK_ROWS]
        facts, whole, timestamp, place, key_size, value_size, count, code, flags = row.item()
        return Letter(
            code=self._codes[code],
            facts=facts,
            timestamp=timestamp if flags & TIMED else None,
            whole=whole,
            is_named=bool(flags & NAMED),
            is_chosen=bool(flags & CHOSEN),
            place=place,
            count=count,
            is_unlike=not flags & ALIKE,
            cut=flags >> CUT_BIT,
            key_size=key_size,
            value_size=value_size,
        )
