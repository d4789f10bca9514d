"""A feature spec proposed from a log, in TOML.

A comment gives the reason for each guess and for each field that is left out, so that a wrong
guess is easy to see and to change.  Every row of the sample that has the key and the event time is
a valid event of the proposed spec (``tests/unit/test_proposal.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import SPEC_BYTES_MAX
from stream_rnn.spec.column_roles import (
    Role,
    UniqueNames,
    choose_feature_role,
    choose_target_role,
    feature_options,
    legal_name,
)
from stream_rnn.spec.columns import Column
from stream_rnn.spec.envelopes import metadata_reason
from stream_rnn.spec.examine import ExaminedLog, examine
from stream_rnn.spec.head_blocks import (
    choose_target,
    describe_unusable_targets,
    head_blocks,
    rank_log_targets,
    suggested_heads,
    target_columns,
    target_head,
)
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.questions import (
    CONFIDENCE_MIN,
    Ask,
    refuse_to_choose,
)
from stream_rnn.spec.repeats import describe_repeats
from stream_rnn.spec.sample import Sample
from stream_rnn.spec.targets import score_targets, target_question
from stream_rnn.spec.toml import Block, format_document
from stream_rnn.text import format_duration

FEATURES_MAX = 500  # FeatureSpec allows 512; the rest is for since_previous and calendar
DAY_S = 86_400
REASONS_MAX = 12


def propose(
    sample: Sample, name: str, options: ProposalOptions, ask: Ask = refuse_to_choose
) -> str:
    """Propose a spec as TOML with comments.

    Args:
        sample: Rows of a log, in its order.
        name: Name of the log, for a comment and the name of the spec.
        options: Choices that replace guesses.
        ask: Function that answers a question whose answer is not sure.

    Raises:
        ConfigError: No field can be the key, no field can be a feature, a named field does not
            exist, or an answer is not sure and nobody is asked.
    """
    return propose_for(examine(sample, options, ask), sample, name, options, ask)


def propose_for(
    log: ExaminedLog, sample: Sample, name: str, options: ProposalOptions, ask: Ask
) -> str:
    """Propose a spec for an examined log; see :func:`propose`."""
    options = _with_target(log, options, ask)
    hidden = set(target_columns(log, options)) if options.of != "next" else set()
    roles, left_out = _choose_roles(log, options, hidden)
    features = list(_feature_blocks(log, options, roles))
    heads = list(head_blocks(log, options))
    if not features or not heads:
        raise ConfigError(_nothing_to_learn(name, left_out))
    offered = list(suggested_heads(log, options, heads))
    top = [_top_block(name, sample.rows), *_file_block(sample), _event_block(log, sample)]
    lags = _suggested_lags(log, options, hidden, {block.values["name"] for block in features})
    text = format_document([*top, *features, *lags, *left_out, *heads, *offered])
    if (size := len(text.encode())) > SPEC_BYTES_MAX:
        raise ConfigError(
            f"the spec would have {size} bytes, more than {SPEC_BYTES_MAX}; give smaller --classes"
        )
    return text


def _with_target(log: ExaminedLog, options: ProposalOptions, ask: Ask) -> ProposalOptions:
    """Return the options with the target that somebody has chosen, if it is not sure."""
    targets = [] if options.targets else rank_log_targets(log, options)
    scored = score_targets(targets, [log.envelope.event_path(t.column) for t in targets])
    if not scored or max(c.confidence for c in scored) >= CONFIDENCE_MIN:
        return options

    def check(reply: str) -> Block:
        return target_head(log, reply, options, UniqueNames())

    question = target_question(scored)
    hint = f"{question.hint} {describe_unusable_targets(log)}".strip()
    return replace(options, targets=(ask(replace(question, hint=hint, check=check)),))


def _top_block(name: str, rows: int) -> Block:
    comments = (
        f"Proposed from {rows} rows of {name}. A comment gives the reason for each guess.",
        "Read them, and change what is wrong before you train.",
        "To count the rows of a log that are valid events: stream-rnn spec check SPEC LOG",
    )
    return Block("", {"format": 1, "name": legal_name(name.partition(".")[0])}, comments)


def _file_block(sample: Sample) -> list[Block]:
    if not sample.file:
        return [Block(comments=sample.reasons)] if sample.reasons else []
    return [Block("[file]", sample.file, sample.reasons)]


def _event_block(log: ExaminedLog, sample: Sample) -> Block:
    comments = [*log.envelope.reasons, *log.key_reasons, *log.time.reasons]
    if (count := log.unordered) and not sample.is_topic:
        start = f"{count} row{'s are' if count > 1 else ' is'} earlier than the row before"
        comments.append(
            f"{start}. Training reads rows in the order of the file, so give it --sort-by-time, or "
            "sort the file with a stable sort."
        )
    if log.has_doubled_hours and not sample.is_topic:
        comments.append(
            "The rows go back only in the hour that local time has twice, at the end of summer time, "
            "so they keep the order of the file. Do not give --sort-by-time, which would mix the two "
            "passes of this hour; to tell them apart, write times in UTC or with an offset."
        )
    key = [log.envelope.key_element(column) for column in log.key if not column.is_record_key]
    values: dict[str, Any] = {**({"key": key} if key else {}), **log.envelope.table}
    if log.time.column is not None:
        values["time"] = dict(log.time.table)
    return Block("[event]", values, comments)


def _choose_roles(
    log: ExaminedLog, options: ProposalOptions, hidden: set[Column]
) -> tuple[list[tuple[Column, Role]], list[Block]]:
    """Return the columns that become features, and a block with the reason for every other one."""
    features: list[tuple[Column, Role]] = []
    lines: list[str] = []
    targets = set(target_columns(log, options))
    for column in log.event_columns:
        choose = choose_target_role if column in targets else choose_feature_role
        role = choose(column, options.classes_max, is_clock=column.path in log.clocks)
        path, transport = log.envelope.event_path(column), ""
        if column not in targets:
            transport = metadata_reason(column, log.columns, log.envelope)
        if column in hidden:
            lines.append(f'{path} is left out: it is a target with of = "{options.of}".')
        elif transport or role.kind == "none":
            lines.append(f"{path} is left out: {transport or role.reason}.")
        elif len(features) == FEATURES_MAX:
            lines.append(f"{path} is left out: there are {FEATURES_MAX} features already.")
        else:
            features.append((column, role))
    if log.envelope.unwrap:
        outside = [c.path for c in log.columns if not log.envelope.contains(c)]
        shown = ", ".join(outside[:REASONS_MAX])
        lines.append(
            f"Outside of the event, so no features: {shown}"
            f"{' and more' if len(outside) > REASONS_MAX else ''}."
        )
    if any(role.kind == "numeric" and c.present == len(c.values) for c, role in features):
        lines.append(
            'A number that every row has gets missing = "mean", so that an event without it stays '
            'valid. With "error", the event would be skipped; the second column of "indicator" '
            "would be 0 in all of these rows, and so could not be trained."
        )
    return features, [Block(comments=lines)] if lines else []


def _feature_blocks(
    log: ExaminedLog, options: ProposalOptions, roles: Sequence[tuple[Column, Role]]
) -> Iterator[Block]:
    names = UniqueNames()
    targets = list(_targets(log, options))
    for column, role in roles:
        values, reasons = feature_options(column, role)
        for target, target_role in targets:
            reasons += describe_repeats(
                column, role, target, target_role, log.pairs, is_now=options.of == "now"
            )
        path = log.envelope.event_path(column)
        name = names.add(path, values.get("length", values.get("max_length", 0)))
        start = {"name": name, "kind": role.feature_kind, "path": path}
        yield Block("[[features]]", start | values, [f"{path}: {'; '.join(reasons)}"])
    if log.has_gaps:
        median = format_duration(float(np.median(log.gaps_s)))
        values = {"name": names.add("since"), "kind": "since_previous", "scaling": "log"}
        reason = f"The median time between two events of a key is {median}."
        yield Block("[[features]]", values, [reason])
    for unit, reason in _calendar_units(log):
        values = {"name": names.add(unit), "kind": "calendar", "unit": unit}
        yield Block("[[features]]", values, [reason])


def _suggested_lags(
    log: ExaminedLog, options: ProposalOptions, hidden: set[Column], taken: set[str]
) -> Iterator[Block]:
    """Suggest the previous value of each target of the event itself as a feature, as comments.

    Nothing in a log says whether it was known when the next event came, so somebody must decide.
    """
    names = UniqueNames()
    for name in taken:
        names.add(name)
    for column in log.event_columns if options.of == "now" and len(log.pairs.before) else ():
        role = choose_feature_role(column, options.classes_max, is_clock=column.path in log.clocks)
        if column not in hidden or role.kind == "none":
            continue
        path = log.envelope.event_path(column)
        values, _ = feature_options(column, role)
        start = {"name": names.add(f"last_{path}"), "kind": role.feature_kind, "path": path}
        reason = (
            f"{path} in the previous event of the key: remove the # if it is known by the time the "
            "next event comes."
        )
        block = Block(
            "[[features]]", start | values | {"missing": "indicator", "lag": True}, [reason]
        )
        yield replace(block, is_commented_out=True)


def _targets(log: ExaminedLog, options: ProposalOptions) -> Iterator[tuple[Column, Role]]:
    """Yield the columns that the heads predict, with their roles."""
    if options.targets:
        for column in target_columns(log, options):
            is_clock = column.path in log.clocks
            yield column, choose_target_role(column, options.classes_max, is_clock=is_clock)
    elif chosen := choose_target(log, options):
        yield chosen[0].column, chosen[0].role


def _calendar_units(log: ExaminedLog) -> Iterator[tuple[str, str]]:
    seconds = log.seconds[np.isfinite(log.seconds)]
    if not log.time.is_clock or not len(seconds) or np.ptp(seconds) <= DAY_S:
        return
    span = f"The log spans {np.ptp(seconds) / DAY_S:.1f} days."
    if (seconds % DAY_S != seconds[0] % DAY_S).any():
        yield "hour", f"{span} The hour of the day is that of UTC."
    yield "weekday", f"{span} The day of the week is that of UTC."


def _nothing_to_learn(name: str, left_out: Sequence[Block]) -> str:
    reasons = " ".join([line for block in left_out for line in block.comments][:REASONS_MAX])
    return f"{name}: no usable column is left to learn from. {reasons or 'There is only the key.'}"
