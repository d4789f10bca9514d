"""The facts about one source partition from which recovery decides, and the group offset they give."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import StoredPosition


@dataclass(frozen=True, slots=True)
class LastOutput:
    """The last committed output of this app: a prediction, or a dead letter that names its fold.

    Attributes:
        offset: Offset of its source record.
        fold_id: Id of the fold that made it.
        origin: Origin of that fold.
        timestamp: Timestamp of its source record; ``None`` if the topic has the broker's time.
        number: Number of the last cut-over before it; 0 before the first one.
    """

    offset: int
    fold_id: str
    origin: int
    timestamp: int | None
    number: int = 0


def last_of(outputs: Iterable[LastOutput]) -> LastOutput | None:
    """Return the last output of several topics: that of the greatest number, then offset."""
    return max(outputs, key=lambda output: (output.number, output.offset), default=None)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one source partition on which the decision depends.

    Attributes:
        place: Name of the partition in messages, such as ``flights[3]``.
        fold_id: Id of the fold that starts.
        log_start: First available offset of the source.
        log_end: Last stable offset of the source.
        stored: Position and other fields that Redis stores for this fold.
        group_offset: Group offset that Kafka returns.
        acknowledged: Group offset of the last publish that Kafka acknowledged in this assignment.
        last_output: Last output of this app in the output partitions.
        anchor_fits: Whether the record at the anchor is the folded record; ``None`` if there is
            nothing to compare.
        output_fits: Whether the record at the last output's source offset has the timestamp of
            that output; ``None`` if there is nothing to compare.
        source_partitions: Number of partitions of the source topic.
        predictions_partitions: Number of partitions of the predictions topic; 0 before the worker
            creates it.
        is_compacted: Whether the source topic is compacted.
        other_position: Position that Redis stores for the other fold of a roll-out, if Kafka returns
            no group offset.
        last_promoted: Fold, origin and number of the last promote of a roll-out, if Kafka returns
            no group offset; its offset does not count.
        is_rolled_out: Whether an open roll-out goes on with the fold in charge, whose bundle this
            worker cannot load.
        takes_over: Number with which this fold takes the partition over from a fold that a cut-over
            or an open roll-out has in charge, because a person requested it; 0 if nobody did.
        abandoned_for: Fold that is to take over by such a request, if it is not this one; empty for
            none.
        refusal: Why this worker cannot run the fold that a cut-over or an open roll-out has in
            charge; empty for no known reason.
    """

    place: str
    fold_id: str
    log_start: int
    log_end: int
    stored: StoredPosition = field(default_factory=StoredPosition)
    group_offset: GroupOffset | None = None
    acknowledged: GroupOffset | None = None
    last_output: LastOutput | None = None
    anchor_fits: bool | None = None
    output_fits: bool | None = None
    source_partitions: int = 1
    predictions_partitions: int = 1
    is_compacted: bool = False
    other_position: int = 0
    last_promoted: GroupOffset | None = None
    is_rolled_out: bool = False
    takes_over: int = 0
    abandoned_for: str = ""
    refusal: str = ""

    @property
    def has_states(self) -> bool:
        """Whether Redis has a position and its hidden states."""
        return self.stored.position is not None and not self.stored.is_torn


def known_group_offset(facts: Facts) -> GroupOffset | None:
    """Return the greatest group offset among those of Kafka, this assignment and the last output.

    Kafka's offset may be behind, because a decided transaction is visible only after its markers
    are written.  If Kafka returns none and an output exists, the result is at least the position,
    which is never beyond the group offset.  An offset in Kafka that no fold has written counts only
    if it is beyond the other two: up to these, the outputs are known to be published.

    A cut-over changes the fold but not the offset, so of equal offsets the one with the greater
    number is newer.  An output with a lower number is one of a worker that has lost the partition
    (``at_least_once``), and proves nothing about the fold in charge; nor does one of another fold
    with the same number.
    """
    last = facts.last_output
    of_output = None
    if last is not None and _counts(last, facts):
        of_output = GroupOffset(last.offset + 1, last.fold_id, last.origin, last.number)
    if facts.group_offset is None and of_output is not None:
        positions = facts.stored.position or 0, facts.other_position
        promoted = facts.last_promoted
        if promoted is not None and promoted.number > of_output.number:
            of_output = replace(promoted, offset=of_output.offset)
        of_output = replace(of_output, offset=max(of_output.offset, *positions))
    candidates = (facts.group_offset, of_output, facts.acknowledged)
    known = [candidate for candidate in candidates if candidate is not None]
    # The first of equal offsets is Kafka's, which need not be written, unless it is foreign.
    return max(known, key=lambda c: (c.offset, c.number, not c.is_foreign), default=None)


def _counts(last: LastOutput, facts: Facts) -> bool:
    """Return whether an output is one of the fold that the newest group offset names, or newer."""
    known = [c for c in (facts.group_offset, facts.acknowledged) if c is not None]
    newest = max(known, key=lambda c: (c.number, c.offset), default=None)
    if newest is None or last.number != newest.number:
        return newest is None or last.number > newest.number
    return last.number == 0 or last.fold_id == newest.fold_id
