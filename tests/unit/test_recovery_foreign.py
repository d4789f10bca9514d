"""Recovery at a group offset that no fold has committed."""

from dataclasses import replace

import pytest

from stream_rnn.fold.recovery import (
    LastOutput,
    RecoveryOptions,
    Start,
    Stop,
)
from stream_rnn.fold.recovery_facts import log_decision
from stream_rnn.kafka.group_offsets import GroupOffset
from tests.unit.test_recovery import ACCEPT, FOREIGN, OURS, STOPPING, decide


@pytest.mark.parametrize(("log_start", "offset"), [(0, 7), (0, 99), (8, 7)])
def test_a_foreign_group_offset_never_leaves_out_predictions_unasked(log_start, offset):
    """Whether it is within the log, beyond it or removed: the message has both remedies."""
    given = {"log_start": log_start, "group_offset": GroupOffset(offset)}
    stop = decide(**given)
    assert isinstance(stop, Stop)
    assert stop.row == 10
    assert f"t[0]: the group offset {offset} was not written by stream_rnn" in stop.message
    among = "among the last 1000 committed records of each output topic"
    assert f"no output of this app is {among}." in stop.message
    assert "If other apps write to these topics, raise --lookback-records-max first" in stop.message
    assert "(kafka-consumer-groups --delete-offsets)" in stop.message
    begins = f"the next worker begins at offset {log_start} (auto_offset_reset=earliest)"
    assert begins in stop.message
    assert f"from offset {offset} on purpose, use --on-foreign-offset accept" in stop.message
    latest = decide(RecoveryOptions("latest"), **given)
    assert "begins at offset 10 (auto_offset_reset=latest)" in latest.message
    assert decide(**{**given, "group_offset": None}).publish_from == log_start  # the first remedy
    last = decide(**given, last_output=LastOutput(5, OURS, 0, None))
    assert f"the last output of this app {among} is that of record 5" in last.message
    assert "raise --lookback-records-max first (now 1000)" in last.message
    assert "the next worker publishes what follows the last output" in last.message


def test_an_accepted_foreign_group_offset_is_where_publishing_begins():
    """Row 8; but history that is lost, and an offset beyond the log, still stop the worker."""
    start = Start(8, 4, 4, 7, 7, write_first_position=True)
    chosen = decide(FOREIGN, log_start=4, group_offset=GroupOffset(7))
    assert replace(chosen, lost="") == start
    lost = decide(FOREIGN, log_start=8, group_offset=GroupOffset(7))
    assert (type(lost), lost.row) == (Stop, 5)
    beyond = decide(FOREIGN, group_offset=GroupOffset(11))
    assert (type(beyond), beyond.row) == (Stop, 2)


def test_an_accepted_foreign_group_offset_names_the_predictions_that_it_leaves_out(caplog):
    """In ``lost``, which ``state show`` prints, and in a warning that says to remove the setting."""
    given = {"group_offset": GroupOffset(90), "log_end": 99}
    last = LastOutput(7, OURS, 0, None)
    start = decide(FOREIGN, last_output=last, **given)
    assert "no predictions of records 8 to 89 are published" in start.lost
    assert "accepted the group offset 90, which was not written by stream_rnn" in start.lost
    log_decision("t[0]", "f" * 12, start)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "fold=ffffffffffff" in caplog.text
    assert "records 8 to 89" in caplog.text
    assert "remove the setting on_foreign_offset now" in caplog.text
    acknowledged = decide(FOREIGN, acknowledged=GroupOffset(20, OURS, 0), last_output=last, **given)
    assert "records 20 to 89" in acknowledged.lost
    assert "records 3 to 89" in decide(FOREIGN, log_start=3, **given).lost
    assert decide(FOREIGN, log_start=90, **given).lost == ""  # nothing is left out
    both = RecoveryOptions(on_foreign_offset="accept", on_lost_history="accept")
    removed = decide(both, log_start=95, last_output=last, **given)
    assert (removed.row, removed.lost.partition(" were")[0]) == (5, "records 8 to 94")


def test_a_log_that_has_changed_is_not_compared_with_a_foreign_group_offset():
    """The message says so, because the offset alone may look like the reason."""
    stop = decide(position=5, group_offset=GroupOffset(99), anchor_fits=False)
    assert stop.row == 2
    assert "group offset 99 (foreign, not compared), log end 10" in stop.message
    assert "foreign" not in decide(position=5, group_offset=5, anchor_fits=False).message


def test_the_remedies_of_a_foreign_group_offset_name_the_bound_of_the_search():
    """An output that lies deeper than the bound would be published again."""
    options = RecoveryOptions(lookback_records_max=40)
    for given in ({"position": 5}, {}, {"last_output": LastOutput(5, OURS, 0, None)}):
        stop = decide(options, group_offset=GroupOffset(8), **given)
        assert "among the last 40 committed records of each output topic" in stop.message
        assert "raise --lookback-records-max first (now 40)" in stop.message


@pytest.mark.parametrize("offset", [0, 6, 7])
@pytest.mark.parametrize(("given", "row"), [({"position": 6}, 11), ({}, 6)])
def test_a_foreign_group_offset_that_the_outputs_reach_is_replaced(offset, given, row):
    """Everything up to the last output is published, so the fold continues exactly after it."""
    last = LastOutput(6, OURS, 0, None)
    start = decide(group_offset=GroupOffset(offset), last_output=last, **given)
    assert (start.row, start.publish_from, start.write_group_offset) == (row, 7, 7)
    acknowledged = GroupOffset(7, OURS, 0)
    start = decide(group_offset=GroupOffset(offset), acknowledged=acknowledged, **given)
    assert (start.row, start.publish_from, start.write_group_offset) == (row, 7, 7)


@pytest.mark.parametrize("options", [STOPPING, FOREIGN, ACCEPT])
def test_a_foreign_group_offset_with_states_always_stops(options):
    """Nor do lost history, a torn position or an offset of the fold that it replaced go before."""
    for given in (
        {"position": 5, "group_offset": GroupOffset(8)},
        {"position": 5, "group_offset": GroupOffset(99)},
        {"position": 5, "group_offset": GroupOffset(8), "log_start": 6},
        {"position": 9, "group_offset": GroupOffset(3), "last_output": LastOutput(6, OURS, 0, 0)},
    ):
        stop = decide(options, **given)
        assert (type(stop), stop.row) == (Stop, 10)
        assert f"the group offset {given['group_offset'].offset} was not written" in stop.message
        assert f"(position {given['position']})" in stop.message
    torn = {"position": 5, "group_offset": GroupOffset(8), "keys": 3, "fields": 2}
    assert decide(options, **torn).row == (8 if options is FOREIGN else 10)
