"""The decision where a partition starts: a pure function of facts from Redis and Kafka.

The position in Redis decides what is folded, and the group offset in Kafka decides what is
published.  Invariant: origin <= position <= group offset <= log end.

Only :func:`where_to_start` decides.  ``fold/recovery_facts.py`` reads the facts in a safe order,
and ``stream-rnn state show`` prints the same decision.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self

from stream_rnn.fold import recovery_messages as messages
from stream_rnn.fold.facts import Facts, LastOutput, known_group_offset
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings

__all__ = [
    "Facts",
    "LastOutput",
    "RecoveryOptions",
    "Start",
    "Stop",
    "known_group_offset",
    "where_to_start",
]


@dataclass(frozen=True, slots=True)
class RecoveryOptions:
    """The settings on which the decision depends.

    ``has_late_outputs`` is whether a worker that has lost the partition may still append outputs.
    """

    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    on_lost_history: Literal["stop", "accept"] = "stop"
    allow_compacted: bool = False
    on_foreign_offset: Literal["stop", "accept"] = "stop"
    lookback_records_max: int = 1000
    has_late_outputs: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options that the settings contain."""
        return cls(
            auto_offset_reset=settings.auto_offset_reset,
            on_lost_history=settings.on_lost_history,
            allow_compacted=settings.allow_compacted,
            on_foreign_offset=settings.on_foreign_offset,
            lookback_records_max=settings.lookback_records_max,
            has_late_outputs=settings.delivery == "at_least_once",
        )


@dataclass(frozen=True, slots=True)
class Start:
    """The decision to fold.

    Attributes:
        row: Row of the recovery table in ``fold/README.md``.
        position: Next offset to fold.
        origin: First offset of the fold.
        publish_from: First offset whose outputs are published; earlier records fold silently.
        write_group_offset: Group offset to write first, with this fold's metadata; ``None`` to
            write none.
        write_first_position: Whether to write a first position, without states, to Redis next.
        lost: History or predictions that the fold gives up, for people; empty if none.
        number: Number of the last cut-over, which each later commit keeps; 0 before the first one.
    """

    row: int
    position: int
    origin: int
    publish_from: int
    write_group_offset: int | None = None
    write_first_position: bool = False
    lost: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """The decision to stop, because a person must act.

    Attributes:
        row: Row of the recovery table in ``fold/README.md``.
        message: Description of the problem, its place and the remedies.
    """

    row: int
    message: str


def where_to_start(facts: Facts, options: RecoveryOptions) -> Start | Stop:
    """Decide where a partition starts, by the first row of the recovery table that fits."""
    group_offset = known_group_offset(facts)
    if group_offset is None or not (group_offset.number or facts.takes_over):
        return _decide(facts, options, group_offset)
    stored, names_us = facts.stored, group_offset.fold_id == facts.fold_id
    number = group_offset.number if names_us else facts.takes_over
    if names_us and stored.position is not None and stored.origin != group_offset.origin:
        # A worker that has lost the partition may have begun this fold again as a candidate.
        facts = replace(facts, stored=replace(stored, is_corrupt=True))
    decision = _decide(facts, options, group_offset)
    if isinstance(decision, Stop):
        return decision
    if number != group_offset.number:  # Kafka must get the number before anything else is written
        decision = replace(decision, write_group_offset=decision.publish_from)
    return replace(decision, number=number)


def _decide(
    facts: Facts, options: RecoveryOptions, group_offset: GroupOffset | None
) -> Start | Stop:
    foreign = _check_group_offset(facts, options, group_offset)
    stop = _check_topics(facts, options, group_offset, counts=foreign is None) or foreign
    if stop is not None:
        return stop
    if facts.has_states and facts.stored.position is not None:
        return _start_with_states(facts, options, facts.stored.position, group_offset)
    return _start_without_states(facts, options, group_offset)


def _check_group_offset(
    facts: Facts, options: RecoveryOptions, known: GroupOffset | None
) -> Stop | None:
    """Row 10: no fold has written the group offset, or a roll-out has another one in charge.

    An offset that no fold has written does not prove what is published.

    An offset that ``known_group_offset`` passes over does no harm, unless it has replaced an offset
    of the fold at or beyond the position.
    """
    offset, position = facts.group_offset, facts.stored.position
    examined = options.lookback_records_max
    is_other = known is not None and known.fold_id != facts.fold_id
    is_kept = known is not None and (known.number > 0 or facts.is_rolled_out)
    if known is not None and is_other and is_kept and known.number >= facts.takes_over:
        return Stop(10, messages.other_fold(facts, known))
    if offset is None or not offset.is_foreign or known is None:
        return None
    if facts.has_states and position is not None:
        if not known.is_foreign and position <= known.offset:
            return None
        return Stop(10, messages.foreign_offset(facts.place, position, offset.offset, examined))
    if not known.is_foreign or options.on_foreign_offset == "accept":
        return None
    last = facts.last_output.offset if facts.last_output else None
    start = f"{_start_of_new_fold(facts, options)} (auto_offset_reset={options.auto_offset_reset})"
    numbers = offset.offset, last, examined
    return Stop(10, messages.foreign_offset_without_states(facts.place, *numbers, start))


def _start_of_new_fold(facts: Facts, options: RecoveryOptions) -> int:
    return facts.log_start if options.auto_offset_reset == "earliest" else facts.log_end


def _check_topics(
    facts: Facts, options: RecoveryOptions, group_offset: GroupOffset | None, *, counts: bool
) -> Stop | None:
    """Rows 1 and 2: the topics are not the ones that were folded.

    ``counts`` is whether the group offset is one that row 10 does not refuse.
    """
    stored, source = facts.stored, facts.source_partitions
    if stored.partitions not in (None, source):
        return Stop(1, messages.partitions_changed(facts.place, source, stored.partitions))
    if facts.predictions_partitions not in (0, source):
        predictions = facts.predictions_partitions
        return Stop(1, messages.partitions_differ(facts.place, source, predictions))
    if facts.is_compacted and not options.allow_compacted:
        return Stop(1, messages.compacted(facts.place))
    position, committed = stored.position, group_offset.offset if group_offset else None
    is_beyond = max(position or 0, (committed or 0) if counts else 0) > facts.log_end
    if is_beyond or facts.anchor_fits is False or facts.output_fits is False:
        shown = f"{committed}{'' if counts else ' (foreign, not compared)'}"
        ends = position, shown, facts.log_end
        return Stop(2, messages.log_changed(facts.place, *ends, is_beyond=is_beyond))
    return None


def _start_without_states(
    facts: Facts, options: RecoveryOptions, group_offset: GroupOffset | None
) -> Start | Stop:
    """Rows 4 to 8: Redis has no position, or row 3 disregards it."""
    log_start = facts.log_start
    if group_offset is None:
        origin = _start_of_new_fold(facts, options)
        return Start(
            4,
            origin,
            origin,
            publish_from=origin,
            write_group_offset=origin,
            write_first_position=True,
        )
    if group_offset.offset < log_start:
        return _start_at_lost_history(
            5,
            facts,
            options,
            group_offset,
            f"records {_first_unpublished(facts, group_offset)} to {log_start - 1} were removed "
            "before they were published",
        )
    if group_offset.fold_id == facts.fold_id and group_offset.origin is not None:
        if log_start <= group_offset.origin:
            write = _unwritten_offset(facts, group_offset)
            return Start(
                6,
                group_offset.origin,
                group_offset.origin,
                publish_from=group_offset.offset,
                write_group_offset=write,
                write_first_position=True,
            )
        return _start_at_lost_history(
            7,
            facts,
            options,
            group_offset,
            f"the states were lost, and records {group_offset.origin} to {log_start - 1}, from "
            "which they were computed, were removed",
        )
    first, offset = _first_unpublished(facts, group_offset), group_offset.offset
    return Start(
        8,
        log_start,
        log_start,
        publish_from=offset,
        write_group_offset=offset,
        write_first_position=True,
        lost=messages.left_out(first, offset) if first < offset else "",
    )


def _first_unpublished(facts: Facts, group_offset: GroupOffset) -> int:
    """Return the first offset that no output, publish or group offset of a fold shows published."""
    if not group_offset.is_foreign:
        return group_offset.offset
    last, acknowledged = facts.last_output, facts.acknowledged
    ends = ([last.offset + 1] if last else []) + ([acknowledged.offset] if acknowledged else [])
    return max(ends, default=min(facts.log_start, group_offset.offset))


def _start_with_states(
    facts: Facts, options: RecoveryOptions, position: int, group_offset: GroupOffset | None
) -> Start | Stop:
    """Rows 5 and 9 to 11: Redis has a position and its hidden states."""
    log_start = facts.log_start
    if position < log_start:  # even if only markers were removed, which nothing can show now
        return _start_at_lost_history(
            5,
            facts,
            options,
            group_offset,
            f"records {position} to {log_start - 1} were removed before they were folded",
        )
    origin = facts.stored.origin
    assert origin is not None, "a position is written together with its origin"
    if facts.group_offset is None:
        offset = max(position, group_offset.offset if group_offset else 0)
        return Start(9, position, origin, publish_from=offset, write_group_offset=offset)
    assert group_offset is not None
    if position > group_offset.offset:
        return Stop(10, messages.offset_behind(facts.place, position, group_offset.offset))
    return Start(
        11,
        position,
        origin,
        publish_from=group_offset.offset,
        write_group_offset=_unwritten_offset(facts, group_offset),
    )


def _unwritten_offset(facts: Facts, group_offset: GroupOffset) -> int | None:
    """Return the group offset to write if Kafka lacks it, else ``None``.

    In ``at_least_once`` an output may exist without its group offset, and a zombie's late duplicate
    of an earlier output may be the last output that the next recovery sees.  Without this write
    the position could then be beyond the group offset.
    """
    if group_offset is facts.group_offset:
        return None
    is_replaced = facts.group_offset is not None and facts.group_offset.is_foreign
    return None if group_offset is facts.acknowledged and not is_replaced else group_offset.offset


def _start_at_lost_history(
    row: int, facts: Facts, options: RecoveryOptions, group_offset: GroupOffset | None, loss: str
) -> Start | Stop:
    stored, log_start = facts.stored, facts.log_start
    committed = group_offset.offset if group_offset else None
    origin = stored.origin if stored.origin is not None else group_offset and group_offset.origin
    offsets = (
        f"position {stored.position}, group offset {committed}, log start {log_start}, "
        f"origin {origin}"
    )
    if options.on_lost_history == "stop":
        is_unpublished = group_offset is not None and group_offset.offset < log_start
        message = messages.lost_history(facts.place, loss, offsets, is_unpublished=is_unpublished)
        return Stop(row, message)
    publish_from = max(log_start, group_offset.offset if group_offset else log_start)
    return Start(
        row,
        log_start,
        log_start,
        publish_from=publish_from,
        write_group_offset=publish_from,
        write_first_position=True,
        lost=f"{loss} ({offsets})",
    )
