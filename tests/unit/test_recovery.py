"""``where_to_start``: an example of each row, and invariants over every combination of facts."""

from collections import Counter
from itertools import product

import pytest

from stream_rnn.fold.recovery import (
    Facts,
    LastOutput,
    RecoveryOptions,
    Start,
    Stop,
    known_group_offset,
    where_to_start,
)
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import StoredPosition

OURS, OTHER = "0123456789ab", "ba9876543210"
ACCEPT = RecoveryOptions(on_lost_history="accept")
FOREIGN = RecoveryOptions(on_foreign_offset="accept")
STOPPING = RecoveryOptions()


def facts(
    log_start=0, log_end=10, position=None, origin=0, group_offset=None, keys=0, fields=None, **more
) -> Facts:
    """Build facts; ``group_offset`` is a group offset of this fold, or a GroupOffset of any."""
    stored = (
        StoredPosition()
        if position is None
        else StoredPosition(position, origin, keys=keys, partitions=1)
    )
    fields = keys if fields is None else fields
    stored = StoredPosition(
        stored.position,
        stored.origin,
        stored.anchor,
        stored.keys,
        fields,
        partitions=stored.partitions,
    )
    group = (
        GroupOffset(group_offset, OURS, origin) if isinstance(group_offset, int) else group_offset
    )
    return Facts("t[0]", OURS, log_start, log_end, stored, group, **more)


def decide(options=STOPPING, **given) -> Start | Stop:
    return where_to_start(facts(**given), options)


@pytest.mark.parametrize(
    "given",
    [
        {"predictions_partitions": 2},
        {"source_partitions": 2, "predictions_partitions": 2, "position": 3, "group_offset": 3},
        {"is_compacted": True},
    ],
)
def test_row_1_stops_when_keys_may_have_moved(given):
    """Another partition count or a compacted source stops the worker, whatever the other facts."""
    decision = decide(**given)
    assert isinstance(decision, Stop)
    assert decision.row == 1
    assert "t[0]" in decision.message


def test_row_1_accepts_a_compacted_source_if_allowed():
    """With ``allow_compacted`` the worker starts."""
    assert decide(RecoveryOptions(allow_compacted=True), is_compacted=True).row == 4


@pytest.mark.parametrize(
    "given",
    [
        {"position": 11, "group_offset": 11},
        {"group_offset": 11},
        {"position": 5, "group_offset": 5, "anchor_fits": False},
        {"position": 5, "group_offset": 5, "output_fits": False},
    ],
)
def test_row_2_stops_at_another_log(given):
    """A position beyond the log end, or another record at the anchor, stops the worker."""
    decision = decide(**given)
    assert isinstance(decision, Stop)
    assert decision.row == 2


@pytest.mark.parametrize("given", [{"position": 5, "keys": 3, "fields": 2}, {"fields": 2}])
def test_row_3_disregards_a_torn_position(given):
    """If hidden states were added or removed, the position does not count."""
    decision = decide(group_offset=6, **given)
    assert decision == Start(6, 0, 0, 6, write_first_position=True)


def test_row_4_begins_at_auto_offset_reset():
    """A new fold begins at log start or log end, and writes the group offset first."""
    assert decide(log_start=3) == Start(4, 3, 3, 3, 3, write_first_position=True)
    latest = decide(RecoveryOptions(auto_offset_reset="latest"), log_start=3)
    assert latest == Start(4, 10, 10, 10, 10, write_first_position=True)


@pytest.mark.parametrize(
    "given",
    [
        {"group_offset": 2},
        {"position": 1, "group_offset": 2},
        {"position": 1, "group_offset": 5},
        {"position": 1},
    ],
)
def test_row_5_asks_before_it_gives_up_history(given):
    """Records that were removed too early stop the worker, unless ``accept`` is set."""
    stop = decide(log_start=3, **given)
    assert isinstance(stop, Stop)
    assert stop.row == 5
    assert "log start 3" in stop.message
    start = decide(ACCEPT, log_start=3, **given)
    assert isinstance(start, Start)
    assert (start.row, start.position, start.origin) == (5, 3, 3)
    assert start.lost


def test_row_6_rebuilds_from_the_origin():
    """Lost states are built again from the origin, silently below the group offset."""
    group_offset = GroupOffset(7, OURS, 2)
    assert decide(log_start=1, group_offset=group_offset) == Start(
        6, 2, 2, 7, write_first_position=True
    )


def test_row_7_asks_when_the_log_is_too_short_to_rebuild():
    """States that cannot be built again exactly stop the worker, unless ``accept`` is set."""
    group_offset = GroupOffset(7, OURS, 2)
    stop = decide(log_start=4, group_offset=group_offset)
    assert isinstance(stop, Stop)
    assert stop.row == 7
    start = decide(ACCEPT, log_start=4, group_offset=group_offset)
    assert isinstance(start, Start)
    assert (start.position, start.publish_from, start.write_group_offset) == (4, 7, 7)


def test_row_8_builds_another_fold_silently():
    """The fold of a new model begins at the log start and publishes from the group offset on."""
    assert decide(log_start=4, group_offset=GroupOffset(7, OTHER, 0)) == Start(
        8, 4, 4, 7, 7, write_first_position=True
    )


def test_row_9_writes_a_lost_group_offset():
    """The position replaces a group offset that Kafka has lost."""
    assert decide(position=5) == Start(9, 5, 0, 5, 5)
    last = LastOutput(7, OURS, 0, 0)
    assert decide(position=5, last_output=last) == Start(9, 5, 0, 8, 8)


@pytest.mark.parametrize("group_offset", [4, GroupOffset(5), GroupOffset(8)])
def test_row_10_stops_at_a_group_offset_that_somebody_set(group_offset):
    """A group offset below the position, or without metadata of a fold, stops the worker."""
    decision = decide(position=5, group_offset=group_offset)
    assert isinstance(decision, Stop)
    assert decision.row == 10
    assert "delete-offsets" in decision.message
    # Deleting the offset would leave out outputs that Kafka has lost; dropping the states does not.
    is_ours = isinstance(group_offset, int)
    assert ("If they have none, run `stream-rnn state drop`" in decision.message) == is_ours
    assert decide(group_offset=group_offset if is_ours else 4).row == 6


@pytest.mark.parametrize("group_offset", [5, 8, GroupOffset(8, OTHER, 3)])
def test_row_11_continues_the_fold(group_offset):
    """The fold continues at its position, silently below the group offset."""
    offset = group_offset if isinstance(group_offset, int) else group_offset.offset
    assert decide(position=5, group_offset=group_offset) == Start(11, 5, 0, offset)


def test_the_group_offset_is_the_greatest_of_three():
    """Kafka may return a smaller offset than this assignment's publish or the last output."""
    last = LastOutput(6, OURS, 0, 0)
    known = facts(
        position=5, group_offset=5, acknowledged=GroupOffset(8, OURS, 0), last_output=last
    )
    assert known_group_offset(known) == GroupOffset(8, OURS, 0)
    assert known_group_offset(facts(position=5, group_offset=5, last_output=last)) == GroupOffset(
        7, OURS, 0
    )


@pytest.mark.parametrize(("given", "row"), [({"position": 2}, 11), ({}, 6)])
def test_a_group_offset_that_only_the_outputs_show_is_written_first(given, row):
    """Otherwise the position could pass Kafka's offset, and a later last output may be earlier."""
    last = LastOutput(6, OURS, 0, None)
    start = decide(group_offset=4, last_output=last, **given)
    assert (start.row, start.publish_from, start.write_group_offset) == (row, 7, 7)
    assert decide(group_offset=7, last_output=last, **given).write_group_offset is None
    known = GroupOffset(8, OURS, 0)  # Kafka has acknowledged it, and returns it after its markers
    start = decide(group_offset=4, last_output=last, acknowledged=known, **given)
    assert (start.publish_from, start.write_group_offset) == (8, None)


def test_group_offset_metadata_goes_to_text_and_back():
    """Metadata of other clients names no fold, nor does an origin beyond the offset."""
    group_offset = GroupOffset(7, OURS, 3)
    assert GroupOffset.parse(7, group_offset.metadata) == group_offset
    given = ["", "v1", "v1 hello 3", f"v1 {OURS}", f"v2 {OURS} 3", f"a v1 {OURS} 3"]
    given += [f"v1 {OURS} {origin}" for origin in ("b", "-3", "8", "3 4 5", "\u0663")]
    given += [f"v1 {fold_id} 3" for fold_id in (OURS[1:], f"{OURS}0", "0123456789AB")]
    for foreign in given:
        assert GroupOffset.parse(7, foreign) == GroupOffset(7)


def every_combination():
    """Yield facts over a log of 4 offsets: 100,000 combinations, impossible ones included."""
    offsets = (None, 0, 2, 3, 4)
    groups = [
        None,
        *(GroupOffset(o, f, 1 if f else None) for o in (0, 2, 3, 4) for f in (OURS, OTHER, None)),
    ]
    lasts = (None, LastOutput(2, OURS, 1, 0), LastOutput(3, OTHER, 0, 0))
    for log_start, position, origin, group_offset, last, own, torn, anchor in product(
        (0, 1, 3), offsets, (0, 1), groups, lasts, (None, 3), (False, True), (None, True, False)
    ):
        if (position is not None and position < origin) or (
            group_offset is not None and group_offset.offset < (group_offset.origin or 0)
        ):
            continue  # no worker writes a position or a group offset below its origin
        acknowledged = None if own is None else GroupOffset(own, OURS, origin)
        fields = 3 if torn else 2 if position is not None else 0
        yield facts(
            log_start, 4, position, origin, group_offset, 2, fields,
            acknowledged=acknowledged, last_output=last, anchor_fits=anchor,
        )  # fmt: skip


@pytest.mark.parametrize(
    "options", [RecoveryOptions(), ACCEPT, FOREIGN, RecoveryOptions("latest", "accept")]
)
def test_every_start_keeps_the_invariant(options):
    """Origin <= position <= publish_from <= log end, and a start without history names the loss."""
    rows = Counter()
    for given in every_combination():
        decision = where_to_start(given, options)
        rows[decision.row] += 1
        if isinstance(decision, Stop):
            assert decision.row in (2, 5, 7, 10)
            assert options.on_lost_history == "stop" or decision.row in (2, 10)
            continue
        group_offset = known_group_offset(given)
        if options.on_foreign_offset == "stop":
            assert group_offset is None or not group_offset.is_foreign
        assert decision.origin <= decision.position <= decision.publish_from <= given.log_end
        assert decision.publish_from >= (group_offset.offset if group_offset else 0)
        assert decision.position >= given.log_start
        if decision.write_group_offset is not None:
            assert decision.write_group_offset == decision.publish_from
        if decision.row == 8:
            assert group_offset is not None
            assert group_offset.is_foreign or not decision.lost
        else:
            assert bool(decision.lost) == (decision.row in (5, 7))
        assert decision.write_first_position == (
            given.stored.position is None or given.stored.is_torn or decision.row == 5
        )
        if decision.write_first_position:
            assert decision.position == decision.origin
            assert decision.row == 6 or decision.write_group_offset is not None
        else:
            assert (decision.position, decision.origin) == (
                given.stored.position,
                given.stored.origin,
            )
    assert set(rows) == {2, 4, 5, 6, 7, 8, 9, 10, 11}
