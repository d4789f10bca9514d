"""Reading the facts of a start, and looking again before stopping."""

from dataclasses import replace

import pytest

from stream_rnn.errors import RecoveryError
from stream_rnn.fold.recovery import LastOutput, RecoveryOptions
from stream_rnn.fold.recovery_facts import REREAD_EVERY_S, Recovery, anchor_of
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import StoredPosition
from stream_rnn.testing import MemoryLog, MemoryStore, record

OURS = "0123456789ab"
RECORDS = [record(i, b"k", {"x": i}, 100 + i) for i in range(10)]


def at(position, origin=0, anchor=None):
    """Return what Redis holds at a position."""
    return StoredPosition(position, origin, anchor, partitions=1)


def ours(offset, origin=0):
    """Return C as our own fold writes it."""
    return GroupOffset(offset, OURS, origin)


class ScriptedLog(MemoryLog):
    """A log whose group offset is another one at each reading; the last one stays."""

    __slots__ = ("answers", "looked_back", "read")

    def script(self, *answers):
        """Set the answers."""
        self.answers, self.read, self.looked_back = list(answers), 0, 0
        return self

    async def group_offset(self):
        self.read += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def last_output(self, number_min=0):
        self.looked_back += 1
        return await super().last_output(number_min)


class ScriptedStore(MemoryStore):
    """A store that holds another thing at each reading; the last one stays."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.reads = list(answers), 0

    async def read(self):
        self.reads += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def naps(monkeypatch):
    """Replace waiting by a list of how long it would have been."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    return slept


def recovery(log, store, naps=(), patience_s=1.0, options=None):
    """Make a recovery whose time passes by its naps."""
    return Recovery(
        place="t[0]",
        fold_id=OURS,
        store=store,
        log=log,
        options=options or RecoveryOptions(),
        patience_s=patience_s,
        clock=lambda: float(sum(naps)),
    )


async def test_a_group_offset_that_is_behind_is_read_again(naps):
    """The markers of a decided transaction may come late; the position is not read again."""
    log = ScriptedLog(RECORDS).script(ours(3), ours(3), ours(6))
    store = ScriptedStore(at(6))
    _, start = await recovery(log, store, naps).find()
    assert (start.row, start.position, start.publish_from) == (11, 6, 6)
    assert (naps, log.read, store.reads) == ([REREAD_EVERY_S] * 2, 3, 1)


async def test_patience_ends(naps):
    """A group offset that stays behind the position was set back: a person must act."""
    log = ScriptedLog(RECORDS).script(ours(3))
    with pytest.raises(RecoveryError, match=r"group offset 3 is behind the position 6: it was set"):
        await recovery(log, ScriptedStore(at(6)), naps).find()
    assert naps == [REREAD_EVERY_S] * 4


async def test_a_newer_log_end_is_read_with_the_newer_group_offset(naps):
    """A group offset that moved on is not taken for one beyond the log."""

    class Growing(ScriptedLog):
        async def log_end(self):
            return 7 if self.read == 1 else 9

    log = Growing(RECORDS).script(ours(3), ours(9))
    _, start = await recovery(log, ScriptedStore(at(6)), naps).find()
    assert (start.row, start.publish_from) == (11, 9)


async def test_row_5_looks_again_and_goes_on_when_the_position_moved(naps):
    """The new owner had folded the records before they were removed."""
    log = ScriptedLog(RECORDS[4:], 4).script(ours(6))
    store = ScriptedStore(at(2), at(5))
    _, start = await recovery(log, store, naps).find()
    assert (start.row, start.position, store.reads) == (11, 5, 3)
    assert naps == []


async def test_row_5_stops_when_the_position_stays(naps):
    """What Redis says twice is so."""
    log = ScriptedLog(RECORDS[4:], 4).script(ours(6))
    store = ScriptedStore(at(2))
    with pytest.raises(RecoveryError, match="records 2 to 3 were removed before they were folded"):
        await recovery(log, store, naps).find()
    assert store.reads == 2


async def test_row_7_looks_again_and_goes_on_when_states_came_back(naps):
    """The new owner may be writing the first position just now."""
    log = ScriptedLog(RECORDS[4:], 4).script(ours(6))
    store = ScriptedStore(StoredPosition(), at(6))
    _, start = await recovery(log, store, naps).find()
    assert (start.row, start.position) == (11, 6)


async def test_row_7_stops_when_the_states_stay_lost(naps):
    """The records they were made from are removed."""
    log = ScriptedLog(RECORDS[4:], 4).script(ours(6))
    with pytest.raises(RecoveryError, match="records 0 to 3, from which they were computed"):
        await recovery(log, ScriptedStore(StoredPosition()), naps).find()


async def test_a_corrupt_state_counts_as_torn(naps):
    """Redis says that all is well; the caller knows better, and the fold begins at its origin."""
    log, store = ScriptedLog(RECORDS).script(ours(6)), ScriptedStore(at(6))
    _, start = await recovery(log, store, naps).find(is_corrupt=True)
    assert (start.row, start.position, start.publish_from) == (6, 0, 6)


async def test_a_corrupt_state_does_not_look_like_a_move(naps):
    """What the caller added to the facts is no change in Redis: row 7 stops."""
    log, store = ScriptedLog(RECORDS[4:], 4).script(ours(6)), ScriptedStore(at(6))
    with pytest.raises(RecoveryError, match="from which they were computed"):
        await recovery(log, store, naps).find(is_corrupt=True)
    assert store.reads == 2


async def test_an_acknowledged_group_offset_counts(naps):
    """What this assignment published is published, though Kafka does not say so yet."""
    log, store = ScriptedLog(RECORDS).script(ours(3)), ScriptedStore(at(6))
    _, start = await recovery(log, store, naps).find(ours(6))
    assert (start.row, start.publish_from, naps) == (11, 6, [])


async def test_the_output_is_looked_through_once():
    """Positioning again asks for everything but the last prediction."""
    log = ScriptedLog(RECORDS).script(ours(6))
    again = recovery(log, ScriptedStore(at(6)))
    await again.find()
    await again.find()
    assert (log.looked_back, log.read) == (1, 2)


@pytest.mark.parametrize(
    ("anchor", "fits"),
    [
        (anchor_of(RECORDS[5]), True),
        (replace(anchor_of(RECORDS[5]), crc=1), False),
        (replace(anchor_of(RECORDS[5]), timestamp=1), False),
        (anchor_of(RECORDS[1]), None),
        (None, None),
    ],
)
async def test_the_anchor_tells_a_recreated_log(anchor, fits):
    """Another record at the anchor is another log; below the log start nobody can tell."""
    log = MemoryLog(RECORDS, 2, group=ours(6))
    facts = await recovery(log, ScriptedStore(at(6, 2, anchor))).read()
    assert facts.anchor_fits is fits


@pytest.mark.parametrize(
    ("compacted", "fits"),
    [(RecoveryOptions(), False), (RecoveryOptions(allow_compacted=True), None)],
)
async def test_a_record_that_is_missing_at_the_anchor(compacted, fits):
    """It must be there, unless compaction was accepted."""
    log = MemoryLog([r for r in RECORDS if r.offset != 5], group=ours(6))
    held = at(6, 0, anchor_of(RECORDS[5]))
    facts = await recovery(log, ScriptedStore(held), options=compacted).read()
    assert facts.anchor_fits is fits


async def test_a_record_removed_while_it_is_looked_for_is_unknown():
    """The log start is asked again before a missing record is held against the log."""

    class Removing(MemoryLog):
        async def record_at(self, offset):
            self.log_start_offset = offset + 1
            return await super().record_at(offset)

    log = Removing(RECORDS, group=ours(6))
    facts = await recovery(log, ScriptedStore(at(6, 0, anchor_of(RECORDS[5])))).read()
    assert facts.anchor_fits is None


@pytest.mark.parametrize(
    ("offset", "timestamp", "fits"), [(5, 105, True), (5, 999, False), (1, 101, None)]
)
async def test_the_last_prediction_tells_a_recreated_log(offset, timestamp, fits):
    """Its timestamp is its source record's; below the log start nobody can tell."""

    class Predicted(MemoryLog):
        async def last_output(self, _number_min=0):
            return LastOutput(offset, OURS, 2, timestamp)

    facts = await recovery(Predicted(RECORDS, 2, group=ours(6)), ScriptedStore(at(6, 2))).read()
    assert facts.output_fits is fits


async def test_the_facts_name_the_topics():
    """Partition counts and compaction come from the cluster."""
    log = MemoryLog(RECORDS, source_partitions=2, predictions_partitions=3, is_compacted=True)
    facts = await recovery(log, ScriptedStore(StoredPosition())).read()
    assert (facts.source_partitions, facts.predictions_partitions) == (2, 3)
    assert facts.is_compacted
    assert (facts.log_start, facts.log_end, facts.place) == (0, 10, "t[0]")
