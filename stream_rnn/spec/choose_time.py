"""The choice of the event time: given, guessed, or asked for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from stream_rnn.errors import ConfigError
from stream_rnn.spec.clocks import (
    DIGITS_AS_NUMBERS,
    Clock,
    digits_clock,
    epoch_unit,
    find_clock,
    is_time_named,
    strptime_reader,
)
from stream_rnn.spec.columns import Column, Pairs
from stream_rnn.spec.date_parts import date_part_notes
from stream_rnn.spec.envelopes import Envelope
from stream_rnn.spec.event_time import (
    TimeGuess,
    clock_guess,
    counter_guess,
    find_counter,
    format_question,
    may_be_seconds,
    rank_times,
    time_question,
)
from stream_rnn.spec.proposal_options import ProposalOptions, find_column
from stream_rnn.spec.questions import CONFIDENCE_MIN, Ask, Candidate, Question, format_confidence
from stream_rnn.spec.unreadable_times import (
    describe_unknown,
    has_excel_days,
    unknown_format,
    unreadable_time,
)
from stream_rnn.text import printable

TIME_CONFIDENCE_MIN = 0.3  # a less likely time is none at all
NO_TIME = "none"  # value of --time for the timestamp of the record
NO_TIME_CONFIDENCE = 0.2
COUNTER_CONFIDENCE = 0.5
OTHERS_SHOWN = 3


def choose_time(
    columns: Sequence[Column],
    clocks: dict[str, Clock],
    pairs: Pairs,
    envelope: Envelope,
    options: ProposalOptions,
    ask: Ask,
) -> tuple[TimeGuess, dict[str, Clock]]:
    """Choose the event time, and name columns that are parts of a time; see :func:`_choose`."""
    time, clocks = _choose(columns, clocks, pairs, envelope, options, ask)
    notes = tuple(date_part_notes([c for c in columns if c is not time.column], time))
    return replace(time, reasons=(*time.reasons, *notes)), clocks


def _choose(
    columns: Sequence[Column],
    clocks: dict[str, Clock],
    pairs: Pairs,
    envelope: Envelope,
    options: ProposalOptions,
    ask: Ask,
) -> tuple[TimeGuess, dict[str, Clock]]:
    """Choose the event time.

    Args:
        columns: Columns outside of the key.
        clocks: Columns that are times, by path.
        pairs: Successive events of one key.
        envelope: What surrounds the events.
        options: Choices that replace guesses.
        ask: Function that answers a question whose answer is not sure.

    Returns:
        The event time, and the columns that are times, with the format that was chosen.

    Raises:
        ConfigError: A field that an option or an answer names does not contain times.
    """
    usable = [column for column in columns if not column.refusal]
    if options.time is not None:
        return _choose_given(columns, clocks, envelope, options, ask, options.time)
    times = rank_times(usable, clocks, pairs, envelope.time)
    ranked = [candidate for candidate in times if candidate.confidence >= TIME_CONFIDENCE_MIN]
    unread = [] if ranked and _is_likely(ranked[0], usable) else unreadable_times(usable)
    if unread:
        check = partial(_choose_given, columns, clocks, envelope, options, ask)
        counter = _counter_candidates(usable, pairs)
        return check(ask(_unread_question(unread, [*times, *counter], check)))
    if not ranked:
        unlikely = [
            f"{c.answer} has times ({c.reason}); --time takes it all the same." for c in times
        ]
        guess = _without_clock(usable, columns, pairs)
        return replace(guess, reasons=(*guess.reasons, *unlikely[:OTHERS_SHOWN])), clocks
    best = ranked[0]
    why = f"{format_confidence(best.confidence)}: {best.reason}"
    path = best.answer
    if best.confidence < CONFIDENCE_MIN:
        check = partial(_choose_given, columns, clocks, envelope, options, ask)
        path, why = ask(replace(time_question(ranked), check=check)), "it is your answer"
        if path not in clocks:
            return _choose_given(columns, clocks, envelope, options, ask, path)
    column = find_column(columns, path, "--time", envelope)
    guess, clocks = _with_format(column, clocks, options, ask, why)
    others = [c.answer for c in ranked if c.answer != column.path][:OTHERS_SHOWN]
    if others:
        note = f"Other candidates for the event time (see --time): {', '.join(others)}."
        guess = replace(guess, reasons=(*guess.reasons, note))
    return guess, clocks


def _choose_given(
    columns: Sequence[Column],
    clocks: dict[str, Clock],
    envelope: Envelope,
    options: ProposalOptions,
    ask: Ask,
    path: str,
) -> tuple[TimeGuess, dict[str, Clock]]:
    """Return the event time that --time or an answer names; see :func:`_choose`."""
    if path == NO_TIME and not any(column.path == NO_TIME for column in columns):
        reasons = ("The event time is the timestamp of the record, as given.",)
        notes = tuple(f"Not read as a time: {note}." for note in unreadable_times(columns))
        return TimeGuess(reasons=(*reasons, *notes)), clocks
    return _named_time(find_column(columns, path, "--time", envelope), clocks, options, ask)


def _counter_candidates(columns: Sequence[Column], pairs: Pairs) -> list[Candidate]:
    """Return the column that counts the events of each key as a candidate, if there is one."""
    counter = find_counter([c for c in columns if not unreadable_time(c)], pairs)
    if counter is None or counter.column is None:
        return []
    return [Candidate(counter.column.path, COUNTER_CONFIDENCE, "it counts up within each key")]


def unreadable_times(columns: Sequence[Column]) -> list[str]:
    """Return the columns that are named as times and are not read, each with its reason."""
    noted = ((column, unreadable_time(column)) for column in columns)
    return [f"{column.path}: {note}" for column, note in noted if note and is_time_named(column)]


def _is_likely(best: Candidate, columns: Sequence[Column]) -> bool:
    """Return whether the name of a candidate speaks for it as much as that of an unread column."""
    return any(column.path == best.answer and is_time_named(column) for column in columns)


def _unread_question(
    unread: Sequence[str], candidates: Sequence[Candidate], check: Callable[[str], object]
) -> Question:
    """Return the question for the event time if columns that are named as times are not read."""
    reason = "the timestamp of the record, which in a file is the row number"
    return Question(
        f"A field is named as a time, but is not read: {'; '.join(unread[:OTHERS_SHOWN])}. Which is "
        "the event time?",
        "--time",
        [*candidates, Candidate(NO_TIME, NO_TIME_CONFIDENCE, reason)],
        hint="To use a field that is not read, change the log as stated, then run this again.",
        check=check,
    )


def _with_format(
    column: Column, clocks: dict[str, Clock], options: ProposalOptions, ask: Ask, why: str
) -> tuple[TimeGuess, dict[str, Clock]]:
    """Return the event time; ask for its format if several fit."""
    clock = clocks[column.path]
    if clock.confidence < CONFIDENCE_MIN:
        question = format_question(column.path, clock)
        layout = ask(replace(question, check=lambda reply: _read_by(column, options.zone, reply)))
        clock = _read_by(column, options.zone, layout)
        clocks = {**clocks, column.path: clock}
    elif clock.unit == "text":
        why += f"; {format_confidence(clock.confidence)} of the format: {clock.reason}"
        if clock.others:
            why += f"; it could be {' or '.join(clock.others)}, too (--time-format)"
    return clock_guess(column, clock, options.zone, why), clocks


def _read_by(column: Column, zone: str, layout: str) -> Clock:
    clock = find_clock(column, zone, layout)
    if clock is None:
        words = [str(word) for word in column.words.drop_nulls()]
        read = strptime_reader(layout)
        unfit = next((word for word in words if read(word.strip()) is None), words[0])
        example = printable(unfit, 60)
        raise ConfigError(
            f"--time-format {layout!r}: it does not read the texts of {column.path}, such as "
            f"{example!r}, as times from 1990 to 2100"
        )
    return clock


def _without_clock(usable: Sequence[Column], columns: Sequence[Column], pairs: Pairs) -> TimeGuess:
    notes = tuple(
        f"{column.path} is not read as a time: {note}."
        for column in columns
        if (note := unreadable_time(column) or unknown_format(column))
    )
    counter = find_counter([c for c in usable if not unreadable_time(c)], pairs)
    if counter is not None:
        return replace(counter, reasons=(*counter.reasons, *notes))
    reason = (
        "No field looks like a time, so the event time is the timestamp of the record: in a file, "
        "the row number. If times matter, name a field with --time."
    )
    return TimeGuess(reasons=(reason, *notes))


def _named_time(
    column: Column, clocks: dict[str, Clock], options: ProposalOptions, ask: Ask
) -> tuple[TimeGuess, dict[str, Clock]]:
    """Return the event time that --time names.

    Raises:
        ConfigError: The field does not contain times.
    """
    if options.time_format and column.path not in clocks:
        clocks = {**clocks, column.path: _read_by(column, options.zone, options.time_format)}
    clock = clocks.get(column.path)
    if clock is None and epoch_unit(column):
        clock = find_clock(column, options.zone)
    digits = digits_clock(column, options.zone) if clock is None else None
    if digits is not None and column.texts is None:
        example = column.words.drop_nulls()[0]
        raise ConfigError(f"--time {column.path}: {example} and the like are {DIGITS_AS_NUMBERS}")
    clock = clock or digits
    if clock is not None:
        return _with_format(column, {**clocks, column.path: clock}, options, ask, "it is given")
    if may_be_seconds(column) and not has_excel_days(column):
        reason = (
            f"The event time is {column.path}, as given. Its numbers are read as seconds: as times "
            "since 1970, they would not lie in the years 1990 to 2100."
        )
        return counter_guess(column, reason), clocks
    raise ConfigError(f"--time {column.path}: {_no_time(column)}")


def _no_time(column: Column) -> str:
    if note := unreadable_time(column):
        return note
    if column.kind == "text" and column.present:
        return describe_unknown(column)
    return (
        f"a {column.kind} with {column.distinct} values is not a time; name a field with s, ms, us "
        "or ns since 1970, with ISO 8601 texts, or with texts of a --time-format"
    )
