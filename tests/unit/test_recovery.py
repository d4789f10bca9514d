"""``where_to_start``: one example a row, and what must hold over every combination of facts."""

from collections import Counter
from itertools import product

import pytest

from stream_rnn.fold.recovery import (
    Choices,
    Facts,
    LastPrediction,
    Start,
    Stop,
    known_group_offset,
    where_to_start,
)
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import StoredPosition

OURS, OTHER = "f01d", "07he7"
ACCEPT = Choices(on_lost_history="accept")
STOPPING = Choices()


def facts(s=0, e=10, p=None, origin=0, c=None, keys=0, fields=None, **more) -> Facts:
    """Build facts; ``c`` is an offset of our own fold, or a GroupOffset."""
    held = StoredPosition() if p is None else StoredPosition(p, origin, keys=keys, partitions=1)
    fields = keys if fields is None else fields
    held = StoredPosition(
        held.position, held.origin, held.anchor, held.keys, fields, partitions=held.partitions
    )
    group = GroupOffset(c, OURS, origin) if isinstance(c, int) else c
    return Facts("t[0]", OURS, s, e, held, group, **more)


def decide(choices=STOPPING, **given) -> Start | Stop:
    return where_to_start(facts(**given), choices)


@pytest.mark.parametrize(
    "given",
    [
        {"predictions_partitions": 2},
        {"source_partitions": 2, "predictions_partitions": 2, "p": 3, "c": 3},
        {"is_compacted": True},
    ],
)
def test_row_1_stops_when_keys_may_have_moved(given):
    """Another partition count, or a compacted source, stops whatever else holds."""
    decision = decide(**given)
    assert isinstance(decision, Stop)
    assert decision.row == 1
    assert "t[0]" in decision.message


def test_row_1_accepts_a_compacted_source_when_told():
    """``allow_compacted`` is a choice that a person may make."""
    assert decide(Choices(allow_compacted=True), is_compacted=True).row == 4


@pytest.mark.parametrize(
    "given",
    [
        {"p": 11, "c": 11},
        {"c": 11},
        {"p": 5, "c": 5, "anchor_fits": False},
        {"p": 5, "c": 5, "prediction_fits": False},
    ],
)
def test_row_2_stops_at_another_log(given):
    """A position beyond the log end, or another record at the anchor, stops."""
    decision = decide(**given)
    assert isinstance(decision, Stop)
    assert decision.row == 2


@pytest.mark.parametrize("given", [{"p": 5, "keys": 3, "fields": 2}, {"fields": 2}])
def test_row_3_takes_a_torn_store_as_none(given):
    """Hidden states that were added or taken away count as no position at all."""
    decision = decide(c=6, **given)
    assert decision == Start(6, 0, 0, 6, write_first_position=True)


def test_row_4_begins_where_it_is_told():
    """A new fold begins at log start or log end, and says so to Kafka first."""
    assert decide(s=3) == Start(4, 3, 3, 3, 3, write_first_position=True)
    latest = decide(Choices(auto_offset_reset="latest"), s=3)
    assert latest == Start(4, 10, 10, 10, 10, write_first_position=True)


@pytest.mark.parametrize("given", [{"c": 2}, {"p": 1, "c": 2}, {"p": 1, "c": 5}, {"p": 1}])
def test_row_5_asks_before_it_gives_up_history(given):
    """Records that were removed too early stop the worker, unless that is accepted."""
    stop = decide(s=3, **given)
    assert isinstance(stop, Stop)
    assert stop.row == 5
    assert "log start 3" in stop.message
    start = decide(ACCEPT, s=3, **given)
    assert isinstance(start, Start)
    assert (start.row, start.position, start.origin) == (5, 3, 3)
    assert start.lost


def test_row_6_rebuilds_from_the_origin():
    """A lost store is folded again from its origin, silently below the group offset."""
    c = GroupOffset(7, OURS, 2)
    assert decide(s=1, c=c) == Start(6, 2, 2, 7, write_first_position=True)


def test_row_7_asks_when_the_log_is_too_short_to_rebuild():
    """States that cannot be made again exactly are not made again in silence."""
    c = GroupOffset(7, OURS, 2)
    stop = decide(s=4, c=c)
    assert isinstance(stop, Stop)
    assert stop.row == 7
    start = decide(ACCEPT, s=4, c=c)
    assert isinstance(start, Start)
    assert (start.position, start.publish_from, start.write_group_offset) == (4, 7, 7)


@pytest.mark.parametrize("c", [GroupOffset(7, OTHER, 0), GroupOffset(7)])
def test_row_8_builds_another_fold_silently(c):
    """A new model is folded from the log start and publishes only from the group offset on."""
    assert decide(s=4, c=c) == Start(8, 4, 4, 7, 7, write_first_position=True)


def test_row_9_writes_a_lost_group_offset():
    """The position stands in for a group offset that Kafka has forgotten."""
    assert decide(p=5) == Start(9, 5, 0, 5, 5)
    last = LastPrediction(7, OURS, 0, 0)
    assert decide(p=5, last_prediction=last) == Start(9, 5, 0, 8, 8)


@pytest.mark.parametrize("c", [4, GroupOffset(5), GroupOffset(8)])
def test_row_10_stops_at_a_group_offset_that_somebody_set(c):
    """A group offset below the position, or without our metadata, is not ours."""
    decision = decide(p=5, c=c)
    assert isinstance(decision, Stop)
    assert decision.row == 10
    assert "delete-offsets" in decision.message
    # Deleting the offset would leave out what Kafka has lost: dropping the states does not.
    is_ours = isinstance(c, int)
    assert ("if they have none, run `stream-rnn state drop`" in decision.message) == is_ours
    assert decide(c=c if is_ours else 4).row == 6


@pytest.mark.parametrize("c", [5, 8, GroupOffset(8, OTHER, 3)])
def test_row_11_goes_on(c):
    """The fold goes on at its position, silent below the group offset."""
    offset = c if isinstance(c, int) else c.offset
    assert decide(p=5, c=c) == Start(11, 5, 0, offset)


def test_the_group_offset_is_the_greatest_that_anybody_knows():
    """Kafka may be behind what this assignment or the output topic knows."""
    last = LastPrediction(6, OURS, 0, 0)
    known = facts(p=5, c=5, acknowledged=GroupOffset(8, OURS, 0), last_prediction=last)
    assert known_group_offset(known) == GroupOffset(8, OURS, 0)
    assert known_group_offset(facts(p=5, c=5, last_prediction=last)) == GroupOffset(7, OURS, 0)


@pytest.mark.parametrize(("given", "row"), [({"p": 2}, 11), ({}, 6)])
def test_a_group_offset_that_only_the_outputs_know_is_written_first(given, row):
    """Else P would pass what Kafka has, and the outputs may say less the next time."""
    last = LastPrediction(6, OURS, 0, None)
    start = decide(c=4, last_prediction=last, **given)
    assert (start.row, start.publish_from, start.write_group_offset) == (row, 7, 7)
    assert decide(c=7, last_prediction=last, **given).write_group_offset is None
    known = GroupOffset(8, OURS, 0)  # Kafka has it, and shows it when its markers are written
    start = decide(c=4, last_prediction=last, acknowledged=known, **given)
    assert (start.publish_from, start.write_group_offset) == (8, None)


def test_group_offset_metadata_goes_to_text_and_back():
    """Foreign metadata is no metadata."""
    c = GroupOffset(7, OURS, 3)
    assert GroupOffset.parse(7, c.metadata) == c
    for foreign in ("", "v1", "v1 a", "v1 a b", "v2 a 3", "a v1 3 4"):
        assert GroupOffset.parse(7, foreign) == GroupOffset(7)


def every_combination():
    """Yield facts over a log of 4 offsets: 100,000 combinations, impossible ones included."""
    offsets = (None, 0, 2, 3, 4)
    groups = [
        None,
        *(GroupOffset(o, f, 1 if f else None) for o in (0, 2, 3, 4) for f in (OURS, OTHER, None)),
    ]
    lasts = (None, LastPrediction(2, OURS, 1, 0), LastPrediction(3, OTHER, 0, 0))
    for s, p, origin, c, last, own, torn, anchor in product(
        (0, 1, 3), offsets, (0, 1), groups, lasts, (None, 3), (False, True), (None, True, False)
    ):
        if (p is not None and p < origin) or (c is not None and c.offset < (c.origin or 0)):
            continue  # nobody writes a position or a group offset below its own origin
        acknowledged = None if own is None else GroupOffset(own, OURS, origin)
        yield facts(
            s, 4, p, origin, c, 2, 3 if torn else 2 if p is not None else 0,
            acknowledged=acknowledged, last_prediction=last, anchor_fits=anchor,
        )  # fmt: skip


@pytest.mark.parametrize("choices", [Choices(), ACCEPT, Choices("latest", "accept")])
def test_every_start_keeps_the_invariant(choices):
    """Origin <= position <= publish_from <= E, C never falls, and history is given up aloud."""
    rows = Counter()
    for given in every_combination():
        decision = where_to_start(given, choices)
        rows[decision.row] += 1
        if isinstance(decision, Stop):
            assert decision.row in (2, 5, 7, 10)
            assert choices.on_lost_history == "stop" or decision.row in (2, 10)
            continue
        c = known_group_offset(given)
        assert decision.origin <= decision.position <= decision.publish_from <= given.log_end
        assert decision.publish_from >= (c.offset if c else 0)
        assert decision.position >= given.log_start
        if decision.write_group_offset is not None:
            assert decision.write_group_offset == decision.publish_from
        assert bool(decision.lost) == (decision.row in (5, 7))
        assert decision.write_first_position == (
            given.held.position is None or given.held.is_torn or decision.row == 5
        )
        if decision.write_first_position:
            assert decision.position == decision.origin
            assert decision.row == 6 or decision.write_group_offset is not None
        else:
            assert (decision.position, decision.origin) == (given.held.position, given.held.origin)
    assert set(rows) == {2, 4, 5, 6, 7, 8, 9, 10, 11}
