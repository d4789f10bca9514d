"""Where a partition starts: one pure function over what Redis and Kafka hold.

The position in Redis decides what is folded, the group offset in Kafka decides what is published.
Always: origin <= position <= group offset <= log end.

:func:`where_to_start` is the only place that decides; ``fold/recovery_facts.py`` reads the facts in the
order that makes them safe, ``stream-rnn state show`` prints the same decision.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, Self

from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings
from stream_rnn.store.state import StoredPosition


@dataclass(frozen=True, slots=True)
class LastPrediction:
    """The last committed prediction of this app, or dead letter where that is as good.

    Attributes:
        offset: of its source record.
        fold_id: of the fold that made it.
        origin: of that fold.
        timestamp: of its source record; ``None`` where the topic carries the broker's own.
    """

    offset: int
    fold_id: str
    origin: int
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the decision depends on, of one source partition.

    Attributes:
        place: how messages name the partition, such as ``flights[3]``.
        fold_id: of the fold that wants to start.
        log_start: the first available offset of the source.
        log_end: the last stable offset of the source.
        held: what Redis holds for this fold.
        group_offset: as Kafka returns it.
        acknowledged: the group offset that this assignment's own publish was acknowledged for.
        last_prediction: in the output partition.
        anchor_fits: whether the record at the anchor is the one that was folded; ``None`` if it
            lies below the log start, or there is no anchor.
        prediction_fits: whether the record at the last prediction's source offset carries the
            prediction's timestamp; ``None`` if there is none to compare.
        source_partitions: partitions of the source topic.
        predictions_partitions: partitions of the predictions topic; 0: the worker will make it.
        is_compacted: whether the source topic is compacted.
    """

    place: str
    fold_id: str
    log_start: int
    log_end: int
    held: StoredPosition = field(default_factory=StoredPosition)
    group_offset: GroupOffset | None = None
    acknowledged: GroupOffset | None = None
    last_prediction: LastPrediction | None = None
    anchor_fits: bool | None = None
    prediction_fits: bool | None = None
    source_partitions: int = 1
    predictions_partitions: int = 1
    is_compacted: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """The settings that the decision depends on."""

    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    on_lost_history: Literal["stop", "accept"] = "stop"
    allow_compacted: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings choose."""
        return cls(settings.auto_offset_reset, settings.on_lost_history, settings.allow_compacted)


@dataclass(frozen=True, slots=True)
class Start:
    """Start to fold.

    Attributes:
        row: of the recovery table in ``fold/README.md``.
        position: the next offset to fold.
        origin: the first offset of the fold.
        publish_from: records below are folded without publishing anything.
        write_group_offset: it is to be written, with this fold's metadata, before anything else.
        write_first_position: the fold begins anew in Redis, after the group offset is written.
        lost: what history is given up, for logs and ``state show``; empty if none.
    """

    row: int
    position: int
    origin: int
    publish_from: int
    write_group_offset: int | None = None
    write_first_position: bool = False
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A person must act.

    Attributes:
        row: of the recovery table in ``fold/README.md``.
        message: what, where and the remedies.
    """

    row: int
    message: str


def known_group_offset(facts: Facts) -> GroupOffset | None:
    """Return the group offset: the greatest of what Kafka, this assignment and the output topic say.

    Kafka's answer may be behind: a decided transaction becomes visible only when its markers are
    written.  Where Kafka has none, the position stands in for it: it is never greater.
    """
    last = facts.last_prediction
    said = None if last is None else GroupOffset(last.offset + 1, last.fold_id, last.origin)
    if facts.group_offset is None and said is not None:
        said = replace(said, offset=max(said.offset, facts.held.position or 0))
    known = [c for c in (facts.group_offset, said, facts.acknowledged) if c is not None]
    # Of equals, the first: Kafka's own answer is the one that a person may have changed.
    return max(known, key=lambda c: c.offset, default=None)


def where_to_start(facts: Facts, choices: Choices) -> Start | Stop:
    """Decide where a partition starts; the first row of the table that fits."""
    group_offset = known_group_offset(facts)
    stop = _cannot_be(facts, choices, group_offset)
    if stop is not None:
        return stop
    if facts.held.position is None or facts.held.is_torn:
        return _without_states(facts, choices, group_offset)
    return _with_states(facts, choices, facts.held.position, group_offset)


def _cannot_be(facts: Facts, choices: Choices, group_offset: GroupOffset | None) -> Stop | None:
    """Rows 1 and 2: these are not the topics that were folded."""
    held, source, predictions = facts.held, facts.source_partitions, facts.predictions_partitions
    if held.partitions not in (None, source):
        return Stop(
            1,
            f"{facts.place}: the source has {source} partitions, the fold began with "
            f"{held.partitions}: keys have moved between partitions, so their states are wrong; "
            "create a new source topic with the old records in order and use a new app id",
        )
    if predictions not in (0, source):
        return Stop(
            1,
            f"{facts.place}: the source has {source} partitions, the predictions topic "
            f"{predictions}; create a predictions topic with {source} partitions",
        )
    if facts.is_compacted and not choices.allow_compacted:
        return Stop(
            1,
            f"{facts.place}: the source is compacted, so a rebuild would fold fewer records than "
            "were folded; set cleanup.policy=delete, or --allow-compacted to accept it",
        )
    position, c = held.position, group_offset.offset if group_offset else None
    beyond = max(position or 0, c or 0) > facts.log_end
    if beyond or facts.anchor_fits is False or facts.prediction_fits is False:
        return Stop(
            2,
            f"{facts.place}: the log was truncated or recreated: position {position}, group "
            f"offset {c}, log end {facts.log_end}"
            f"{'' if beyond else '; a record that was folded is another one now'}; restore the "
            "topic, or begin anew: stop the workers, `stream-rnn state drop`, reset the group's "
            "offsets, and use a new predictions topic",
        )
    return None


def _without_states(facts: Facts, choices: Choices, c: GroupOffset | None) -> Start | Stop:
    """Rows 4 to 8: Redis has no position, or hidden states that do not fit it (row 3)."""
    s = facts.log_start
    if c is None:
        origin = s if choices.auto_offset_reset == "earliest" else facts.log_end
        return Start(
            4,
            origin,
            origin,
            publish_from=origin,
            write_group_offset=origin,
            write_first_position=True,
        )
    if c.offset < s:
        return _lost_history(
            5,
            facts,
            choices,
            c,
            f"records {c.offset} to {s - 1} were removed before they were published",
        )
    if c.fold_id == facts.fold_id and c.origin is not None:
        if s <= c.origin:
            write = _to_write(facts, c)
            return Start(
                6,
                c.origin,
                c.origin,
                publish_from=c.offset,
                write_group_offset=write,
                write_first_position=True,
            )
        return _lost_history(
            7,
            facts,
            choices,
            c,
            f"the states were lost and records {c.origin} to {s - 1}, from which they were made, are removed",
        )
    return Start(
        8, s, s, publish_from=c.offset, write_group_offset=c.offset, write_first_position=True
    )


def _with_states(
    facts: Facts, choices: Choices, position: int, c: GroupOffset | None
) -> Start | Stop:
    """Rows 5 and 9 to 11: Redis has a position and its hidden states."""
    s = facts.log_start
    if position < s:  # nobody can tell any more whether [position, s) held records or only markers
        return _lost_history(
            5,
            facts,
            choices,
            c,
            f"records {position} to {s - 1} were removed before they were folded",
        )
    origin = facts.held.origin
    assert origin is not None, "a position is written together with its origin"
    if facts.group_offset is None:
        offset = max(position, c.offset if c else 0)
        return Start(9, position, origin, publish_from=offset, write_group_offset=offset)
    assert c is not None
    if facts.group_offset.fold_id is None and c is facts.group_offset:
        return _not_ours(facts, position, c)
    if position > c.offset:
        return _behind(facts, position, c)
    return Start(
        11, position, origin, publish_from=c.offset, write_group_offset=_to_write(facts, c)
    )


def _to_write(facts: Facts, c: GroupOffset) -> int | None:
    """Return the group offset if Kafka does not have it: what is folded silently below it would pass Kafka's.

    Of ``at_least_once``: outputs may have left without their group offset, and a zombie's late
    duplicate of an older one may be the last output that the next recovery sees.
    """
    if c is facts.group_offset or c is facts.acknowledged:
        return None
    return c.offset


def _behind(facts: Facts, position: int, c: GroupOffset) -> Stop:
    return Stop(
        10,
        f"{facts.place}: the group offset {c.offset} is behind the position {position}: it was set "
        "back, or Kafka has lost what it had acknowledged. Stop the workers and look at the outputs: "
        f"if records {c.offset} to {position - 1} have predictions, delete the group offset "
        "(kafka-consumer-groups --delete-offsets); if they have none, run `stream-rnn state drop`, "
        "and the next worker builds the states again and publishes from the group offset",
    )


def _not_ours(facts: Facts, position: int, c: GroupOffset) -> Stop:
    return Stop(
        10,
        f"{facts.place}: the group offset {c.offset} was not written by this system (position "
        f"{position}): publishing from there would repeat or leave out predictions; to go on where "
        "the fold was, stop the workers and delete the offset (kafka-consumer-groups "
        "--delete-offsets), position and "
        "predictions topic then say where; to publish everything again, use a new app id",
    )


def _lost_history(
    row: int, facts: Facts, choices: Choices, c: GroupOffset | None, what: str
) -> Start | Stop:
    held, s = facts.held, facts.log_start
    figures = (
        f"position {held.position}, group offset {c.offset if c else None}, log start {s}, "
        f"origin {held.origin if held.origin is not None else c and c.origin}"
    )
    if choices.on_lost_history == "stop":
        is_unpublished = c is not None and c.offset < s
        remedy = (
            "what was never published cannot be any more:"
            if is_unpublished
            else "restore a Redis backup younger than the log's retention, or"
        )
        return Stop(
            row,
            f"{facts.place}: {what} ({figures}); {remedy} give the history up with "
            "--on-lost-history accept: the states are dropped and the fold begins at the log start",
        )
    publish_from = max(s, c.offset if c else s)
    return Start(
        row,
        s,
        s,
        publish_from=publish_from,
        write_group_offset=publish_from,
        write_first_position=True,
        lost=f"{what} ({figures})",
    )
