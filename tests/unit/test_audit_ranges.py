"""Offsets, ranges and partitions of an audit, and records that retention has removed."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from tests.audited import another_letter, faults, kinds, records_of, settings_of
from tests.memory_topics import Folded, fold, offset_of, with_header


async def test_repeats_are_no_fault_at_least_once(model):
    """Identical copies of predictions and dead letters are counted, but are no faults."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    made.predictions += made.predictions[-20:]
    made.letters += made.letters[-3:]
    made.predictions.insert(60, made.predictions.pop(40))
    result = await made.audit()
    assert faults(result) == {"duplicated": 20, "out_of_order": 1, "dead_letters_duplicated": 3}
    assert result.is_fine("at_least_once")
    assert not result.is_fine("exactly_once")
    made.letters.append(with_header(made.letters[-1], "sr-size", b"7"))
    assert not (await made.audit()).is_fine("at_least_once")


async def test_a_dead_letter_of_a_good_event_is_found_at_least_once(model):
    """A dead letter that names no fold belongs to the fold of its neighbours."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    made.letters.append(another_letter(made, 3, kinds(made)["event"][40]))
    assert faults(await made.audit()) == {"dead_letters_unexpected": 1}


async def test_what_arrives_late_is_not_missing(folded):
    """The ends of the outputs are read again, because a marker may be late."""
    folded.late = {"out": folded.predictions[-5:], "out.dead-letters": folded.letters[-1:]}
    folded.predictions, folded.letters = folded.predictions[:-5], folded.letters[:-1]
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert faults(result) == {}


async def test_a_group_offset_that_is_late_is_waited_for(folded):
    """The marker of the predictions may precede that of the group offset."""
    folded.late_c, folded.c = folded.c, GroupOffset(200, folded.c.fold_id, 0)
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert result.ranges == {0: (0, 200)}


async def test_a_wrong_app_is_no_success(folded):
    """The audit reports that it compared nothing, and which apps publish to the topic."""
    folded.c = None
    result = await folded.audit(app="other")
    assert not result.is_fine("exactly_once")
    assert result.counts["compared"] == 0
    assert "app other has folded none of offsets" in result.problems[0]
    assert "app a of topic events" in result.problems[0]
    assert "nothing was compared" in result.problems[-1]


async def test_a_group_without_an_offset_is_audited_up_to_its_last_output(folded):
    """Group offsets expire; the last output then determines the range."""
    folded.c = None
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert "group a has no offset; its last output" in result.notes[0]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("1000", None, "--from 1000 is not below the log end 240"),
        ("200", "150", "the range is empty"),
    ],
)
async def test_a_range_that_is_not_there_is_no_success(folded, first, last, said):
    """A range without any offset is reported with its reason."""
    folded.source_start = 100
    result = await folded.audit(first=first, last=last)
    assert not result.is_fine("exactly_once")
    assert said in result.notes[0]
    assert "nothing was compared" in result.problems[0]


def beside_another(made) -> None:
    """Copy all records and outputs to partition 1, whose audit then finds no fault."""
    made.counts = dict.fromkeys(("events", "out", "out.dead-letters"), 2)
    made.other_partitions["events", 1] = [
        Message(r.key, r.value, r.timestamp, r.headers) for r in made.records
    ]
    for topic, messages in (("out", made.predictions), ("out.dead-letters", made.letters)):
        made.other_partitions[topic, 1] = [
            with_header(of_partition_1(m), "sr-partition", b"1") for m in messages
        ]


def of_partition_1(message) -> Message:
    """Return a prediction that names partition 1."""
    value = message.value or b""
    return message._replace(value=value.replace(b'"partition":0', b'"partition":1'))


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("0", "50", "records of offsets 0 to 49 are removed: the log starts at 100"),
        ("20", "100", "records of offsets 20 to 99 are removed: the log starts at 100"),
        (None, "50", "all records before --to 50, if there were any, are removed: the log starts"),
        (None, "2026-01-01T00:00:30", "all records before --to 2026-01-01T00:00:30, if there were"),
    ],
)
async def test_a_range_that_is_wholly_removed_is_a_problem(folded, first, last, said):
    """Another partition whose audit succeeds does not make up for it."""
    beside_another(folded)
    folded.c_of_1 = folded.c
    assert (await folded.audit()).is_fine("exactly_once")
    folded.source_start = 100
    result = await folded.audit(first=first, last=last)
    assert result.counts["compared"] > 10
    assert [p.removeprefix("events[0]: ").startswith(said) for p in result.problems] == [True]
    assert not result.is_fine("exactly_once")


async def test_a_range_that_is_removed_in_part_is_said(folded):
    """The remaining records are compared."""
    folded.source_start = 100
    result = await folded.audit(first="50", last="200")
    assert result.notes[0] == "events[0]: records of offsets 50 to 99 are removed: the log starts at 100"  # fmt: skip
    assert result.is_fine("exactly_once")


async def test_a_partition_that_retention_has_emptied_is_said(folded):
    """It is no problem, unless the range names the removed records."""
    beside_another(folded)
    folded.c_of_1, folded.source_start = folded.c, 240
    folded.records = []
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert result.notes[0] == "events[0]: the partition is empty"
    gone = await folded.audit(first="0")
    assert gone.problems == ["events[0]: records of offsets 0 to 239 are removed: the log starts at 240"]  # fmt: skip


async def test_what_is_not_published_yet_is_said(folded):
    """The group offset equals the start of the range."""
    folded.c = GroupOffset(0, folded.c.fold_id, 0)
    folded.predictions, folded.letters = [], []
    result = await folded.audit()
    assert not result.is_fine("exactly_once")
    assert "nothing is published from offset 0 on" in result.notes[0]


async def test_an_empty_source_is_no_success(folded):
    """There is nothing to compare."""
    folded.records, folded.predictions, folded.letters, folded.c = [], [], [], None
    result = await folded.audit()
    assert not result.is_fine("exactly_once")
    assert result.notes == ["events[0]: the partition is empty"]


async def test_empty_outputs_are_all_missing(folded):
    """Everything below the group offset has been published, but the topics are empty."""
    count, letters = len(folded.predictions), len(folded.letters)
    folded.predictions, folded.letters = [], []
    result = await folded.audit()
    assert faults(result) == {"missing": count, "dead_letters_missing": letters}
    assert not result.is_fine("exactly_once")


async def test_a_partition_that_nobody_folded_is_a_problem(folded):
    """Another partition whose audit succeeds does not make up for it."""
    names = ("events", "out", "out.dead-letters")
    folded.counts = dict.fromkeys(names, 2)
    folded.other_partitions["events", 1] = [folded.predictions[0]]
    result = await folded.audit()
    assert faults(result) == {}
    assert result.counts["compared"] == len(folded.predictions)
    assert "events[1]: app a has folded none of offsets 0 to 0" in result.problems[0]
    assert not result.is_fine("exactly_once")
    assert (await folded.audit(partitions=[0])).is_fine("exactly_once")


@pytest.mark.parametrize("counts", [{"events": 2}, {"out": 2}, {"out.dead-letters": 0}])
async def test_another_number_of_partitions_is_refused(folded, counts):
    """A worker publishes to the partition that it reads from."""
    folded.counts = counts
    with pytest.raises(ConfigError, match="partitions"):
        await folded.audit()


async def test_a_partition_that_is_not_there_is_refused(folded):
    """A partition that does not exist is an error, not an empty success."""
    with pytest.raises(ConfigError, match="partitions 0 to 0, none with number 7"):
        await folded.audit(partitions=[7])


@pytest.mark.parametrize(
    ("offset", "start", "said"),
    [
        (400, 0, "all offsets below 400 are published, but the log ends at 240"),
        (100, 150, "records 100 to 149 were removed before their outputs were published"),
    ],
)
async def test_a_group_offset_that_cannot_be_is_a_problem(folded, offset, start, said):
    """It lies beyond the log end, or below the log start."""
    folded.c = GroupOffset(offset, folded.c.fold_id, 0)
    folded.source_start = start
    result = await folded.audit()
    assert any(said in problem for problem in result.problems)
    assert not result.is_fine("exactly_once")


async def test_a_group_offset_that_was_set_back_is_a_problem(folded):
    """Predictions and group offset share a transaction, so none can be ahead of it."""
    folded.c = GroupOffset(100, folded.c.fold_id, 0)
    result = await folded.audit()
    assert faults(result) == {}
    assert (
        "the group offset is 100, but out[0] contains the prediction of offset"
        in result.problems[0]
    )
    assert (await folded.audit(delivery="at_least_once")).is_fine("at_least_once")


async def test_a_group_offset_that_somebody_set_is_said(folded):
    """It lacks the metadata that workers write."""
    folded.c = GroupOffset(240)
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert "was not written by a worker" in result.notes[0]


async def test_predictions_that_retention_removed_are_counted(folded):
    """The remaining predictions are compared, and the removed ones are not missing."""
    folded.starts["out"] = 50
    result = await folded.audit()
    assert faults(result) == {}
    assert result.why_not_comparable == {"began_before": 0, "other_fold": 0, "removed": 50}
    assert result.counts["compared"] == len(folded.predictions) - 50
    assert "out[0] lost its beginning" in result.notes[0]
    folded.predictions.pop(60)
    assert faults(await folded.audit()) == {"missing": 1}


async def test_predictions_whose_records_are_removed_are_counted(folded):
    """The audit counts the outputs whose records the source has lost."""
    folded.source_start = 120
    below = sum(offset_of(m) < 120 for m in folded.predictions)
    result = await folded.audit()
    assert faults(result) == {}
    assert result.counts["compared"] > 20
    assert f"{below} predictions of offsets below 120 were not compared" in result.notes[0]
