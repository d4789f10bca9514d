"""The guess of the key of a log, with its confidence.

A key names an entity with a history, such as a device, a user or a case.  Names count most; then
whether values repeat, and whether the times of the rows fit one history for each value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.spec.clocks import Clock
from stream_rnn.spec.columns import Column, Pairs, find_pairs, measure_change
from stream_rnn.spec.key_notes import describe_rounded
from stream_rnn.spec.key_twins import find_twin
from stream_rnn.spec.names import (
    ACTION_WORDS,
    CLASS_WORDS,
    EPISODE_WORDS,
    PLACE_WORDS,
    entity_word,
    is_id_name,
    last_word,
)
from stream_rnn.spec.questions import (
    CONFIDENCE_MIN,
    RIVAL_MARGIN,
    UNSURE,
    Candidate,
    Question,
    rank,
)
from stream_rnn.spec.unreadable_times import unreadable_time

CASE_WORDS = frozenset({"case", "ticket", "incident", "fall", "caso", "vorgang"})
LONG_TEXT = 40  # characters; a longer text is rarely a key
STEADY_MIN = 0.9  # share of equal steps of time within keys that shows histories
PAIRS_MIN = 20
CHANGES_MIN = 0.8  # share of changes of a field that may be a further part of a key
SINGLE_THING = "If it is the history of a single thing, add a column with its name."
COMPOSITE_PARTS_MAX = 8  # candidates that are tried as the second field of a key


@dataclass(frozen=True, eq=False)
class KeyCandidate:
    """Columns that may be the key.

    Attributes:
        columns: Columns of the key.
        confidence: Confidence that they are the key, from 0 to 1.
        reason: Reason for the confidence.
    """

    columns: tuple[Column, ...]
    confidence: float
    reason: str

    @property
    def answer(self) -> str:
        """Value of ``--key``."""
        return ",".join(column.path for column in self.columns)


def rank_keys(columns: Sequence[Column], clocks: Mapping[str, Clock]) -> list[KeyCandidate]:
    """Return the candidates for the key, the best first; a close rival makes the best unsure.

    Args:
        columns: Columns that may be part of a key.
        clocks: Columns that are times, by path.
    """
    seconds = _best_seconds(clocks)
    usable = [column for column in columns if _may_be_key(column, clocks)]
    scored = [_score(column, seconds, columns) for column in usable]
    scored = [item for item in scored if item.confidence > 0]
    scored = [_without_counter(item, scored) for item in scored]
    scored.sort(key=lambda item: (-item.confidence, -item.columns[0].distinct))
    if not scored:
        return []
    scored = _settle_rivals(scored)
    if seconds is not None:
        scored += _composites(scored, seconds)
    ranked = rank([Candidate(c.answer, c.confidence, c.reason) for c in scored])
    by_answer = {c.answer: c for c in scored}
    return _with_twin(
        [replace(by_answer[c.answer], confidence=c.confidence, reason=c.reason) for c in ranked]
    )


def key_question(candidates: Sequence[KeyCandidate], rows: int) -> Question:
    """Return the question for the key."""
    text = "Which field is the key? It names what has a history: a device, a user, a case."
    hint = f"The log has {rows} rows. {SINGLE_THING} Several fields make a key as --key A,B."
    columns = [c.columns[0] for c in candidates if len(c.columns) == 1]
    if columns and (twin := find_twin(columns[0], columns[1:])):
        hint += (
            f" If a row is an event of {columns[0].path} and of {twin.path}, write a row for each."
        )
    answers = [Candidate(c.answer, c.confidence, c.reason) for c in candidates]
    return Question(text, "--key", answers, hint)


def count_keys(pairs: Pairs) -> str:
    """Return the numbers of keys and rows, as a phrase."""
    events = pairs.rows / max(pairs.keys, 1)
    return f"{pairs.keys} keys in {pairs.rows} rows, {events:.1f} events per key"


def _with_twin(ranked: list[KeyCandidate]) -> list[KeyCandidate]:
    """Make the best candidate unsure if another column has the same entities."""
    best = ranked[0]
    twin = find_twin(best.columns[0], [c.columns[0] for c in ranked[1:] if len(c.columns) == 1])
    if twin is None:
        return ranked
    reason = f"{best.reason}; {twin.path} has the same values: a row may be an event of both"
    unsure = [replace(c, confidence=min(c.confidence, UNSURE)) for c in ranked[1:]]
    return [
        replace(best, confidence=min(best.confidence, UNSURE), reason=reason),
        *(replace(c, confidence=UNSURE) for c in unsure if c.columns == (twin,)),
        *(c for c in unsure if c.columns != (twin,)),
    ]


def _may_be_key(column: Column, clocks: Mapping[str, Clock]) -> bool:
    if column.refusal or not column.present or column.path in clocks or column.is_flag:
        return False
    if unreadable_time(column):
        return False
    if column.kind == "number":  # pandas writes integers beside gaps as 7.0
        is_named = bool(entity_word(column.parts)) or is_id_name(column.parts)
        return is_named and bool((column.numbers == np.rint(column.numbers)).all())
    return column.kind in ("text", "integer")


def _score(
    column: Column, seconds: NDArray[np.float64] | None, columns: Sequence[Column]
) -> KeyCandidate:
    confidence, reasons = _name_score(column)
    words = column.key_words.drop_nulls()
    rows, share, keys = len(column.values), len(words) / len(column.values), words.n_unique()
    repeats = len(words) / keys
    reasons.append(f"{keys} keys in {len(words)} rows, {repeats:.1f} events per key")
    if keys == 1:
        confidence *= 0.7 if entity_word(column.parts) else 0
    elif repeats < 2:
        confidence *= 0.1 if repeats < 1.2 else 0.5
        reasons.append("most keys have a single event")
    if share < 1:
        confidence *= share**2
        reasons.append(f"{rows - len(words)} rows lack it, and would be no events")
    if keys > 1 and (history := _history(column, seconds, columns)):
        is_plain = column.kind == "integer" and confidence < CONFIDENCE_MIN
        confidence = 1 - 0.35 * (1 - confidence)
        if seconds is not None and is_plain:
            confidence = UNSURE  # an hour of the day has a history, too
        reasons.append(history)
    if cut := describe_rounded(column):
        confidence = min(confidence, UNSURE)
        reasons.append(cut)
    return KeyCandidate((column,), round(min(confidence, 0.98), 3), "; ".join(reasons))


def _without_counter(candidate: KeyCandidate, candidates: Sequence[KeyCandidate]) -> KeyCandidate:
    """Lower the confidence of whole numbers that count the events of another key, such as visits."""
    column = candidate.columns[0]
    if column.kind != "integer" or candidate.confidence < UNSURE:
        return candidate
    for other in (c.columns[0] for c in candidates):
        is_entity = other.kind == "text" or is_id_name(other.parts) or entity_word(other.parts)
        if other is column or not is_entity:
            continue
        pairs = find_pairs([other])
        steps = column.floats[pairs.after] - column.floats[pairs.before]
        if len(steps) >= PAIRS_MIN and (steps >= 0).all() and (steps == 1).mean() >= STEADY_MIN:
            reason = f"{candidate.reason}; it counts up within each {other.path}"
            return replace(candidate, confidence=0.1, reason=reason)
    return candidate


def _name_score(column: Column) -> tuple[float, list[str]]:
    """Return the confidence by name and type alone."""
    word = entity_word(column.parts)
    is_measure = word == "unit" and not column.words.drop_nulls().str.contains(r"\d").any()
    if word and not is_measure:
        score = 0.75 if word in PLACE_WORDS else 0.88 if word in EPISODE_WORDS else 0.9
        score = 0.95 if word in CASE_WORDS else score
        return score, [f"its name is typical of a key ({word})"]
    if is_id_name(column.parts):
        return 0.65, ["its name is that of an id"]
    if is_measure or last_word(column.parts) in ACTION_WORDS | CLASS_WORDS:
        return 0.2, ["its name is that of a category"]
    if column.kind != "text":
        return 0.12, ["whole numbers"]
    lengths = column.words.drop_nulls().str.len_chars().mean()
    if isinstance(lengths, float) and lengths > LONG_TEXT:
        return 0.05, ["long texts"]
    is_coarse = 10 * column.distinct**2 < column.present
    return (0.25 if is_coarse else 0.35), ["texts"]


def _history(column: Column, seconds: NDArray[np.float64] | None, columns: Sequence[Column]) -> str:
    """Return why the rows of each value are one history; empty if nothing shows it."""
    pairs = find_pairs([column], seconds)
    if len(pairs.before) < PAIRS_MIN or pairs.rows < 2 * pairs.keys:
        return ""
    if seconds is None:
        return _counter_history(column, pairs, columns)
    return _timed_history(pairs, seconds)


def _timed_history(pairs: Pairs, seconds: NDArray[np.float64]) -> str:
    """Return how the times of the rows of each value follow each other, if it is regular."""
    steps = seconds[pairs.after] - seconds[pairs.before]
    steps = steps[np.isfinite(steps)]
    known = seconds[np.isfinite(seconds)]
    if len(steps) < PAIRS_MIN:
        return ""
    shared = 1 - len(np.unique(known)) / len(known)
    if shared > 0.5 and (steps == 0).mean() < 0.01:
        return "rows of the same time have different values of it"
    step, share = _mode(np.round(steps, 3))
    overall, _ = _mode(np.round(np.diff(np.sort(known)), 3))
    if share >= STEADY_MIN and step > max(overall, 0):
        return f"the rows of each value follow in steps of {step:g} s"
    return ""


def _counter_history(column: Column, pairs: Pairs, columns: Sequence[Column]) -> str:
    """Return which other column counts up in each block of rows of one value."""
    if (pairs.after - pairs.before == 1).mean() < STEADY_MIN:
        return ""
    for other in columns:
        if other is column or other.kind != "integer" or other.present < len(other.values):
            continue
        steps = other.floats[pairs.after] - other.floats[pairs.before]
        starts = np.delete(other.floats, pairs.after)
        if (steps == steps[0]).all() and steps[0] > 0 and len(np.unique(starts)) == 1:
            return f"{other.path} counts up for each value of it, from {starts[0]:g} on"
    return ""


def _mode(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the most frequent value, and its share."""
    if not len(values):
        return 0.0, 0.0
    unique, counts = np.unique(values, return_counts=True)
    return float(unique[counts.argmax()]), float(counts.max() / len(values))


def _best_seconds(clocks: Mapping[str, Clock]) -> NDArray[np.float64] | None:
    """Return the times that most rows have; ``None`` without any."""
    if not clocks:
        return None
    return max((clock.seconds for clock in clocks.values()), key=lambda s: np.isfinite(s).sum())


def _settle_rivals(scored: list[KeyCandidate]) -> list[KeyCandidate]:
    """Lower the confidence of close candidates that do not really compete with the best one.

    Two columns with the same groups of rows are one key.  If one splits the groups of the other,
    the finer one is the key (a sensor within a site), unless it is an episode of the coarser one
    (a session of a user): then the question stays open.
    """
    best = scored[0]
    settled = [best]
    for candidate in scored[1:]:
        rival = candidate
        if best.confidence - candidate.confidence < RIVAL_MARGIN:
            best, rival = _compare(best, candidate)
            settled[0] = best
        settled.append(rival)
    return settled


def _compare(best: KeyCandidate, rival: KeyCandidate) -> tuple[KeyCandidate, KeyCandidate]:
    one, two = best.columns[0], rival.columns[0]
    both = pl.DataFrame({"a": one.words, "b": two.words}).drop_nulls().unique().height
    one_splits, two_splits = both == one.distinct, both == two.distinct
    lower = best.confidence - RIVAL_MARGIN - 0.01
    if one_splits and two_splits:
        reason = f"{rival.reason}; it has the same groups of rows as {one.path}"
        return best, replace(rival, confidence=lower, reason=reason)
    if one_splits or two_splits:
        fine, coarse = (best, rival) if one_splits else (rival, best)
        word = entity_word(fine.columns[0].parts)
        if word not in EPISODE_WORDS and fine.columns[0].distinct * 2 <= fine.columns[0].present:
            top = max(best.confidence, rival.confidence)
            reason = f"{fine.reason}; it splits the groups of {coarse.columns[0].path}"
            low = min(coarse.confidence, top - RIVAL_MARGIN - 0.01)
            return replace(fine, confidence=top, reason=reason), replace(coarse, confidence=low)
    return best, rival


def _composites(scored: Sequence[KeyCandidate], seconds: NDArray[np.float64]) -> list[KeyCandidate]:
    """Return keys of two fields, if rows of the best single key are no single history."""
    best = scored[0]
    if best.columns[0].distinct < 2:
        return []
    if _shared_times(best.columns, seconds) < 0.2:
        return _steadier(best, scored[1:], seconds)
    found = []
    for other in scored[1 : COMPOSITE_PARTS_MAX + 1]:
        columns = (best.columns[0], other.columns[0])
        pairs = find_pairs(columns)
        if pairs.rows >= 3 * pairs.keys and _shared_times(columns, seconds) < 0.01:
            reason = (
                f"{best.answer} alone has several rows at one time, and both fields together have "
                f"one; {count_keys(pairs)}"
            )
            confidence = round(best.confidence - 0.05, 3)
            found.append(KeyCandidate(columns, confidence, reason))
    return sorted(found, key=lambda item: find_pairs(item.columns).keys)[:1]


def _steadier(
    best: KeyCandidate, others: Sequence[KeyCandidate], seconds: NDArray[np.float64]
) -> list[KeyCandidate]:
    """Return the best key with another entity, if only both together have steady histories."""
    alone = find_pairs(best.columns, seconds)
    if _timed_history(alone, seconds):
        return []
    for other in others[:COMPOSITE_PARTS_MAX]:
        is_entity = bool(entity_word(other.columns[0].parts))
        columns = (best.columns[0], other.columns[0])
        pairs = find_pairs(columns, seconds)
        if not is_entity or pairs.keys <= alone.keys or pairs.rows < 3 * pairs.keys:
            continue
        history = _timed_history(pairs, seconds)
        if history and measure_change(other.columns[0], alone)[0] >= CHANGES_MIN:
            reason = (
                f"{columns[1].path} changes within {best.answer} nearly every event, and {history}; "
                f"{count_keys(pairs)}"
            )
            return [KeyCandidate(columns, round(best.confidence - 0.05, 3), reason)]
    return []


def _shared_times(columns: Sequence[Column], seconds: NDArray[np.float64]) -> float:
    """Return the share of successive rows of a key that have the same time."""
    pairs = find_pairs(columns, seconds)
    steps = seconds[pairs.after] - seconds[pairs.before]
    steps = steps[np.isfinite(steps)]
    return float((steps == 0).mean()) if len(steps) else 0.0
