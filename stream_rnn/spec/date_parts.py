"""Times in parts, which no spec reads: a date beside a time of the day, years beside months."""

from collections.abc import Iterator, Sequence

import numpy as np

from stream_rnn.spec.columns import Column
from stream_rnn.spec.event_time import DAY_S, TimeGuess
from stream_rnn.spec.names import split_words, words
from stream_rnn.spec.unreadable_times import is_time_of_day

PARTS = {  # words for a part of a time, and the range of its numbers
    "year": (words("year yr jahr anno año année yyyy"), 1900, 2100),
    "month": (words("month mon monat mes mois mm"), 1, 12),
    "week": (words("week woche kw semana semaine"), 1, 53),
    "day": (words("day tag dia día jour dd"), 1, 31),
    "hour": (words("hour hr stunde hora heure hh"), 0, 24),
    "minute": (words("minute min minuto"), 0, 59),
}
ISO_WEEK = r"^\d{4}-?W\d{2}(-?[1-7])?$"


def date_part_notes(columns: Sequence[Column], time: TimeGuess) -> Iterator[str]:
    """Yield which columns are parts of one time, and how to write them, a sentence each."""
    if time.column is not None and _is_date(time):
        clocks = [column.path for column in columns if is_time_of_day(column)]
        if clocks:
            yield (
                f"{time.column.path} is a date, and {clocks[0]} a time of the day, which is not read: "
                "rows of one day have one event time. Join the two to one field, such as "
                "2024-01-31T13:45:00."
            )
    if time.is_clock:
        return
    parts = {name: column.path for name in PARTS if (column := _find_part(columns, name))}
    if len(parts) > 1 and parts.keys() & {"year", "month"}:
        *first, last = parts.values()
        yield (
            f"{', '.join(first)} and {last} look like parts of one time, which no spec joins: write "
            "them as one field, such as 2024-01-31T13."
        )
    for column in columns:
        texts = column.values.drop_nulls() if column.kind == "text" else None
        if texts is not None and len(texts) and bool(texts.str.contains(ISO_WEEK).all()):
            yield (
                f"{column.path} has weeks, such as {texts[0]}, which no spec reads as times: write "
                "the first day of the week."
            )


def _is_date(time: TimeGuess) -> bool:
    seconds = time.seconds[np.isfinite(time.seconds)]
    return time.is_clock and len(seconds) > 0 and bool((seconds % DAY_S == 0).all())


def _find_part(columns: Sequence[Column], name: str) -> Column | None:
    known, low, high = PARTS[name]
    return next(
        (
            column
            for column in columns
            if split_words(column.parts[-1]) & known
            and column.kind == "integer"
            and column.present
            and low <= column.numbers.min()
            and column.numbers.max() <= high
        ),
        None,
    )
