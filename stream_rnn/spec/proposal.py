"""A feature spec proposed from a log: what each field could be, and why, in TOML with comments.

A guess that is wrong must be easy to see and to change, so each one says what it was made from,
and what was left out says why.  What is proposed loads, and every row of the sample that has the
key and the event time is an event by it (``tests/unit/test_proposal.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import SPEC_BYTES_MAX
from stream_rnn.spec.column_kinds import (
    ACTING,
    Names,
    Role,
    feature_values,
    legal_name,
    role_of,
    target_role,
)
from stream_rnn.spec.columns import Column, Pairs, columns_of, pairs_of, shared_bits, steps_vary
from stream_rnn.spec.key_and_time import (
    Guess,
    find_column,
    guess_key,
    guess_time,
    time_seconds,
    words_of,
)
from stream_rnn.spec.toml import Block, document
from stream_rnn.text import format_duration

FEATURES_MAX = 500  # FeatureSpec allows 512, of which some go to the times
OFFERED_HEADS_MAX = 3
OFFERED_CLASSES_MAX = 20
DAY_S = 86_400
CHANGES_MIN = 0.05  # what changes less within a key is the same at its next event anyway
REASONS_MAX = 12

Of = Literal["now", "next", "label"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person said beforehand.

    Attributes:
        key: paths of the fields that make the key; empty: guess.
        time: path of the event time; ``None``: guess.
        targets: paths of what is to be predicted; empty: guess.
        of: when the targets' values are asked for.
        classes_max: of a vocabulary.
    """

    key: tuple[str, ...] = ()
    time: str | None = None
    targets: tuple[str, ...] = ()
    of: Of = "next"
    classes_max: int = 1000


@dataclass(frozen=True)
class _Log:
    """A sample and what was made of it so far."""

    columns: Sequence[Column]
    key: Guess
    time: Guess
    pairs: Pairs
    seconds: NDArray[np.float64]

    @cached_property
    def gaps_s(self) -> NDArray[np.float64]:
        """Seconds between events of a key; empty without an event time."""
        if not self.time.columns:
            return np.zeros(0)
        gaps = self.seconds[self.pairs.after] - self.seconds[self.pairs.before]
        return np.maximum(gaps[np.isfinite(gaps)], 0)

    @property
    def has_gaps(self) -> bool:
        """Whether the time between events says anything."""
        return len(self.gaps_s) > 0 and float(np.ptp(self.gaps_s)) > 0

    @property
    def open_columns(self) -> list[Column]:
        """What is neither key nor event time."""
        return [c for c in self.columns if c not in (*self.key.columns, *self.time.columns)]


def propose(sample: pl.DataFrame, name: str, wanted: Wanted) -> str:
    """Propose a spec as TOML with comments.

    Args:
        sample: rows of a log, in its order.
        name: of the log, for the comments and as the spec's name.
        wanted: what is not to be guessed.

    Raises:
        ConfigError: there is no key, nothing to learn from, or what was asked for is not there.
    """
    log = _look(columns_of(sample), wanted)
    hidden = set(wanted.targets) if wanted.of != "next" else set()
    used, left_out = _roles(log, wanted, hidden)
    features = list(_features(log, used))
    heads = list(_heads(log, wanted))
    if not features or not heads:
        raise ConfigError(_nothing(name, left_out))
    offered = list(_offered(log, wanted, heads))
    text = document([_top(name, len(sample)), _event(log), *features, *left_out, *heads, *offered])
    if (size := len(text.encode())) > SPEC_BYTES_MAX:
        raise ConfigError(
            f"the spec would have {size} bytes, more than {SPEC_BYTES_MAX}; give smaller --classes"
        )
    return text


def _look(columns: Sequence[Column], wanted: Wanted) -> _Log:
    key = guess_key(columns, wanted.key)
    pairs = pairs_of(key.columns)
    if not pairs.rows:
        raise ConfigError(f"no row has all of the key: {', '.join(wanted.key)}")
    time = guess_time(columns, key, pairs, wanted.time)
    seconds = time_seconds(time) if time.columns else np.zeros(0)
    return _Log(columns, key, time, pairs, seconds)


def _top(name: str, rows: int) -> Block:
    why = (
        f"Proposed from {rows} rows of {name}. Each guess says why; read it, change it, train.",
        "Then: stream-rnn spec check SPEC LOG says what of a log is an event by it.",
    )
    return Block("", {"format": 1, "name": legal_name(name.partition(".")[0])}, why)


def _event(log: _Log) -> Block:
    why = [*log.key.why, *log.time.why]
    if log.time.columns:
        back = int((np.diff(log.seconds[np.isfinite(log.seconds)]) < 0).sum())
        if back:
            why.append(
                f"{back} rows are earlier than the row before: a stream comes in the order of time, "
                "so sort the file by it, stably"
            )
    values: dict[str, Any] = {"key": [column.path for column in log.key.columns]}
    if log.time.columns:
        values["time"] = {"path": log.time.columns[0].path, "unit": log.time.unit}
    return Block("[event]", values, why)


def _roles(
    log: _Log, wanted: Wanted, hidden: set[str]
) -> tuple[list[tuple[Column, Role]], list[Block]]:
    """Say what each column is as a feature, and of what is none why."""
    used: list[tuple[Column, Role]] = []
    lines: list[str] = []
    for column in log.open_columns:
        of_column = target_role if column.path in wanted.targets else role_of
        role = of_column(column, wanted.classes_max)
        if column.path in hidden:
            lines.append(f"{column.path} is left out: it is the target of {wanted.of}")
        elif role.kind == "none":
            lines.append(f"{column.path} is left out: {role.why}")
        elif len(used) == FEATURES_MAX:
            lines.append(f"{column.path} is left out: there are {FEATURES_MAX} features already")
        else:
            used.append((column, role))
    if any(role.kind == "numeric" and c.present == len(c.values) for c, role in used):
        lines.append(
            'A number that is never missing here has missing = "mean": an event that lacks it one '
            'day passes, "error" would skip it, and the column of "indicator" would never be trained.'
        )
    return used, [Block(why=lines)] if lines else []


def _features(log: _Log, used: Sequence[tuple[Column, Role]]) -> Iterator[Block]:
    names = Names()
    for column, role in used:
        values, why = feature_values(column, role)
        start = {"name": names.take(column.path), "kind": role.kind, "path": column.path}
        yield Block("[[features]]", start | values, [f"{column.path}: {'; '.join(why)}"])
    if log.has_gaps:
        why = [f"gaps within a key: {format_duration(float(np.median(log.gaps_s)))} at the median"]
        values = {"name": names.take("since"), "kind": "since_previous", "scaling": "log"}
        yield Block("[[features]]", values, why)
    for unit, why in _calendar(log):
        values = {"name": names.take(unit), "kind": "calendar", "unit": unit}
        yield Block("[[features]]", values, why)


def _calendar(log: _Log) -> Iterator[tuple[str, list[str]]]:
    seconds = log.seconds[np.isfinite(log.seconds)]
    if not log.time.is_clock or not len(seconds) or np.ptp(seconds) <= DAY_S:
        return
    why = f"the log spans {np.ptp(seconds) / DAY_S:.1f} days; in UTC"
    if (seconds % DAY_S != seconds[0] % DAY_S).any():
        yield "hour", [why]
    yield "weekday", [why]


def _heads(log: _Log, wanted: Wanted) -> Iterator[Block]:
    names = Names()
    if wanted.targets:
        for path in wanted.targets:
            yield _target(log, path, wanted, names)
        return
    ranked = _telling(log, wanted)
    if ranked:
        column, role, why = ranked[0]
        yield _head(column.path, role, "next", names, [why])
    if log.has_gaps:
        yield _wait(names)


def _offered(log: _Log, wanted: Wanted, heads: Sequence[Block]) -> Iterator[Block]:
    """Offer other heads as comments, for somebody to take."""
    names = Names()
    for head in heads:
        names.take(head.values["name"])
    asked = {head.values.get("path") for head in heads}
    others = [
        (column, role, why)
        for column, role, why in _telling(log, wanted)
        if column.path not in asked and len(role.words) <= OFFERED_CLASSES_MAX
    ]
    for column, role, why in others[:OFFERED_HEADS_MAX]:
        yield replace(_head(column.path, role, "next", names, [why]), is_offered=True)
    if wanted.targets and log.has_gaps:
        yield replace(_wait(names), is_offered=True)


def _target(log: _Log, path: str, wanted: Wanted, names: Names) -> Block:
    """Make the head that was asked for.

    Raises:
        ConfigError: the field is not there, or nothing can be predicted of it.
    """
    here = {column.path for column in log.columns}
    if wanted.of == "label" and path not in here:
        why = "the log has no such field, so it is taken for a number: see --labels of train"
        return _head(path, Role("numeric", why), "label", names, [why])
    column = find_column(log.columns, path, "--target")
    role = target_role(column, wanted.classes_max)
    if role.kind == "none":
        raise ConfigError(f"--target {path}: {role.why}")
    if len(role.words) == 1:
        raise ConfigError(
            f"--target {path}: one class is left of {column.distinct}; raise --classes"
        )
    return _head(path, role, wanted.of, names, ["as asked"])


def _head(path: str, role: Role, of: str, names: Names, why: Sequence[str]) -> Block:
    kind = {"numeric": "regression", "boolean": "binary", "categorical": "multiclass"}[role.kind]
    values: dict[str, Any] = {"name": names.take(f"{of}_{path}"), "kind": kind, "of": of}
    values["path"] = path
    why = [f"{path}: {'; '.join(why)}"]
    if role.words:
        values["classes"] = role.words
        if of == "next" and "end" not in role.words:
            why.append("end = true adds a class for a key's last event, where keys do end")
    return Block("[[heads]]", values, why)


def _wait(names: Names) -> Block:
    values = {"name": names.take("wait"), "kind": "time_to_next"}
    return Block("[[heads]]", values, ["seconds until the key's next event"])


def _telling(log: _Log, wanted: Wanted) -> list[tuple[Column, Role, str]]:
    """Rank what could be predicted of the next event: first what keys do, then classes, numbers."""
    ranked = []
    for column in log.open_columns:
        role = role_of(column, wanted.classes_max)
        if role.kind == "none" or len(role.words) == 1:
            continue
        changes, bits = shared_bits(column, log.pairs)
        why = f"it changes in {changes:.0%} of a key's events"
        is_still = changes < CHANGES_MIN
        if role.kind == "numeric":
            rank = (2, -changes)
            is_still = is_still or not steps_vary(column, log.pairs)
        else:
            rank = (0 if words_of(column.path) & ACTING else 1, -bits)
            why += f", and a value tells {max(bits, 0):.2f} bits of the next one"
        ranked.append(((is_still, *rank), (column, role, why)))
    return [found for _, found in sorted(ranked, key=lambda item: item[0])]


def _nothing(name: str, left_out: Sequence[Block]) -> str:
    reasons = "; ".join([line for block in left_out for line in block.why][:REASONS_MAX])
    return f"{name}: no usable column is left to learn from. {reasons or 'There is only the key'}"
