"""An audit compares the outputs of one fold, and counts those of other folds in the topic."""

import pytest

from stream_rnn.audit.result import AuditOptions
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.testing import MemoryLog, MemoryStore, record
from tests.audited import (
    BEGIN_MS,
    faults,
    in_value,
    kinds,
    moved,
    of_another_bundle,
    records_of,
    settings_of,
)
from tests.memory_topics import Folded, fold


@pytest.mark.parametrize("changed", [{"state_ttl": 5.0}, {"model": of_another_bundle()}])
async def test_another_fold_is_no_success(folded, changed):
    """With a wrong bundle or a wrong ``state_ttl``, no output belongs to the fold."""
    result = await folded.audit(**changed)
    assert not result.is_fine("exactly_once")
    assert result.counts["compared"] == 0
    assert result.other_folds == len(folded.predictions)
    assert result.why_not_comparable["other_fold"] == len(folded.predictions) + len(folded.letters)
    assert result.other_folds_by_id == {folded.c.fold_id: len(folded.predictions)}
    assert faults(result) == {}


async def test_dead_letters_alone_are_no_success_beside_another_fold(model):
    """In ``at_least_once``, dead letters name no fold and are the same in every fold."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    result = await made.audit(model=of_another_bundle())
    assert result.dead_letters_compared == len(made.letters)
    assert faults(result) == {}
    assert not result.is_fine("at_least_once")


@pytest.mark.parametrize(
    ("text", "is_right"), [(b"1", True), (b"12", True), (b"0", False), (b"01", False), (b"", False)]
)
async def test_the_number_of_a_cut_over_is_no_difference(folded, text, is_right):
    """The outputs of a fold are the same after a promote and the way back; a false number is found."""

    def with_number(messages):
        return [m._replace(headers=[*m.headers, ("sr-cut-over", text)]) for m in messages]

    half = len(folded.predictions) // 2
    folded.predictions[half:] = with_number(folded.predictions[half:])
    folded.letters[:] = with_number(folded.letters)
    result = await folded.audit()
    wrong = len(folded.predictions) - half
    assert faults(result) == ({} if is_right else {"different": wrong})
    assert result.is_fine("exactly_once") == is_right


async def test_some_keys_alone_are_looked_at(folded):
    """Only chosen keys are compared, and a choice without any key in the log is no success."""
    spare = moved(folded, 40, kinds(folded)["forget"][1])
    folded.predictions.append(spare._replace(key=b"a"))
    some = AuditOptions(frozenset([b"a"]))
    result = await folded.audit(some)
    assert faults(result) == {"unexpected": 1, "out_of_order": 1}
    assert 0 < result.counts["compared"] < len(folded.predictions)
    assert (await folded.audit(AuditOptions(frozenset([b"b"])))).is_fine("exactly_once")
    nobody = await folded.audit(AuditOptions(frozenset([b"nobody"])))
    assert not nobody.is_fine("exactly_once")
    assert "of the chosen keys" in nobody.problems[0]


async def test_an_upgrade_leaves_nothing_missing_for_either_fold(model):
    """Each event has an output of one of the folds, with either delivery."""
    for delivery in ("exactly_once", "at_least_once"):
        settings = settings_of(delivery=delivery)
        records = records_of(300)
        log = await fold(model, settings, records[:150])
        log.records[:] = records
        newer = settings.model_copy(update={"top_k": 2})
        made = Folded(model, settings, await fold(model, newer, [], log=log))
        old, new = await made.audit(), await made.audit(top_k=2)
        assert faults(old) == faults(new) == {}
        assert old.is_fine(delivery)
        assert new.is_fine(delivery)
        assert old.counts["compared"] == new.other_folds
        assert new.counts["compared"] == old.other_folds > 100


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_two_folds_need_not_agree_on_what_an_event_is(model, delivery):
    """A dead letter of the other fold is no fault of this one, even if it names no fold."""
    small = settings_of(delivery=delivery, value_bytes_max=42)
    large = small.model_copy(update={"value_bytes_max": 1000})
    records = records_of(200)
    for offset in range(5, 200, 9):
        value = b"x" * 50 if offset % 2 else {"x": 1.0, "kind": "A", "more": "more than 42 bytes"}
        records[offset] = record(offset, b"a", value, BEGIN_MS + 1000 * offset)
    log = await fold(model, small, records[:100])
    log.records[:] = records
    made = Folded(model, small, await fold(model, large, [], log=log))
    for result in (await made.audit(), await made.audit(value_bytes_max=1000)):
        assert faults(result) == {}
        assert result.counts["compared"] > 50
        assert result.dead_letters_compared > 5
        assert result.why_not_comparable["other_fold"] == result.counts["not_comparable"] > 50


async def test_a_fold_that_gave_its_history_up_is_audited_from_both_origins(model):
    """Predictions before the new origin were computed from memories of the old origin."""
    settings = settings_of(on_lost_history="accept")
    records = records_of(300)
    log = await fold(model, settings, records[:150])
    log.records[:], log.log_start_offset = records, 60
    made = Folded(model, settings, await fold(model, settings, [], log=log))
    assert {dict(m.headers)["sr-origin"] for m in made.predictions} == {b"0", b"60"}
    result = await made.audit()
    assert faults(result) == {}
    assert result.counts["compared"] > 150
    made.source_start = 0
    result = await made.audit()
    assert faults(result) == {}
    assert result.counts["not_comparable"] == 0
    in_value(made, 200, b'"steps":', b'"steps": ')
    assert faults(await made.audit()) == {"different": 1}


async def test_a_fold_that_began_at_the_log_end_is_audited_from_there(model):
    """Records that were never folded have no missing outputs."""
    settings = settings_of(auto_offset_reset="latest")
    records = records_of()
    log, store = MemoryLog(records[:100]), MemoryStore()
    await fold(model, settings, [], log=log, store=store)
    log.records[:] = records
    made = Folded(model, settings, await fold(model, settings, [], log=log, store=store))
    result = await made.audit()
    assert faults(result) == {}
    assert result.counts["compared"] == len(made.predictions) > 100
    assert result.counts["not_comparable"] == 0
    made.predictions.pop(0)
    assert faults(await made.audit()) == {"missing": 1}


async def test_dead_letters_name_the_origin_where_there_is_no_prediction(model):
    """Records below the origin were never folded, whatever the group offset is."""
    settings = settings_of(auto_offset_reset="latest")
    records = [record(o, b"a", b"not json", BEGIN_MS + 1000 * o) for o in range(60)]
    log, store = MemoryLog(records[:20]), MemoryStore()
    await fold(model, settings, [], log=log, store=store)
    log.records[:] = records
    made = Folded(model, settings, await fold(model, settings, [], log=log, store=store))
    assert made.predictions == []
    for c in (made.c, GroupOffset(60), None):
        made.c = c
        result = await made.audit()
        assert faults(result) == {}
        assert result.dead_letters_compared == result.counts["dead_letters"] == 40
        assert result.is_fine("exactly_once")
    made.letters.pop(0)
    assert faults(await made.audit()) == {"dead_letters_missing": 1}
