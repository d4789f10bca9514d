"""The guess of the event time of a log, with its confidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.spec.clocks import Clock, is_time_named
from stream_rnn.spec.columns import Column, Pairs
from stream_rnn.spec.names import (
    COUNTER_WORDS,
    LATER_TIME_WORDS,
    OTHER_TIME_WORDS,
    TIME_WORDS,
    split_words,
)
from stream_rnn.spec.questions import Candidate, Question, rank
from stream_rnn.text import format_time, printable

TIME_S_MAX = 60_000_000_000  # as seconds since 1970, it lies within the years 1 to 9999
DAY_S = 86_400
CONSTANT_MAX = 0.05  # a time that changes in fewer events of a key belongs to the key


@dataclass(frozen=True, eq=False)
class TimeGuess:
    """The event time of a log.

    Attributes:
        column: Column of the event time; ``None`` for the timestamp of the record.
        seconds: (N,) event times in seconds; empty without a column.
        table: Table ``event.time`` of the spec; empty without a column.
        is_clock: Whether the event time is a date and time rather than a count.
        is_local: Whether texts without a zone are among the times.
        reasons: Reasons for the choice, a sentence each.
    """

    column: Column | None = None
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    table: Mapping[str, Any] = field(default_factory=dict)
    is_clock: bool = False
    is_local: bool = False
    reasons: tuple[str, ...] = ()


def rank_times(
    columns: Sequence[Column], clocks: Mapping[str, Clock], pairs: Pairs, known: str = ""
) -> list[Candidate]:
    """Return the candidates for the event time, the best first.

    Args:
        columns: Columns that may be the event time.
        clocks: Columns that are times, by path.
        pairs: Successive events of one key.
        known: Path that an envelope defines as its time; empty for none.
    """
    scored = [
        _score(column, clocks[column.path], pairs, is_known=column.path == known)
        for column in columns
        if column.path in clocks
    ]
    if len(scored) > 1:
        scored.sort(key=lambda candidate: -candidate.confidence)
        scored = [scored[0], *(_without_twin(scored[0], c, clocks) for c in scored[1:])]
    return rank(scored)


def time_question(candidates: Sequence[Candidate]) -> Question:
    """Return the question for the event time."""
    return Question("Which field is the event time?", "--time", candidates)


def format_question(path: str, clock: Clock) -> Question:
    """Return the question for the format of an event time."""
    candidates = [Candidate(clock.format, clock.confidence, clock.reason)]
    candidates += [
        Candidate(layout, 1 - clock.confidence, "it reads all texts, too")
        for layout in clock.others
    ]
    return Question(f"Which format have the texts of {path}?", "--time-format", candidates)


def clock_guess(column: Column, clock: Clock, zone: str, why: str) -> TimeGuess:
    """Return the event time of a column of times."""
    kind = {"iso8601": "ISO 8601 texts", "text": f"texts of the format {clock.format}"}
    reading = kind.get(clock.unit, f"numbers in {clock.unit} since 1970")
    reasons = [f"The event time is {column.path}: {reading}; {why}."]
    reasons += _span_note(clock)
    reasons += _zone_notes(clock, zone)
    known = int(np.isfinite(clock.seconds).sum())
    if absent := len(column.values) - column.present:
        reasons.append(f"{absent} rows have no {column.path}; they are skipped.")
    if clock.outside:
        reasons.append(
            f"{clock.outside} times of {column.path}, such as {printable(clock.example, 40)}, lie "
            "outside of the years 1990 to 2100, and are folded as they are. If they stand for no "
            "time, write null for them, or leave these rows out."
        )
    if unread := column.present - known - clock.outside:
        reasons.append(f"{unread} texts of {column.path} are no such time; they are skipped.")
    if clock.needs_parse:
        reasons.append("Its numbers are texts in the log, hence parse = true.")
    return TimeGuess(
        column=column,
        seconds=clock.seconds,
        table=clock.table(column.path, zone),
        is_clock=True,
        is_local=clock.naive > 0,
        reasons=tuple(reasons),
    )


def find_counter(columns: Sequence[Column], pairs: Pairs) -> TimeGuess | None:
    """Return a column that counts the events of each key, as event time; ``None`` for none."""
    counting = [column for column in columns if _counts_up(column, pairs)]
    named = [c for c in counting if split_words(c.path) & (COUNTER_WORDS | TIME_WORDS)]
    steady = [c for c in counting if _counts_by_one(c, pairs)]
    chosen = next(iter(named or steady), None)
    if chosen is None:
        return None
    reason = (
        f"No field looks like a date or a time. {chosen.path} counts up within each key, so it is "
        "the event time, with one second per count."
    )
    return counter_guess(chosen, reason)


def counter_guess(column: Column, reason: str) -> TimeGuess:
    """Return the event time of a column of numbers that are read as seconds."""
    table: dict[str, Any] = {"path": column.path, "unit": "s"}
    if column.needs_parse:
        table["parse"] = True
    return TimeGuess(column=column, seconds=column.floats, table=table, reasons=(reason,))


def may_be_seconds(column: Column) -> bool:
    """Return whether the numbers of a column can be read as seconds."""
    is_number = column.kind in ("integer", "number") and column.present > 0
    return is_number and bool(np.abs(column.numbers).max() <= TIME_S_MAX)


def _score(column: Column, clock: Clock, pairs: Pairs, *, is_known: bool) -> Candidate:
    seconds = clock.seconds[np.isfinite(clock.seconds)]
    confidence, reasons = _name_score(column, is_known=is_known)
    if len(seconds) > 1 and bool((np.diff(seconds) >= 0).all()):
        confidence += 0.08
        reasons.append("the rows are in its order")
    if len(seconds) and bool((seconds % DAY_S == 0).all()) and len(seconds) > 1:
        confidence -= 0.05
        reasons.append("dates without a time of the day")
    if changes := _rare_changes(clock.seconds, pairs):
        confidence *= 0.3 if changes == "never" else 0.7
        reasons.append("it hardly changes within a key")
    share = column.present / len(column.values)
    if share < 1:
        confidence *= share**2
        reasons.append(f"{len(column.values) - column.present} rows lack it")
    confidence = round(min(max(confidence, 0.02), 0.98), 3)
    return Candidate(column.path, confidence, "; ".join(reasons or ["all values are times"]))


def _name_score(column: Column, *, is_known: bool) -> tuple[float, list[str]]:
    """Return the confidence in a column of times by its name alone."""
    if is_known:
        return 0.95, ["the envelope defines it as its time"]
    confidence, reasons = 0.6, []
    if is_time_named(column):
        confidence, reasons = 0.85, ["its name is that of a time"]
    found = split_words(column.parts[-1])
    if found & OTHER_TIME_WORDS:
        confidence -= 0.4
        reasons.append("its name is that of a date of the entity, or of a plan")
    elif found & LATER_TIME_WORDS:
        confidence -= 0.15
        reasons.append("its name is that of a later time")
    return confidence, reasons


def _rare_changes(seconds: NDArray[np.float64], pairs: Pairs) -> str:
    """Return whether a time changes ``never`` or ``seldom`` within a key; empty for often.

    A date of the key never changes, and the date of a fast event seldom does.
    """
    steps = seconds[pairs.after] - seconds[pairs.before]
    steps = steps[np.isfinite(steps)]
    changes = int((steps != 0).sum())
    if len(steps) < 10 or changes >= CONSTANT_MAX * len(steps):
        return ""
    return "seldom" if changes >= pairs.keys else "never"


def _without_twin(best: Candidate, other: Candidate, clocks: Mapping[str, Clock]) -> Candidate:
    """Lower the confidence of a candidate whose times are those of the best one."""
    difference = np.abs(clocks[best.answer].seconds - clocks[other.answer].seconds)
    difference = difference[np.isfinite(difference)]
    if not len(difference) or np.quantile(difference, 0.95) > 1:
        return other
    reason = f"{other.reason}; its times are those of {best.answer}"
    return Candidate(other.answer, min(other.confidence, best.confidence - 0.2), reason)


def _span_note(clock: Clock) -> list[str]:
    seconds = clock.seconds[np.isfinite(clock.seconds)]
    if not len(seconds):
        return []
    first, last = (format_time(int(bound * 1000)) for bound in (seconds.min(), seconds.max()))
    return [f"The rows read lie between {first} and {last} UTC."]


def _zone_notes(clock: Clock, zone: str) -> list[str]:
    if clock.unit not in ("iso8601", "text") or not clock.naive:
        return []
    if not zone:
        note = (
            f"{clock.naive} texts name no zone, so they are read as UTC. If they are local times, "
            'set zone = "Europe/Berlin" or another IANA name in event.time, or give --zone.'
        )
        return [note, *_change_note(clock)]
    notes = [f"Texts without a zone are local times of {zone}."]
    if clock.doubled:
        notes.append(
            f"{clock.doubled} rows lie in an hour that {zone} has twice, at the end of summer "
            "time; they are read as its first pass, so the second pass is an hour early."
        )
    if clock.skipped:
        notes.append(
            f"{clock.skipped} rows lie in an hour that {zone} does not have, at the start of "
            f"summer time; they are read an hour later. Are they local times of {zone}?"
        )
    return notes


def _change_note(clock: Clock) -> list[str]:
    """Return a note if the times go back by an hour in a night in which clocks are changed."""
    seconds = clock.seconds[np.isfinite(clock.seconds)]
    steps = np.diff(seconds)
    back = np.flatnonzero((steps <= -1800) & (steps >= -3600))
    if len(back) != 1 or (steps < 0).sum() != 1:
        return []
    day = np.datetime64(int(seconds[back[0]] // DAY_S), "D")
    note = (
        f"The times go back by an hour once, on {day}: they look like local times at the end of "
        "summer time."
    )
    return [note]


def _counts_up(column: Column, pairs: Pairs) -> bool:
    """Return whether a column grows with every event of a key, and restarts with each key."""
    if column.refusal or column.kind not in ("integer", "number"):
        return False
    if column.present < len(column.values) or not len(pairs.before) or not may_be_seconds(column):
        return False
    restarts = pairs.keys == 1 or column.distinct < pairs.rows
    return restarts and bool((column.floats[pairs.after] > column.floats[pairs.before]).all())


def _counts_by_one(column: Column, pairs: Pairs) -> bool:
    steps = column.floats[pairs.after] - column.floats[pairs.before]
    return column.kind == "integer" and bool((steps == 1).all())
