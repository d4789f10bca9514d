"""``where_to_start`` after a cut-over: the fold that the group offset names is in charge."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from stream_rnn.errors import RecoveryError
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.recovery import (
    Facts,
    LastOutput,
    RecoveryOptions,
    Start,
    Stop,
    known_group_offset,
    where_to_start,
)
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.state import FirstPosition, StoredPosition
from stream_rnn.testing import MemoryLog, memory_processor, record
from tests import models

OURS, OTHER = "0123456789ab", "ba9876543210"
STOPPING = RecoveryOptions()


def facts(stored=None, group_offset=None, log_start=0, **more) -> Facts:
    stored = StoredPosition() if stored is None else StoredPosition(*stored, partitions=1)
    return Facts("t[0]", OURS, log_start, 10, stored, group_offset, **more)


def decide(stored=None, group_offset=None, log_start=0, **more) -> Start | Stop:
    return where_to_start(facts(stored, group_offset, log_start, **more), STOPPING)


def test_the_number_is_a_fourth_word_of_the_metadata():
    """Three words are those of a fold that no cut-over has put in charge, byte for byte."""
    assert GroupOffset(7, OURS, 3).metadata == f"v1 {OURS} 3"
    assert GroupOffset(7, OURS, 3, 12).metadata == f"v1 {OURS} 3 12"
    for number in (0, 1, 12):
        written = GroupOffset(7, OURS, 3, number)
        assert GroupOffset.parse(7, written.metadata) == written
    for word in ("0", "01", "-1", "x", "1 2", "", "\u0663"):
        assert GroupOffset.parse(7, f"v1 {OURS} 3 {word}").is_foreign, word


@pytest.mark.parametrize(("stored", "row"), [((5, 0), 11), (None, 6)])
def test_a_start_keeps_the_number(stored, row):
    """Each later commit repeats it."""
    start = decide(stored, GroupOffset(7, OURS, 0, 3))
    assert (start.row, start.publish_from, start.number) == (row, 7, 3)
    assert decide(stored, GroupOffset(7, OURS, 0)).number == 0


@pytest.mark.parametrize("stored", [(5, 0), None])
def test_a_worker_does_not_take_the_partition_from_a_promoted_fold(stored):
    """Neither with states of its own nor without; without a cut-over it does, as a new bundle."""
    stop = decide(stored, GroupOffset(7, OTHER, 0, 1))
    assert isinstance(stop, Stop)
    assert stop.row == 10
    assert "cut-over 1 has put the fold ba9876543210 in charge" in stop.message
    accept = RecoveryOptions("earliest", "accept", on_foreign_offset="accept")
    assert where_to_start(facts(stored, GroupOffset(7, OTHER, 0, 1)), accept) == stop
    assert decide(stored, GroupOffset(7, OTHER, 0)).row == (8 if stored is None else 11)


@pytest.mark.parametrize("stored", [(5, 0), None])
def test_a_worker_does_not_take_the_partition_from_a_fold_that_an_open_roll_out_goes_on_with(
    stored,
):
    """Before the first cut-over, too: its bundle may only be missing for a moment."""
    known = GroupOffset(7, OTHER, 0)
    stop = decide(stored, known, is_rolled_out=True)
    assert isinstance(stop, Stop)
    assert stop.row == 10
    assert "an open roll-out goes on with the fold ba9876543210, whose bundle" in stop.message
    start = decide(stored, known, is_rolled_out=True, takes_over=4)
    assert isinstance(start, Start)
    assert (start.publish_from, start.write_group_offset, start.number) == (7, 7, 4)
    beaten = decide(stored, GroupOffset(7, OTHER, 0, 4), takes_over=4)
    assert isinstance(beaten, Stop)


def test_states_with_another_origin_do_not_count():
    """A worker that has lost the partition may have begun the promoted fold again."""
    start = decide((7, 5), GroupOffset(7, OURS, 2, 1), log_start=1)
    assert start == Start(6, 2, 2, 7, write_first_position=True, number=1)
    stop = decide((7, 5), GroupOffset(7, OURS, 2, 1), log_start=3)
    assert isinstance(stop, Stop)
    assert stop.row == 7
    assert decide((7, 5), GroupOffset(7, OURS, 2), log_start=3).row == 11


def test_of_equal_offsets_the_greater_number_is_newer():
    """Kafka may return the group offset of before the cut-over, which has the same offset."""
    before, after = GroupOffset(7, OTHER, 0), GroupOffset(7, OURS, 2, 1)
    for older, newer in ((before, after), (after, GroupOffset(7, OTHER, 0, 2))):
        given = facts((7, 2), older, acknowledged=newer)
        assert known_group_offset(given) is newer
        assert known_group_offset(facts((7, 2), newer, acknowledged=older)) is newer
    last = LastOutput(7, OURS, 2, None, 1)
    start = decide((7, 2), before, last_output=last)
    assert (start.row, start.publish_from, start.write_group_offset, start.number) == (11, 8, 8, 1)


def test_outputs_of_the_fold_before_do_not_count():
    """In ``at_least_once`` a worker without the partition may still append them."""
    late = LastOutput(8, OTHER, 0, None)
    start = decide((7, 2), GroupOffset(7, OURS, 2, 1), last_output=late)
    assert (start.row, start.publish_from, start.number) == (11, 7, 1)


def test_outputs_of_another_fold_do_not_count():
    """The group offset says who has this number."""
    late = LastOutput(8, OTHER, 0, None, 1)
    start = decide((7, 2), GroupOffset(7, OURS, 2, 1), last_output=late)
    assert (start.row, start.publish_from, start.number) == (11, 7, 1)
    ours = LastOutput(8, OURS, 2, None, 1)
    assert decide((7, 2), GroupOffset(7, OURS, 2, 1), last_output=ours).publish_from == 9


@pytest.mark.parametrize("group", [None, GroupOffset(3)])
async def test_without_a_group_offset_the_greatest_number_is_looked_for(group):
    """In ``at_least_once``, the last outputs may be late ones of a fold that was replaced."""

    def output(offset, fold, number):
        headers = {"sr-offset": b"%d" % offset, "sr-fold": fold.encode(), "sr-origin": b"2"}
        numbers = {"sr-cut-over": b"%d" % number} if number else {}
        return Message(b"k", b"v", 0, list((headers | numbers).items()))

    log = MemoryLog([record(n, b"k", {"x": 1}) for n in range(10)], group=group)
    log.predictions = [output(5, OURS, 2), output(6, OTHER, 1), output(7, OTHER, 0)]
    for options, found in ((STOPPING, 7), (replace(STOPPING, has_late_outputs=True), 5)):
        recovery = Recovery("t[0]", OURS, MemoryStore(), log, options)
        assert (await recovery.read()).last_output.offset == found
    recovery = Recovery("t[0]", OURS, MemoryStore(), log, replace(STOPPING, has_late_outputs=True))
    log.group = GroupOffset(5, OTHER, 2, 1)
    assert (await recovery.read()).last_output.offset == 6
    recovery.read_outputs_again()
    acknowledged = GroupOffset(5, OURS, 2, 2)
    assert (await recovery.read(acknowledged)).last_output.offset == 5


def test_every_start_keeps_the_invariant_and_the_fold_in_charge():
    """Over all numbers: who starts is named, or no cut-over has named another one."""
    groups = [
        None,
        *(GroupOffset(o, f, 1, k) for o in (2, 4) for f in (OURS, OTHER) for k in (0, 1, 2)),
    ]
    lasts = (None, *(LastOutput(2, f, 1, None, k) for f in (OURS, OTHER) for k in (0, 1)))
    owns = (None, *(GroupOffset(3, f, 1, k) for f in (OURS, OTHER) for k in (0, 2)))
    rows = Counter()
    for log_start, stored, group, last, own in product(
        (0, 1, 3), (None, (2, 1), (3, 1), (3, 2)), groups, lasts, owns
    ):
        given = facts(stored, group, log_start, last_output=last, acknowledged=own)
        known, decision = known_group_offset(given), where_to_start(given, STOPPING)
        rows[decision.row] += 1
        if known is None or isinstance(decision, Stop):
            continue
        assert decision.number == known.number
        assert known.fold_id == OURS or not known.number
        assert decision.origin == known.origin or not known.number
        assert decision.position <= decision.publish_from == max(known.offset, decision.position)
    assert {4, 5, 6, 7, 8, 9, 10, 11} == {*rows}


async def test_rows_5_and_7_read_the_group_offset_again_before_they_stop():
    """The cut-over to another fold may have been written since it was read."""

    class CutOver(MemoryLog):
        async def group_offset(self):
            before, self.group = self.group, GroupOffset(7, OURS, 4, 1)
            return before

    log, store = CutOver([record(n, b"k", {"x": n}) for n in range(4, 10)], 4), MemoryStore()
    log.group = GroupOffset(6, OURS, 2)
    recovery = Recovery("t[0]", OURS, store, log, STOPPING)
    _, start = await recovery.find()
    assert (start.row, start.origin, start.publish_from, start.number) == (6, 4, 7, 1)
    log.log_start_offset = 5
    with pytest.raises(RecoveryError, match="records 4 to 4, from which they were computed"):
        await recovery.find()


async def test_each_commit_and_output_repeats_the_number():
    """Predictions and dead letters have it in a header, from which recovery reads it again."""
    events = [record(n, b"k", {"x": 0.1 * n} if n != 4 else b"no event") for n in range(6)]
    log, store = MemoryLog(events), MemoryStore()
    processor = memory_processor(models.small(), log, store, sizes=[1] * 6)
    log.group = GroupOffset(3, processor.fold_id, 0, 2)
    await store.start(StoredPosition(), FirstPosition(0, 0, 1, "n"))
    await processor.run()
    assert log.group == GroupOffset(6, processor.fold_id, 0, 2)
    outputs = [dict(message.headers) for message in (*log.predictions, *log.dead_letters)]
    assert [headers["sr-offset"] for headers in outputs] == [b"3", b"5", b"4"]
    assert {headers["sr-cut-over"] for headers in outputs} == {b"2"}
    last = await log.last_output()
    assert last is not None
    assert (last.offset, last.number) == (5, 2)
    log.group = None
    again = memory_processor(models.small(), log, MemoryStore())
    await again.run()
    assert (log.group, again.number) == (GroupOffset(6, processor.fold_id, 0, 2), 2)


async def test_without_a_cut_over_no_output_has_the_header():
    """Outputs of a fold that no cut-over has put in charge stay as they are."""
    log = MemoryLog([record(0, b"k", {"x": 1.0})])
    await memory_processor(models.small(), log, MemoryStore()).run()
    assert "sr-cut-over" not in dict(log.predictions[0].headers)
    assert log.group is not None
    assert log.group.metadata.count(" ") == 2
