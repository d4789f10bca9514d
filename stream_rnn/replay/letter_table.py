"""Dead letters by source offset, as rows of numbers: 4 bytes an offset and 37 a dead letter."""

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
NAMED, CHOSEN, ALIKE, TIMED, WHOLE = 1, 2, 4, 8, 16
ROW = np.dtype(
    [
        ("facts", "u8"),
        ("whole", "u8"),
        ("timestamp", "i8"),
        ("place", "i8"),
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
        whole: digest of all that is kept of the record; ``None`` where it was cut.
        is_named: it names app and fold, as in one transaction with predictions.
        is_chosen: its key is compared.
        place: its offset in the dead letters.
        count: how many there are.
        is_unlike: not all of them say the same.
    """

    code: str
    facts: int
    timestamp: int | None
    whole: int | None
    is_named: bool
    is_chosen: bool
    place: int = -1
    count: int = 1
    is_unlike: bool = False

    def says(self, other: "Letter") -> bool:
        """Tell whether another one is about the same record, as far as both were kept."""
        if (self.code, self.facts) != (other.code, other.facts):
            return False
        pairs = (self.timestamp, other.timestamp), (self.whole, other.whole)
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


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
            | WHOLE * (letter.whole is not None)
        )
        count = min(letter.count, COUNT_MAX)
        digests = letter.facts, letter.whole or 0
        row = (*digests, letter.timestamp or 0, letter.place, count, self._number(letter.code))
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
        facts, whole, timestamp, place, count, code, flags = row.item()
        return Letter(
            self._codes[code],
            facts,
            timestamp if flags & TIMED else None,
            whole if flags & WHOLE else None,
            bool(flags & NAMED),
            bool(flags & CHOSEN),
            place,
            count,
            not flags & ALIKE,
        )
