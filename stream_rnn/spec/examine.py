"""The examination of a sample: its envelope, its key and its event time, guessed or given."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from stream_rnn.errors import ConfigError
from stream_rnn.model.event import UTC_ZONE, EventTime
from stream_rnn.spec.choose_time import choose_time
from stream_rnn.spec.clock_changes import goes_back_at_clock_changes
from stream_rnn.spec.clocks import Clock, find_clock, is_time_named
from stream_rnn.spec.columns import Column, Pairs, find_pairs
from stream_rnn.spec.connect_types import JSON_REASON
from stream_rnn.spec.envelopes import (
    Envelope,
    filter_rows,
    find_envelope,
    keep_kinds,
    kinds_with_entity,
    metadata_reason,
)
from stream_rnn.spec.event_time import TimeGuess
from stream_rnn.spec.key import SINGLE_THING, KeyCandidate, count_keys, key_question, rank_keys
from stream_rnn.spec.key_notes import key_notes
from stream_rnn.spec.proposal_options import ProposalOptions, find_column
from stream_rnn.spec.questions import (
    CANDIDATES_MAX,
    CONFIDENCE_MIN,
    UNSURE,
    Ask,
    format_confidence,
)
from stream_rnn.spec.sample import Sample
from stream_rnn.text import visible

OTHERS_SHOWN = 3
FIELD_OF_CLOUD_EVENTS = frozenset({"subject", "partitionkey", "source"})


@dataclass(frozen=True, eq=False)
class ExaminedLog:
    """The columns of a sample with its envelope, key and event time.

    Attributes:
        columns: All columns, with the rows that are events.
        envelope: What surrounds the events.
        clocks: Columns that are times, by path.
        key: Columns of the key.
        key_reasons: Reasons for the key, a sentence each.
        time: The event time.
        pairs: Successive events of one key, in the order of time.
    """

    columns: Sequence[Column]
    envelope: Envelope
    clocks: Mapping[str, Clock]
    key: tuple[Column, ...]
    key_reasons: tuple[str, ...]
    time: TimeGuess
    pairs: Pairs

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(N,) event times in seconds; empty without an event time."""
        return self.time.seconds

    @property
    def unordered(self) -> int:
        """Number of rows earlier than the row before them, other than by a change of clocks."""
        if self.has_doubled_hours:
            return 0
        return int((np.diff(self.seconds[np.isfinite(self.seconds)]) < 0).sum())

    @cached_property
    def has_doubled_hours(self) -> bool:
        """Whether times only go back in hours that local time has twice."""
        return goes_back_at_clock_changes(self.time)

    @cached_property
    def gaps_s(self) -> NDArray[np.float64]:
        """Seconds between successive events of a key; empty without an event time."""
        if self.time.column is None:
            return np.zeros(0)
        gaps = self.seconds[self.pairs.after] - self.seconds[self.pairs.before]
        return np.maximum(gaps[np.isfinite(gaps)], 0)

    @property
    def has_gaps(self) -> bool:
        """Whether the time between events varies."""
        return len(self.gaps_s) > 0 and float(np.ptp(self.gaps_s)) > 0

    @property
    def event_columns(self) -> list[Column]:
        """Columns of the event that are neither key nor event time."""
        used = (*self.key, self.time.column)
        return [c for c in self.columns if c not in used and self.envelope.contains(c)]


def examine(sample: Sample, options: ProposalOptions, ask: Ask) -> ExaminedLog:
    """Find the envelope, the key and the event time of a sample.

    Args:
        sample: First rows of a log.
        options: Choices that replace guesses.
        ask: Function that answers a question whose answer is not sure.

    Raises:
        ConfigError: No field can be the key, or an option names a field that does not exist or
            cannot be used.
    """
    _check_zone(options.zone)
    envelope = find_envelope(sample.columns)
    columns = filter_rows(sample.columns, envelope.is_event)
    envelope = replace(envelope, is_event=None)
    key, reasons = _choose_key(columns, sample.rows, envelope, options, ask)
    kinds = keep_kinds(columns, envelope, key)
    places = [columns.index(column) for column in key]
    columns = filter_rows(columns, kinds.is_event)
    key = tuple(columns[place] for place in places)
    envelope = replace(kinds, is_event=None)
    clocks = _find_clocks(columns, options)
    pairs = find_pairs(key)
    if not pairs.rows:
        raise ConfigError(f"no row has all fields of the key: {', '.join(options.key)}")
    others = [column for column in columns if column not in key]
    time, clocks = choose_time(others, clocks, pairs, envelope, options, ask)
    if options.zone and not (time.is_clock and time.table["unit"] in ("iso8601", "text")):
        place = f"{time.column.path} is no text" if time.column else "there is no event time"
        raise ConfigError(f"--zone {options.zone}: it is for times in texts, but {place}")
    if time.column is not None and not goes_back_at_clock_changes(time):  # as sorted by time
        pairs = find_pairs(key, time.seconds)
    return ExaminedLog(
        columns=columns,
        envelope=envelope,
        clocks=clocks,
        key=key,
        key_reasons=(*reasons, *_missing_words(key), *key_notes(key)),
        time=time,
        pairs=pairs,
    )


def _check_zone(zone: str) -> None:
    try:
        EventTime(path="time", unit="iso8601", zone=zone or UTC_ZONE)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--zone {zone}: {message}") from error


def _find_clocks(columns: Sequence[Column], options: ProposalOptions) -> dict[str, Clock]:
    found: dict[str, Clock] = {}
    for column in columns:
        layout = options.time_format if column.path == options.time else ""
        clock = find_clock(column, options.zone, layout)
        if clock is None and options.time_format and not options.time:
            clock = find_clock(column, options.zone, options.time_format)
        if clock is not None and (clock.unit == "text" or _is_clock(column, clock)):
            found[column.path] = clock
    return found


def _is_clock(column: Column, clock: Clock) -> bool:
    """Return whether numbers in the range of times are times, by name or order."""
    if clock.unit == "iso8601" or column.is_time or is_time_named(column):
        return True
    return column.distinct > 1 and column.values.drop_nulls().is_sorted()


def _choose_key(
    columns: Sequence[Column], rows: int, envelope: Envelope, options: ProposalOptions, ask: Ask
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    given = options.key
    if not given:
        ranked = _rank_keys(columns, envelope, options)
        if ranked and ranked[0].confidence >= CONFIDENCE_MIN:
            return ranked[0].columns, _key_reasons(ranked)
        question = key_question(ranked, rows)
        if not ranked:
            raise ConfigError(_no_key(columns))
        answer = ask(
            replace(question, check=lambda reply: _find_key(columns, reply.split(","), envelope))
        )
        chosen = next((item for item in ranked if item.answer == answer), None)
        if chosen is not None:
            columns_chosen, counts = chosen.columns, count_keys(find_pairs(chosen.columns))
            return columns_chosen, (f"The key {answer} is your answer: {counts}.",)
        given = tuple(part.strip() for part in answer.split(","))
    key = _find_key(columns, given, envelope)
    pairs = find_pairs(key)
    return key, (f"The key is given: {count_keys(pairs)}{_single_note(pairs)}.",)


def _find_key(
    columns: Sequence[Column], paths: Sequence[str], envelope: Envelope
) -> tuple[Column, ...]:
    return tuple(find_column(columns, path.strip(), "--key", envelope) for path in paths)


def _rank_keys(
    columns: Sequence[Column], envelope: Envelope, options: ProposalOptions
) -> list[KeyCandidate]:
    """Return the candidates for the key; those of some kinds of records if no other is likely."""

    def rank(rows: Sequence[Column]) -> list[KeyCandidate]:
        usable = [column for column in rows if _may_name_key(column, rows, envelope)]
        return rank_keys(usable, _find_clocks(rows, options))

    ranked = rank(columns)
    is_likely = any(
        item.confidence >= UNSURE and not any(c.key_words.null_count() for c in item.columns)
        for item in ranked
    )
    is_kept = None if is_likely else kinds_with_entity(columns)
    if is_kept is None:
        return ranked
    by_path = {column.path: column for column in columns}
    kept = rank(filter_rows(columns, is_kept))
    return [replace(c, columns=tuple(by_path[part.path] for part in c.columns)) for c in kept]


def _may_name_key(column: Column, columns: Sequence[Column], envelope: Envelope) -> bool:
    if envelope.unwrap and not envelope.contains(column):
        return envelope.unwrap == ("data",) and column.path in FIELD_OF_CLOUD_EVENTS
    return not metadata_reason(column, columns, envelope)


def _key_reasons(ranked: Sequence[KeyCandidate]) -> tuple[str, ...]:
    best = ranked[0]
    confidence = format_confidence(best.confidence)
    note = _single_note(find_pairs(best.columns))
    reasons = [f"The key is {best.answer} ({confidence}): {best.reason}{note}."]
    others = [f"{c.answer} ({format_confidence(c.confidence)})" for c in ranked[1:]]
    if others:
        shown = "; ".join(others[:OTHERS_SHOWN])
        reasons.append(f"Other candidates for the key (see --key): {shown}.")
    return tuple(reasons)


def _missing_words(key: Sequence[Column]) -> Iterator[str]:
    """Yield which words for a missing value a key consists of, for the reader takes each text."""
    for column in key:
        words = column.key_words.filter(column.words.is_null()).drop_nulls()
        counts = words.value_counts(sort=True, name="rows").head(OTHERS_SHOWN)
        for word, rows in counts.iter_rows():
            yield (
                f"{visible(word)} is the key of {rows} row{'s' * (rows != 1)}: in {column.path}, only "
                "the empty text is a missing key. If it means no key, write an empty field instead."
            )


def _single_note(pairs: Pairs) -> str:
    if pairs.keys < pairs.rows:
        return ""
    return (
        ". Each key has a single event, so there is no next event to predict: choose another "
        "--key, or --of now"
    )


def _no_key(columns: Sequence[Column]) -> str:
    tried = [c.summary for c in columns if c.kind in ("text", "integer") and not c.refusal]
    more = f"; and {len(tried) - CANDIDATES_MAX} more" if len(tried) > CANDIDATES_MAX else ""
    values = "; ".join(tried[:CANDIDATES_MAX]) if tried else "no field is a text or an integer"
    texts = [f"{c.path} is no key: {c.refusal}. " for c in columns if c.refusal == JSON_REASON]
    json = "".join(texts[:OTHERS_SHOWN])
    return visible(
        "no field looks like a key: a key has many values, each in several rows; name it with "
        f"--key. {values}{more}. {json}{SINGLE_THING}"
    )
