"""A feature spec proposed from a log, in TOML.

A comment gives the reason for each guess and for each field that is left out, so that a wrong
guess is easy to see and to change.  Every row of the sample that has the key and the event time is
a valid event of the proposed spec (``tests/unit/test_proposal.py``).
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
from stream_rnn.spec.column_roles import (
    ACTION_WORDS,
    Role,
    UniqueNames,
    choose_feature_role,
    choose_target_role,
    feature_options,
    legal_name,
)
from stream_rnn.spec.columns import (
    Column,
    Pairs,
    find_pairs,
    list_columns,
    measure_change,
    steps_vary,
)
from stream_rnn.spec.key_and_time import (
    Guess,
    find_column,
    guess_key,
    guess_time,
    split_words,
    time_seconds,
)
from stream_rnn.spec.toml import Block, format_document
from stream_rnn.text import format_duration

FEATURES_MAX = 500  # FeatureSpec allows 512; the rest is for since_previous and calendar
SUGGESTED_HEADS_MAX = 3
SUGGESTED_CLASSES_MAX = 20
DAY_S = 86_400
CHANGES_MIN = 0.05  # a target that changes more rarely is predicted by its last value
REASONS_MAX = 12

Of = Literal["now", "next", "label"]


@dataclass(frozen=True, slots=True)
class ProposalOptions:
    """Options of ``stream-rnn spec init``.

    Attributes:
        key: Paths of the fields that make the key; empty to guess.
        time: Path of the event time; ``None`` to guess.
        targets: Paths of the fields to predict; empty to guess.
        of: Source of the labels, as in the option ``of`` of a head.
        classes_max: Largest number of classes of a field.
    """

    key: tuple[str, ...] = ()
    time: str | None = None
    targets: tuple[str, ...] = ()
    of: Of = "next"
    classes_max: int = 1000


@dataclass(frozen=True)
class _ExaminedLog:
    """The columns of a sample with its key and event time.

    Attributes:
        columns: All columns.
        key: The key.
        time: The event time.
        pairs: Successive events of one key.
        seconds: (N,) event times in seconds; empty without an event time.
    """

    columns: Sequence[Column]
    key: Guess
    time: Guess
    pairs: Pairs
    seconds: NDArray[np.float64]

    @cached_property
    def gaps_s(self) -> NDArray[np.float64]:
        """Seconds between successive events of a key; empty without an event time."""
        if not self.time.columns:
            return np.zeros(0)
        gaps = self.seconds[self.pairs.after] - self.seconds[self.pairs.before]
        return np.maximum(gaps[np.isfinite(gaps)], 0)

    @property
    def has_gaps(self) -> bool:
        """Whether the time between events varies."""
        return len(self.gaps_s) > 0 and float(np.ptp(self.gaps_s)) > 0

    @property
    def other_columns(self) -> list[Column]:
        """Columns that are neither key nor event time."""
        return [c for c in self.columns if c not in (*self.key.columns, *self.time.columns)]


def propose(sample: pl.DataFrame, name: str, options: ProposalOptions) -> str:
    """Propose a spec as TOML with comments.

    Args:
        sample: Rows of a log, in its order.
        name: Name of the log, for a comment and the name of the spec.
        options: Choices that replace guesses.

    Raises:
        ConfigError: No field can be the key, no field can be a feature, or a named field does not
            exist.
    """
    log = _examine(list_columns(sample), options)
    hidden = set(options.targets) if options.of != "next" else set()
    roles, left_out = _choose_roles(log, options, hidden)
    features = list(_feature_blocks(log, roles))
    heads = list(_head_blocks(log, options))
    if not features or not heads:
        raise ConfigError(_nothing_to_learn(name, left_out))
    offered = list(_suggested_heads(log, options, heads))
    text = format_document(
        [_top_block(name, len(sample)), _event_block(log), *features, *left_out, *heads, *offered]
    )
    if (size := len(text.encode())) > SPEC_BYTES_MAX:
        raise ConfigError(
            f"the spec would have {size} bytes, more than {SPEC_BYTES_MAX}; give smaller --classes"
        )
    return text


def _examine(columns: Sequence[Column], options: ProposalOptions) -> _ExaminedLog:
    key = guess_key(columns, options.key)
    pairs = find_pairs(key.columns)
    if not pairs.rows:
        raise ConfigError(f"no row has all fields of the key: {', '.join(options.key)}")
    time = guess_time(columns, key, pairs, options.time)
    seconds = time_seconds(time) if time.columns else np.zeros(0)
    return _ExaminedLog(columns, key, time, pairs, seconds)


def _top_block(name: str, rows: int) -> Block:
    comments = (
        f"Proposed from {rows} rows of {name}. A comment gives the reason for each guess.",
        "Read them, and change what is wrong before you train.",
        "To count the rows of a log that are valid events: stream-rnn spec check SPEC LOG",
    )
    return Block("", {"format": 1, "name": legal_name(name.partition(".")[0])}, comments)


def _event_block(log: _ExaminedLog) -> Block:
    comments = [*log.key.reasons, *log.time.reasons]
    if log.time.columns:
        unordered = int((np.diff(log.seconds[np.isfinite(log.seconds)]) < 0).sum())
        if unordered:
            comments.append(
                f"{unordered} rows are earlier than the row before them. Training reads rows in the "
                "order of the file, so sort it by the event time with a stable sort."
            )
    values: dict[str, Any] = {"key": [column.path for column in log.key.columns]}
    if log.time.columns:
        values["time"] = {"path": log.time.columns[0].path, "unit": log.time.unit}
    return Block("[event]", values, comments)


def _choose_roles(
    log: _ExaminedLog, options: ProposalOptions, hidden: set[str]
) -> tuple[list[tuple[Column, Role]], list[Block]]:
    """Return the columns that become features, and a block with the reason for every other one."""
    features: list[tuple[Column, Role]] = []
    lines: list[str] = []
    for column in log.other_columns:
        choose = choose_target_role if column.path in options.targets else choose_feature_role
        role = choose(column, options.classes_max)
        if column.path in hidden:
            lines.append(f'{column.path} is left out: it is a target with of = "{options.of}".')
        elif role.kind == "none":
            lines.append(f"{column.path} is left out: {role.reason}.")
        elif len(features) == FEATURES_MAX:
            lines.append(f"{column.path} is left out: there are {FEATURES_MAX} features already.")
        else:
            features.append((column, role))
    if any(role.kind == "numeric" and c.present == len(c.values) for c, role in features):
        lines.append(
            'A number that every row has gets missing = "mean", so that an event without it stays '
            'valid. With "error", the event would be skipped; the second column of "indicator" '
            "would be 0 in all of these rows, and so could not be trained."
        )
    return features, [Block(comments=lines)] if lines else []


def _feature_blocks(log: _ExaminedLog, roles: Sequence[tuple[Column, Role]]) -> Iterator[Block]:
    names = UniqueNames()
    for column, role in roles:
        values, reasons = feature_options(column, role)
        start = {"name": names.add(column.path), "kind": role.kind, "path": column.path}
        yield Block("[[features]]", start | values, [f"{column.path}: {'; '.join(reasons)}"])
    if log.has_gaps:
        median = format_duration(float(np.median(log.gaps_s)))
        values = {"name": names.add("since"), "kind": "since_previous", "scaling": "log"}
        reason = f"The median time between two events of a key is {median}."
        yield Block("[[features]]", values, [reason])
    for unit, reason in _calendar_units(log):
        values = {"name": names.add(unit), "kind": "calendar", "unit": unit}
        yield Block("[[features]]", values, [reason])


def _calendar_units(log: _ExaminedLog) -> Iterator[tuple[str, str]]:
    seconds = log.seconds[np.isfinite(log.seconds)]
    if not log.time.is_clock or not len(seconds) or np.ptp(seconds) <= DAY_S:
        return
    span = f"The log spans {np.ptp(seconds) / DAY_S:.1f} days."
    if (seconds % DAY_S != seconds[0] % DAY_S).any():
        yield "hour", f"{span} The hour of the day is that of UTC."
    yield "weekday", f"{span} The day of the week is that of UTC."


def _head_blocks(log: _ExaminedLog, options: ProposalOptions) -> Iterator[Block]:
    names = UniqueNames()
    if options.targets:
        for path in options.targets:
            yield _target_head(log, path, options, names)
        return
    ranked = _rank_targets(log, options)
    if ranked:
        column, role, reason = ranked[0]
        yield _head_block(column.path, role, "next", names, reason)
    if log.has_gaps:
        yield _wait_head(names)


def _suggested_heads(
    log: _ExaminedLog, options: ProposalOptions, heads: Sequence[Block]
) -> Iterator[Block]:
    """Suggest further heads, as comments."""
    names = UniqueNames()
    for head in heads:
        names.add(head.values["name"])
    predicted = {head.values.get("path") for head in heads}
    others = [
        (column, role, reason)
        for column, role, reason in _rank_targets(log, options)
        if column.path not in predicted and len(role.words) <= SUGGESTED_CLASSES_MAX
    ]
    if others:
        yield Block(comments=["Further heads: remove the # before the lines of those you want."])
    for column, role, reason in others[:SUGGESTED_HEADS_MAX]:
        yield replace(_head_block(column.path, role, "next", names, reason), is_commented_out=True)
    if options.targets and log.has_gaps:
        yield replace(_wait_head(names), is_commented_out=True)


def _target_head(
    log: _ExaminedLog, path: str, options: ProposalOptions, names: UniqueNames
) -> Block:
    """Return the head of a field that --target names.

    Raises:
        ConfigError: The log has no such field, or the field cannot be a target.
    """
    if options.of == "label" and path not in {column.path for column in log.columns}:
        reason = "not a field of the log, so it is a number in a file of labels (train --labels)"
        return _head_block(path, Role("numeric", reason), "label", names, reason)
    column = find_column(log.columns, path, "--target")
    role = choose_target_role(column, options.classes_max)
    if role.kind == "none":
        raise ConfigError(f"--target {path}: {role.reason}")
    if len(role.words) == 1:
        raise ConfigError(
            f"--target {path}: only one of {column.distinct} classes is left; raise --classes"
        )
    return _head_block(path, role, options.of, names, "the given target")


def _head_block(path: str, role: Role, of: str, names: UniqueNames, reason: str) -> Block:
    kind = {"numeric": "regression", "boolean": "binary", "categorical": "multiclass"}[role.kind]
    values: dict[str, Any] = {"name": names.add(f"{of}_{path}"), "kind": kind, "of": of}
    values["path"] = path
    comments = [f"{path}: {reason}"]
    if role.words:
        values["classes"] = role.words
        if of == "next" and "end" not in role.words:
            comments.append("If keys end, end = true adds a class for the last event of each key.")
    return Block("[[heads]]", values, comments)


def _wait_head(names: UniqueNames) -> Block:
    values = {"name": names.add("wait"), "kind": "time_to_next"}
    comment = "The time between events of a key varies: predict the seconds until the next one."
    return Block("[[heads]]", values, [comment])


def _rank_targets(log: _ExaminedLog, options: ProposalOptions) -> list[tuple[Column, Role, str]]:
    """Rank the columns whose next value a head could predict; give the reason for each.

    Columns that change come before columns that do not; among them, names of actions come first,
    then other classes, then numbers.
    """
    ranked = []
    for column in log.other_columns:
        role = choose_feature_role(column, options.classes_max)
        if role.kind == "none" or len(role.words) == 1:
            continue
        changes, bits = measure_change(column, log.pairs)
        reason = f"changes from one event of a key to the next in {changes:.0%} of the cases"
        rarely_changes = changes < CHANGES_MIN
        if role.kind == "numeric":
            rank = (2, -changes)
            rarely_changes = rarely_changes or not steps_vary(column, log.pairs)
        else:
            rank = (0 if split_words(column.path) & ACTION_WORDS else 1, -bits)
            reason += f"; a value gives {max(bits, 0):.2f} bits of information about the next one"
        ranked.append(((rarely_changes, *rank), (column, role, reason)))
    return [target for _, target in sorted(ranked, key=lambda item: item[0])]


def _nothing_to_learn(name: str, left_out: Sequence[Block]) -> str:
    reasons = " ".join([line for block in left_out for line in block.comments][:REASONS_MAX])
    return f"{name}: no usable column is left to learn from. {reasons or 'There is only the key.'}"
