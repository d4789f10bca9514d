"""The heads of a proposed spec: the chosen targets, and further ones as comments."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.spec.column_roles import (
    FLAG_ABOVE,
    Role,
    UniqueNames,
    choose_feature_role,
    choose_target_role,
)
from stream_rnn.spec.columns import Column
from stream_rnn.spec.envelopes import metadata_reason
from stream_rnn.spec.examine import ExaminedLog
from stream_rnn.spec.proposal_options import ProposalOptions, find_column
from stream_rnn.spec.questions import Candidate, format_confidence
from stream_rnn.spec.stand_ins import describe_stand_ins
from stream_rnn.spec.targets import Target, rank_targets, score_targets
from stream_rnn.spec.toml import Block

SUGGESTED_HEADS_MAX = 3
SUGGESTED_CLASSES_MAX = 20
OTHERS_SHOWN = 12
SURPRISE_OFFER = (
    "surprise = true adds to each prediction how far the event was from the previous prediction "
    "of this head: a score of anomalies that needs no labels."
)
QUANTILES = [0.1, 0.5, 0.9]


def target_columns(log: ExaminedLog, options: ProposalOptions) -> Iterator[Column]:
    """Yield the columns that the targets name; a target of labels may be no column."""
    for path in options.targets:
        for column in log.columns:
            if path in (column.path, log.envelope.event_path(column)):
                yield column


def choose_target(log: ExaminedLog, options: ProposalOptions) -> tuple[Target, Candidate] | None:
    """Return the most likely target, if --target names none; ``None`` without any."""
    targets = rank_log_targets(log, options)
    scored = score_targets(targets, [log.envelope.event_path(t.column) for t in targets])
    if not scored:
        return None
    best = max(scored, key=lambda candidate: candidate.confidence)
    return targets[scored.index(best)], best


def head_blocks(log: ExaminedLog, options: ProposalOptions) -> Iterator[Block]:
    """Yield the heads that the spec has; the first that can offers a surprise."""
    is_offered = False
    for block in _chosen_heads(log, options):
        if is_offered or block.values.get("of", "next") != "next":
            yield block
            continue
        is_offered = True
        yield replace(block, comments=[*block.comments, SURPRISE_OFFER])


def _chosen_heads(log: ExaminedLog, options: ProposalOptions) -> Iterator[Block]:
    names = UniqueNames()
    if options.targets:
        for path in options.targets:
            yield target_head(log, path, options, names)
        return
    if chosen := choose_target(log, options):
        target, best = chosen
        reason = f"{best.reason} ({format_confidence(best.confidence)})"
        yield _head_block(best.answer, target.column, target.role, "next", names, reason)
    if log.has_gaps:
        yield _wait_head(names)


def suggested_heads(
    log: ExaminedLog, options: ProposalOptions, heads: Sequence[Block]
) -> Iterator[Block]:
    """Suggest further heads, as comments: quantiles of predicted numbers, and other targets."""
    names = UniqueNames()
    for head in heads:
        names.add(head.values["name"])
    for head in heads:
        if head.values["kind"] == "regression":
            yield replace(_quantile_head(head, names), is_commented_out=True)
    predicted = {head.values.get("path") for head in heads}
    others = [
        (log.envelope.event_path(target.column), target)
        for target in rank_log_targets(log, options)
        if len(target.role.words) <= SUGGESTED_CLASSES_MAX
    ]
    others = [(path, target) for path, target in others if path not in predicted]
    if others:
        more = ", ".join(path for path, _ in others[SUGGESTED_HEADS_MAX:][:OTHERS_SHOWN])
        note = f" Others, by --target: {more}." if more else ""
        start = "Further heads: remove the # before the lines of those you want."
        yield Block(comments=[start + note])
    for path, target in others[:SUGGESTED_HEADS_MAX]:
        head = _head_block(path, target.column, target.role, "next", names, target.reason)
        yield replace(head, is_commented_out=True)
    if options.targets and log.has_gaps:
        yield replace(_wait_head(names), is_commented_out=True)


def target_head(log: ExaminedLog, path: str, options: ProposalOptions, names: UniqueNames) -> Block:
    """Return the head of a field that --target names.

    Raises:
        ConfigError: The log has no such field, or the field cannot be a target.
    """
    if options.of == "label" and not any(target_columns(log, options)):
        reason = "not a field of the log, so it is a number in a file of labels (train --labels)"
        return _head_block(path, None, Role("numeric", reason), "label", names, reason)
    column = find_column(log.columns, path, "--target", log.envelope)
    if not log.envelope.contains(column):
        raise ConfigError(f"--target {path}: it is no field of the event, but of its envelope")
    is_clock = column.path in log.clocks
    role = choose_target_role(column, options.classes_max, is_clock=is_clock)
    if role.kind == "none":
        raise ConfigError(f"--target {path}: {role.reason}")
    if len(role.words) == 1:
        raise ConfigError(
            f"--target {path}: only one of {column.distinct} classes is left; raise --classes"
        )
    event_path = log.envelope.event_path(column)
    return _head_block(event_path, column, role, options.of, names, "the given target")


def _head_block(
    path: str, column: Column | None, role: Role, of: str, names: UniqueNames, reason: str
) -> Block:
    kinds = {"numeric": "regression", "categorical": "multiclass"}
    kind = kinds.get(role.kind, "binary")
    values: dict[str, Any] = {"name": names.add(f"{of}_{path}"), "kind": kind, "of": of}
    values["path"] = path
    comments = [f"{path}: {reason}"]
    if role.kind == "flag":
        values["above"] = FLAG_ABOVE
        comments.append("Its values are 0 and 1: above 0.5 is yes.")
    if column is not None and kind == "regression" and (note := describe_stand_ins(column)):
        comments.append(f"{path}: {note}.")
    if column is not None and column.needs_parse and kind != "multiclass":
        values["parse"] = True
    if role.words:
        values["classes"] = role.words
        if of == "next" and "end" not in role.words:
            comments.append("If keys end, end = true adds a class for the last event of each key.")
    return Block("[[heads]]", values, comments)


def _quantile_head(head: Block, names: UniqueNames) -> Block:
    """Return the head of the quantiles of the number that a regression head predicts."""
    path, name = head.values["path"], names.add(f"{head.values['name']}_range")
    reason = (
        f"{path}: how sure the number is. Remove the # to predict an interval that contains 80 % of "
        "the values, and the median."
    )
    values = {**head.values, "name": name, "kind": "quantile", "quantiles": QUANTILES}
    return Block("[[heads]]", values, [reason])


def _wait_head(names: UniqueNames) -> Block:
    values = {"name": names.add("wait"), "kind": "time_to_next"}
    comment = "The time between events of a key varies: predict the seconds until the next one."
    return Block("[[heads]]", values, [comment])


def rank_log_targets(log: ExaminedLog, options: ProposalOptions) -> list[Target]:
    """Rank the columns whose next value a head could predict."""
    candidates = []
    for column in log.event_columns:
        is_clock = column.path in log.clocks
        role = choose_feature_role(column, options.classes_max, is_clock=is_clock)
        if column.arrays is None and not metadata_reason(column, log.columns, log.envelope):
            candidates.append((column, role))
    targets = rank_targets(candidates, log.pairs)
    return [_with_key_twin(target, log.key) for target in targets]


def _with_key_twin(target: Target, key: Sequence[Column]) -> Target:
    """Return a target; its reason names the column of the key that has the same groups of rows."""
    if not target.is_rare:
        return target
    for column in key:
        both = pl.DataFrame({"key": column.key_words, "target": target.column.words})
        groups = both.drop_nulls().unique().height
        if groups == column.key_words.n_unique() == target.column.distinct:
            reason = f"{target.reason}; it is another name of {column.path}, so it says nothing new"
            return replace(target, reason=reason)
    return target


def describe_unusable_targets(log: ExaminedLog) -> str:
    """Return which measures cannot be predicted as they are, and why, as sentences."""
    mixed = [column for column in log.event_columns if column.mixture and not column.refusal]
    shown = mixed[:SUGGESTED_HEADS_MAX]
    return " ".join(f"{log.envelope.event_path(c)} is left out: {c.mixture}." for c in shown)
