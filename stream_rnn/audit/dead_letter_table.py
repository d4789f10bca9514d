"""Dead letters by source offset, as rows of numbers: 4 bytes per offset, 45 per letter."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES_MAX = 1000
CODE_CHARS_MAX = 100
OTHER_CODE = "another code"
"""Stands for all codes beyond ``CODES_MAX``; a worker has about ten."""

EARLIER_CODES = {"framed": "not_json"}
"""Code that this version expects -> code that an earlier version gave the same records.

The codes of dead letters are not part of the fold id, so a log may contain both.
"""

BLOCK_ROWS = 1 << 12
COUNT_MAX = 65_535
NAMES_FOLD, IS_CHOSEN, IDENTICAL, HAS_TIMESTAMP = 1, 2, 4, 8
CUT_BIT = 4  # the first of the flags' bits that contain ``cut``
KEY, VALUE, HEADERS = 1, 2, 4
ROW = np.dtype(
    [
        ("facts", "u8"),
        ("whole", "u8"),
        ("timestamp", "i8"),
        ("output_offset", "i8"),
        ("key_size", "u4"),
        ("value_size", "u4"),
        ("count", "u2"),
        ("code", "u2"),
        ("flags", "u1"),
    ]
)


def is_code_for(code: str, expected: str) -> bool:
    """Return whether a worker of this version, or of an earlier one, gives a code."""
    return code in (expected, EARLIER_CODES.get(expected))


@dataclass(slots=True)
class DeadLetter:
    """One dead letter.

    Attributes:
        code: Error code.
        facts: Digest of the record's timestamp and size, as the dead letter names them.
        timestamp: Timestamp of the dead letter; ``None`` if the broker set it.
        whole: Digest of the parts of the record that the dead letter contains.
        names_fold: Whether it names app and fold, as in a transaction with predictions.
        is_chosen: Whether its key is compared.
        output_offset: Offset in the dead letters topic.
        count: Number of dead letters of the same record.
        is_unlike: Whether these dead letters differ, or one of them is impossible.
        cut: Parts of the record that were cut: ``KEY``, ``VALUE`` and ``HEADERS``, or-ed.
        key_size: Number of bytes that are left of a cut key.
        value_size: Number of bytes that are left of a cut value.
    """

    code: str
    facts: int
    timestamp: int | None
    whole: int
    names_fold: bool
    is_chosen: bool
    output_offset: int = -1
    count: int = 1
    is_unlike: bool = False
    cut: int = 0
    key_size: int = 0
    value_size: int = 0

    def equals(self, other: "DeadLetter") -> bool:
        """Return whether another dead letter is the same and contains as much of its record."""
        return self.is_cut_like(other) and self.whole == other.whole and self.has_same_facts(other)

    def has_same_facts(self, other: "DeadLetter") -> bool:
        """Return whether another dead letter has the same facts and timestamp, and a code for it.

        The code is the other one's or its earlier code, so the other one is the expected one.
        """
        times = self.timestamp, other.timestamp
        is_timed_as = None in times or times[0] == times[1]
        return is_timed_as and self.facts == other.facts and is_code_for(self.code, other.code)

    def is_cut_like(self, other: "DeadLetter") -> bool:
        """Return whether another dead letter contains as much of its record."""
        sizes = (self.cut, self.key_size, self.value_size)
        return sizes == (other.cut, other.key_size, other.value_size)


class DeadLetterTable:
    """At most one dead letter for each offset of a range.

    Args:
        start: First offset.
        end: Offset after the last one.
    """

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._row: NDArray[np.int32] = np.zeros(max(0, end - start), np.int32)  # row number + 1
        self._blocks: list[NDArray[Any]] = []
        self._rows = 0
        self._codes = [OTHER_CODE]

    def __contains__(self, offset: int) -> bool:
        """Return whether an offset has a dead letter."""
        return bool(self._row[offset - self._start])

    def get(self, offset: int) -> DeadLetter | None:
        """Return a copy of an offset's dead letter, or ``None`` if it has none."""
        number = int(self._row[offset - self._start]) - 1
        return None if number < 0 else self._letter(number)

    def __getitem__(self, offset: int) -> DeadLetter:
        """Return a copy of the dead letter of an offset that has one."""
        return self._letter(int(self._row[offset - self._start]) - 1)

    def put(self, offset: int, letter: DeadLetter) -> None:
        """Store a dead letter in place of the offset's previous one, if any."""
        number = int(self._row[offset - self._start]) - 1
        if number < 0:
            number, self._rows = self._rows, self._rows + 1
            self._row[offset - self._start] = self._rows
            if number % BLOCK_ROWS == 0:
                self._blocks.append(np.zeros(BLOCK_ROWS, ROW))
        flags = (
            NAMES_FOLD * letter.names_fold
            | IS_CHOSEN * letter.is_chosen
            | IDENTICAL * (not letter.is_unlike)
            | HAS_TIMESTAMP * (letter.timestamp is not None)
            | letter.cut << CUT_BIT
        )
        count = min(letter.count, COUNT_MAX)
        digests, sizes = (letter.facts, letter.whole), (letter.key_size, letter.value_size)
        code = self._number(letter.code)
        row = (*digests, letter.timestamp or 0, letter.output_offset, *sizes, count, code)
        self._blocks[number // BLOCK_ROWS][number % BLOCK_ROWS] = (*row, flags)

    def items(self) -> Iterator[tuple[int, DeadLetter]]:
        """Yield offsets with copies of their dead letters, in offset order."""
        for index in np.flatnonzero(self._row):
            yield self._start + int(index), self._letter(int(self._row[index]) - 1)

    def _number(self, code: str) -> int:
        code = code[:CODE_CHARS_MAX]
        if code not in self._codes:
            if len(self._codes) >= CODES_MAX:
                return 0
            self._codes.append(code)
        return self._codes.index(code)

    def _letter(self, number: int) -> DeadLetter:
        row = self._blocks[number // BLOCK_ROWS][number % BLOCK_ROWS]
        facts, whole, timestamp, output_offset, key_size, value_size, count, code, flags = (
            row.item()
        )
        return DeadLetter(
            code=self._codes[code],
            facts=facts,
            timestamp=timestamp if flags & HAS_TIMESTAMP else None,
            whole=whole,
            names_fold=bool(flags & NAMES_FOLD),
            is_chosen=bool(flags & IS_CHOSEN),
            output_offset=output_offset,
            count=count,
            is_unlike=not flags & IDENTICAL,
            cut=flags >> CUT_BIT,
            key_size=key_size,
            value_size=value_size,
        )
