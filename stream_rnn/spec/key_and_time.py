"""Guesses of the key and the event time of a log, each with its reasons.

Names count for more than values: a column whose name contains the word for an entity with a
history (case, user, device) is a better key than any other column whose values repeat.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.spec.columns import Column, Pairs, find_pairs
from stream_rnn.text import visible


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


ENTITY_WORDS = words(
    "user case unit device session customer account client patient machine engine vehicle car "
    "truck host node sensor player member visitor person employee driver ticket order card meter "
    "asset equipment robot aircraft tail vessel store shop household entity trip claim"
)
ID_WORDS = words("id ids key uuid guid")
TIME_WORDS = words("time timestamp ts date datetime at when created occurred epoch moment dt utc")
COUNTER_WORDS = words("cycle step seq sequence tick round turn index position number no nr")
YEARS_S = (631_152_000, 4_102_444_800)  # 1990 to 2100
UNITS_PER_S = {"s": 1, "ms": 1_000, "µs": 1_000_000, "ns": 1_000_000_000}
TIME_S_MAX = 60_000_000_000  # as seconds since 1970, it lies within the years 1 to 9999
CANDIDATES_MAX = 12  # columns that a message names


@dataclass(frozen=True, slots=True)
class Guess:
    """A choice of the key or of the event time.

    Attributes:
        columns: Columns of the key, or the column of the event time; empty without an event time.
        reasons: Reasons for the choice, one sentence each.
        unit: Unit of the event time; empty for a key.
        is_clock: Whether the event time is a date and time rather than a count.
    """

    columns: tuple[Column, ...]
    reasons: tuple[str, ...]
    unit: str = ""
    is_clock: bool = False


def split_words(name: str) -> frozenset[str]:
    """Split a column name into lower-case words; ``userid`` contains ``user`` and ``id``, too.

    Example:
        >>> sorted(split_words("CaseID")), sorted(split_words("created_at"))
        (['case', 'id'], ['at', 'created'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    parts = {part.lower() for part in re.findall(r"[^\W\d_]+", spaced)}
    entities = {part.removesuffix("id") for part in parts if part.endswith("id")} & ENTITY_WORDS
    return frozenset(parts | entities | ({"id"} if entities else set()))


def find_column(columns: Sequence[Column], path: str, option: str) -> Column:
    """Return the column that an option names by its path.

    Raises:
        ConfigError: The log has no such column, or a spec cannot use it.
    """
    named = sorted((c for c in columns if c.path == path), key=lambda column: bool(column.refusal))
    if named and named[0].refusal:
        raise ConfigError(f"{option} {path}: {named[0].refusal}")
    if named:
        return named[0]
    known = ", ".join(column.path for column in columns[:CANDIDATES_MAX])
    more = f" and {len(columns) - CANDIDATES_MAX} more" if len(columns) > CANDIDATES_MAX else ""
    raise ConfigError(
        f"{option} {path}: the log has no such field; its fields are {known or 'none'}{more}"
    )


def guess_key(columns: Sequence[Column], paths: Sequence[str]) -> Guess:
    """Guess the key.

    Args:
        columns: Columns of the log.
        paths: Fields that --key names; empty to guess.

    Raises:
        ConfigError: A named field does not exist, or no column looks like a key.
    """
    if paths:
        key = tuple(find_column(columns, path, "--key") for path in paths)
        return Guess(key, (f"The key is given: {_count_keys(find_pairs(key))}.",))
    ranked = sorted(
        ((_key_rank(column), column) for column in columns if _may_be_key(column)),
        key=lambda item: (-item[0], -item[1].distinct),
    )
    ranked = [item for item in ranked if item[0] > 0]
    if not ranked:
        raise ConfigError(_no_key(columns))
    chosen, others = ranked[0][1], [column.summary for _, column in ranked[1:4]]
    reason = "its values repeat"
    if split_words(chosen.path) & (ENTITY_WORDS | ID_WORDS):
        reason += ", and its name is typical of a key"
    reasons = [f"The key is {chosen.path}: {reason}; {_count_keys(find_pairs((chosen,)))}."]
    if others:
        reasons.append(f"Other candidates for the key (see --key): {'; '.join(others)}.")
    return Guess((chosen,), tuple(reasons))


def guess_time(columns: Sequence[Column], key: Guess, pairs: Pairs, path: str | None) -> Guess:
    """Guess the event time; if no column looks like a time, use the timestamp of the record.

    Args:
        columns: Columns of the log.
        key: The key.
        pairs: Successive events of one key.
        path: Field that --time names; ``None`` to guess.

    Raises:
        ConfigError: The named field does not contain times.
    """
    if path is not None:
        return _named_time(find_column(columns, path, "--time"))
    usable = [c for c in columns if c not in key.columns and not c.refusal]
    clocks = sorted((c for c in usable if is_clock(c)), key=_clock_rank)
    if clocks:
        guess = _clock(clocks[0])
        others = ", ".join(column.path for column in clocks[1:4])
        more = (f"Other candidates for the event time (see --time): {others}.",) if others else ()
        return replace(guess, reasons=(*guess.reasons, *more))
    for column in usable:
        if split_words(column.path) & (COUNTER_WORDS | TIME_WORDS) and _counts_up(column, pairs):
            return _counter(column)
    reason = (
        "No field looks like a time, so the event time is the timestamp of the record: in a file, "
        "the row number. If times matter, name a field with --time."
    )
    return Guess((), (reason,))


def is_clock(column: Column) -> bool:
    """Return whether all values of a column are times from 1990 to 2100, in a unit of the spec."""
    if column.kind == "text":
        first = column.values.drop_nulls().head(1).to_list()
        if not first or not re.match(r"\d{4}-\d\d-\d\d", first[0]):
            return False
        times_s = column.times_s[~column.values.is_null().to_numpy()]
        return bool(((times_s >= YEARS_S[0]) & (times_s < YEARS_S[1])).all())
    if epoch_unit(column) not in ("s", "ms"):
        return False
    named = bool(split_words(column.path) & TIME_WORDS)
    return named or (column.distinct > 1 and column.values.drop_nulls().is_sorted())


def epoch_unit(column: Column) -> str | None:
    """Return the unit in which all numbers of a column are times from 1990 to 2100, if any."""
    if column.kind not in ("integer", "number") or not column.present:
        return None
    low, high = column.numbers.min(), column.numbers.max()
    for unit, scale in UNITS_PER_S.items():
        if YEARS_S[0] * scale <= low and high < YEARS_S[1] * scale:
            return unit
    return None


def time_seconds(time: Guess) -> NDArray[np.float64]:
    """Return the (N,) event times in seconds; NaN where an event has none."""
    column = time.columns[0]
    if time.unit == "iso8601":
        return column.times_s
    raw = column.values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return raw / UNITS_PER_S[time.unit]


def _count_keys(pairs: Pairs) -> str:
    events = pairs.rows / max(pairs.keys, 1)
    counts = f"{pairs.keys} keys in {pairs.rows} rows, {events:.1f} events per key"
    if pairs.keys == pairs.rows:
        counts += (
            ". Each key has a single event, so there is no next event to predict: choose another "
            "--key, or --of now"
        )
    return counts


def _may_be_key(column: Column) -> bool:
    if column.refusal or column.kind not in ("text", "integer") or is_clock(column):
        return False
    return 0 < column.distinct <= 0.9 * column.present and column.present >= len(column.values) / 2


def _key_rank(column: Column) -> int:
    """Return how much a column looks like a key, from 0 (not at all) to 3."""
    named = split_words(column.path)
    rank = (
        3 if named & ENTITY_WORDS else 2 if named & ID_WORDS else 1 if column.kind == "text" else 0
    )
    is_coarse = 10 * column.distinct**2 < column.present
    return rank - 1 if is_coarse else rank


def _no_key(columns: Sequence[Column]) -> str:
    tried = [c.summary for c in columns if c.kind in ("text", "integer") and not c.refusal]
    more = f"; and {len(tried) - CANDIDATES_MAX} more" if len(tried) > CANDIDATES_MAX else ""
    values = "; ".join(tried[:CANDIDATES_MAX]) if tried else "no field is a text or an integer"
    return visible(
        "no field looks like a key: a key has many values, each in several rows; name it with "
        "--key. "
        f"{values}{more}"
    )


def _clock_rank(column: Column) -> tuple[bool, int, bool]:
    named = bool(split_words(column.path) & TIME_WORDS)
    return not named, -column.present, not column.values.drop_nulls().is_sorted()


def _clock(column: Column) -> Guess:
    unit = "iso8601" if column.kind == "text" else epoch_unit(column) or ""
    kind = "ISO 8601 texts, in UTC unless they name a zone"
    if unit != "iso8601":
        kind = f"numbers in {unit} since 1970"
    reasons = [f"The event time is {column.path}: {kind}."]
    if absent := len(column.values) - column.present:
        reasons.append(f"{absent} rows have no {column.path}; they are skipped.")
    return Guess((column,), tuple(reasons), unit, is_clock=True)


def _counter(column: Column) -> Guess:
    reason = (
        f"No field looks like a date or a time. {column.path} counts up within each key, so it is "
        "the event time, with one second per count."
    )
    return Guess((column,), (reason,), "s")


def _counts_up(column: Column, pairs: Pairs) -> bool:
    """Return whether a column grows with every event of a key, and restarts with each key."""
    if column.kind not in ("integer", "number") or column.present < len(column.values):
        return False
    values = column.numbers
    if not len(pairs.before) or np.abs(values).max() > TIME_S_MAX:
        return False
    restarts = pairs.keys == 1 or column.distinct < pairs.rows
    return restarts and bool((values[pairs.after] > values[pairs.before]).all())


def _named_time(column: Column) -> Guess:
    if column.kind == "text" and column.present:
        bad = ~column.values.is_null().to_numpy() & np.isnan(column.times_s)
        if not bad.any():
            return _clock(column)
        example = column.values[int(np.flatnonzero(bad)[0])]
        raise ConfigError(
            f"--time {column.path}: {int(bad.sum())} of {column.present} texts are not ISO 8601, "
            f"such as {example[:60]!r}"
        )
    unit = epoch_unit(column)
    if unit in ("s", "ms"):
        return _clock(column)
    if unit is not None:
        raise ConfigError(
            f"--time {column.path}: its numbers look like {unit} since 1970, which event.time does "
            f"not read; divide them by {UNITS_PER_S[unit] // 1000} for ms"
        )
    is_number = column.kind in ("integer", "number") and column.present > 0
    if is_number and np.abs(column.numbers).max() <= TIME_S_MAX:
        reason = (
            f"The event time is {column.path}, as given. Its numbers are read as seconds: as times "
            "since 1970, they would not lie in the years 1990 to 2100."
        )
        return Guess((column,), (reason,), "s")
    raise ConfigError(
        f"--time {column.path}: a {column.kind} with {column.distinct} values is not a time; "
        "name a field with s or ms since 1970, or with ISO 8601 texts"
    )
