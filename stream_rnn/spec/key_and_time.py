"""Guesses of a log's key and event time, each with its reason.

Names count for more than numbers: a column that is called after something with a history of its
own (a case, a user, a device) is a better key than one that merely repeats.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.spec.columns import Column, Pairs, pairs_of
from stream_rnn.text import visible


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


OWNERS = words(
    "user case unit device session customer account client patient machine engine vehicle car "
    "truck host node sensor player member visitor person employee driver ticket order card meter "
    "asset equipment robot aircraft tail vessel store shop household entity trip claim"
)
IDS = words("id ids key uuid guid")
MOMENTS = words("time timestamp ts date datetime at when created occurred epoch moment dt utc")
CYCLES = words("cycle step seq sequence tick round turn index position number no nr")
YEARS_S = (631_152_000, 4_102_444_800)  # 1990 to 2100
UNITS = {"s": 1, "ms": 1_000, "µs": 1_000_000, "ns": 1_000_000_000}  # in a second
TIME_S_MAX = 60_000_000_000  # as a count of seconds it stays within the years 1 to 9999
NAMED_MAX = 12  # candidates that a message names


@dataclass(frozen=True, slots=True)
class Guess:
    """What was chosen and why.

    Attributes:
        columns: of the key, or the one of the event time.
        unit: of the event time; empty of a key.
        why: one sentence a line.
        is_clock: the event time is a moment of the calendar, no mere count.
    """

    columns: tuple[Column, ...]
    why: tuple[str, ...]
    unit: str = ""
    is_clock: bool = False


def words_of(name: str) -> frozenset[str]:
    """Return the words of a name, in lower case; ``userid`` is ``user`` and ``id``.

    Example:
        >>> sorted(words_of("CaseID")), sorted(words_of("created_at"))
        (['case', 'id'], ['at', 'created'])
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = re.findall(r"[^\W\d_]+", apart)
    parts = {part.lower() for part in found}
    owners = {part.removesuffix("id") for part in parts if part.endswith("id")} & OWNERS
    return frozenset(parts | owners | ({"id"} if owners else set()))


def find_column(columns: Sequence[Column], path: str, option: str) -> Column:
    """Return the column of a path.

    Raises:
        ConfigError: there is none, or it is of no use.
    """
    named = sorted((c for c in columns if c.path == path), key=lambda column: bool(column.refusal))
    if named and named[0].refusal:
        raise ConfigError(f"{option} {path}: {named[0].refusal}")
    if named:
        return named[0]
    known = ", ".join(column.path for column in columns[:NAMED_MAX])
    more = f" and {len(columns) - NAMED_MAX} more" if len(columns) > NAMED_MAX else ""
    raise ConfigError(f"{option} {path}: the log has no such field; it has {known or 'none'}{more}")


def guess_key(columns: Sequence[Column], asked: Sequence[str]) -> Guess:
    """Choose the key.

    Args:
        columns: of the log.
        asked: paths that a person named; empty: guess.

    Raises:
        ConfigError: a named field is missing, or nothing looks like a key.
    """
    if asked:
        chosen = tuple(find_column(columns, path, "--key") for path in asked)
        pairs = pairs_of(chosen)
        return Guess(chosen, (f"the key is as asked: {_keys(pairs)}",))
    ranked = sorted(
        ((_key_rank(column), column) for column in columns if _may_be_key(column)),
        key=lambda item: (-item[0], -item[1].distinct),
    )
    ranked = [item for item in ranked if item[0] > 0]
    if not ranked:
        raise ConfigError(_no_key(columns))
    chosen, others = (ranked[0][1],), [column.summary for _, column in ranked[1:4]]
    why = f"the key is a guess: {chosen[0].path} repeats, {_keys(pairs_of(chosen))}"
    if words_of(chosen[0].path) & (OWNERS | IDS):
        why += ", and its name sounds like one"
    also = (f"it could be, too: {'; '.join(others)} (--key)",) if others else ()
    return Guess(chosen, (why, *also))


def guess_time(columns: Sequence[Column], key: Guess, pairs: Pairs, asked: str | None) -> Guess:
    """Choose the event time; without any, that of the record in Kafka stays.

    Raises:
        ConfigError: the named field holds no times.
    """
    if asked is not None:
        return _named_time(find_column(columns, asked, "--time"))
    usable = [c for c in columns if c not in key.columns and not c.refusal]
    clocks = sorted((c for c in usable if is_clock(c)), key=_clock_rank)
    if clocks:
        found = _clock(clocks[0])
        others = ", ".join(column.path for column in clocks[1:4])
        also = (f"times, too: {others} (--time)",) if others else ()
        return Guess(found.columns, (*found.why, *also), found.unit, is_clock=True)
    for column in usable:
        if words_of(column.path) & (CYCLES | MOMENTS) and _counts_up(column, pairs):
            return _cycle(column)
    why = "no field looks like a time, so it is the record's timestamp; a file has none: its rows "
    return Guess((), (f"{why}are skipped by train until --time names one",))


def is_clock(column: Column) -> bool:
    """Whether a column holds moments between 1990 and 2100, all of it, in a unit of the spec."""
    if column.kind == "text":
        first = column.values.drop_nulls().head(1).to_list()
        if not first or not re.match(r"\d{4}-\d\d-\d\d", first[0]):
            return False
        times_s = column.times_s[~column.values.is_null().to_numpy()]
        return bool(((times_s >= YEARS_S[0]) & (times_s < YEARS_S[1])).all())
    if epoch_unit(column) not in ("s", "ms"):
        return False
    named = bool(words_of(column.path) & MOMENTS)
    return named or (column.distinct > 1 and column.values.drop_nulls().is_sorted())


def epoch_unit(column: Column) -> str | None:
    """Return the unit in which all numbers of a column are moments from 1990 to 2100."""
    if column.kind not in ("integer", "number") or not column.present:
        return None
    low, high = column.numbers.min(), column.numbers.max()
    for unit, scale in UNITS.items():
        if YEARS_S[0] * scale <= low and high < YEARS_S[1] * scale:
            return unit
    return None


def time_seconds(time: Guess) -> NDArray[np.float64]:
    """Return the (N,) event times in seconds, NaN where there is none."""
    column = time.columns[0]
    if time.unit == "iso8601":
        return column.times_s
    raw = column.values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return raw / UNITS[time.unit]


def _keys(pairs: Pairs) -> str:
    each = pairs.rows / max(pairs.keys, 1)
    found = f"{pairs.keys} keys in {pairs.rows} rows, {each:.1f} events each"
    if pairs.keys == pairs.rows:
        found += (
            ": no key has a second one, so there is no next event to learn (--of now, or --key)"
        )
    return found


def _may_be_key(column: Column) -> bool:
    if column.refusal or column.kind not in ("text", "integer") or is_clock(column):
        return False
    return 0 < column.distinct <= 0.9 * column.present and column.present >= len(column.values) / 2


def _key_rank(column: Column) -> int:
    """Return how much a column looks like a key; 0: not at all."""
    named = words_of(column.path)
    rank = 3 if named & OWNERS else 2 if named & IDS else 1 if column.kind == "text" else 0
    is_coarse = 10 * column.distinct**2 < column.present
    return rank - 1 if is_coarse else rank


def _no_key(columns: Sequence[Column]) -> str:
    tried = [c.summary for c in columns if c.kind in ("text", "integer") and not c.refusal]
    more = f"; and {len(tried) - NAMED_MAX} more" if len(tried) > NAMED_MAX else ""
    found = "; ".join(tried[:NAMED_MAX]) + more if tried else "no field is a text or an integer"
    return visible(
        f"no key found: its values repeat, and there are many. Name it with --key. {found}"
    )


def _clock_rank(column: Column) -> tuple[bool, int, bool]:
    named = bool(words_of(column.path) & MOMENTS)
    return not named, -column.present, not column.values.drop_nulls().is_sorted()


def _clock(column: Column) -> Guess:
    unit = "iso8601" if column.kind == "text" else epoch_unit(column) or ""
    what = "texts of ISO 8601, without a zone in UTC" if unit == "iso8601" else f"epochs in {unit}"
    why = [f"the event time is {column.path}: {what}"]
    if absent := len(column.values) - column.present:
        why.append(f"{absent} rows have no {column.path}: they are skipped")
    return Guess((column,), tuple(why), unit, is_clock=True)


def _cycle(column: Column) -> Guess:
    why = f"there is no clock: {column.path} only counts up within a key, so it stands for seconds"
    return Guess((column,), (why,), "s")


def _counts_up(column: Column, pairs: Pairs) -> bool:
    """Whether a column grows with every event of a key, and starts anew with another key."""
    if column.kind not in ("integer", "number") or column.present < len(column.values):
        return False
    values = column.numbers
    if not len(pairs.before) or np.abs(values).max() > TIME_S_MAX:
        return False
    restarts = pairs.keys == 1 or column.distinct < pairs.rows
    return restarts and bool((values[pairs.after] > values[pairs.before]).all())


def _named_time(column: Column) -> Guess:
    if column.kind == "text" and column.present:
        there = ~column.values.is_null().to_numpy()
        bad = there & np.isnan(column.times_s)
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
            f"--time {column.path}: its numbers look like {unit} since 1970; event.time reads s, "
            f"ms and iso8601, so divide them by {UNITS[unit] // 1000}"
        )
    is_number = column.kind in ("integer", "number") and column.present > 0
    if is_number and np.abs(column.numbers).max() <= TIME_S_MAX:
        why = (
            f"the event time is {column.path} as asked: no plausible years, so it counts as seconds"
        )
        return Guess((column,), (why,), "s")
    raise ConfigError(
        f"--time {column.path}: a {column.kind} with {column.distinct} values is no time; "
        "needed are epochs in s or ms, or texts of ISO 8601"
    )
