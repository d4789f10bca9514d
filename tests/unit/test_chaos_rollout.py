"""The comparison after a roll-out: each prediction with its own fold, and the numbers of cut-overs."""

import dataclasses
import itertools
import json

import pytest

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos.bundles import make_bundles
from tests.chaos.faults import FAULTS
from tests.chaos.log import LogPlan
from tests.chaos.plan import plan
from tests.chaos.rollout import STAGES
from tests.chaos.topics import Output
from tests.chaos.verify import PartitionOutcome, StoredPosition, verify

CUT = 150
ORIGIN = 40


def stored_of(truth, position, origin):
    states = {
        key: b"\x01\0\0\0" + steps.to_bytes(4, "little") + last.to_bytes(8, "little") + hidden
        for key, (steps, last, hidden) in truth.states.items()
    }
    return StoredPosition(position, origin, len(states), states)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """A partition whose second fold, with an origin of its own, is in charge from one offset on."""
    bundles = make_bundles(tmp_path_factory.mktemp("bundles"))
    settings = Settings.build(app="a", source="in", predictions="out", bundle=bundles[0])
    models = [load_bundle(bundle) for bundle in bundles[:2]]
    old, new = (fold_id(model.fingerprint, settings) for model in models)
    some = itertools.islice(LogPlan(3, "heavy", 1, False).records(), 300)
    records = [LogRecord(n, at, key, value) for n, (_, key, value, at) in enumerate(some)]
    first = oracle.fold(models[0], settings, records, "in", 0)
    second = oracle.fold(models[1], settings, records[ORIGIN:], "in", 0)

    def of(truth, fold, origin, number, offsets):
        headers = {"sr-fold": fold, "sr-origin": f"{origin}"}
        headers |= {"sr-cut-over": f"{number}"} if number else {}
        values = [(o, json.dumps(truth.predictions[o]).encode()) for o in offsets if o in truth.predictions]  # fmt: skip
        dead = [(o, truth.dead_letters[o]) for o in offsets if o in truth.dead_letters]
        return (
            [Output(o, headers | {"sr-offset": f"{o}"}, value) for o, value in values],
            [Output(o, headers | {"sr-offset": f"{o}", "sr-error": why}, None) for o, why in dead],
        )

    before, after = of(first, old, 0, 0, range(CUT)), of(second, new, ORIGIN, 1, range(CUT, 300))
    stored = {old: stored_of(first, 300, 0), new: stored_of(second, 300, ORIGIN)}
    outcome = PartitionOutcome(
        0, records, before[0] + after[0], before[1] + after[1], stored, 300,
        GroupOffset(300, new, ORIGIN, 1),
    )  # fmt: skip
    late = of(first, old, 0, 0, range(CUT, CUT + 20))[0]
    return outcome, bundles, settings, late


def findings(right, delivery="exactly_once", **changed):
    outcome, bundles, settings, _ = right
    settings = settings.replace(delivery=delivery)
    return verify(dataclasses.replace(outcome, **changed), bundles, settings)


def test_nothing_is_found_after_a_right_cut_over(right):
    """Each prediction is compared with the fold and the origin that it names."""
    result = findings(right)
    assert result.counts == {}
    assert result.cut_overs == 1


def test_an_offset_that_two_folds_answered_is_found(right):
    """A worker that has lost the partition may do so in at_least_once, and only there."""
    outcome, late = right[0], right[3]
    cut = next(i for i, one in enumerate(outcome.predictions) if one.source_offset >= CUT)
    both = [*outcome.predictions[:cut], *late[:1], *outcome.predictions[cut:]]
    assert findings(right, predictions=both).counts == {"two folds": 1, "duplicated": 1}
    result = findings(right, "at_least_once", predictions=both)
    assert (result.counts, result.twofold) == ({}, 1)


def test_a_prediction_that_no_reader_yields_is_missing(right):
    """A reader drops a number that is below an earlier one, so the offset has no prediction."""
    outcome, late = right[0], right[3]
    cut = next(i for i, one in enumerate(outcome.predictions) if one.source_offset >= CUT)
    some = outcome.predictions
    swapped = [*some[:cut], some[cut], late[1], *some[cut + 2 :]]
    assert late[1].source_offset == some[cut + 1].source_offset
    assert findings(right, predictions=swapped).counts == {"went back": 1, "missing": 1}
    assert findings(right, "at_least_once", predictions=swapped).counts == {"missing": 1}


def test_each_kind_of_wrong_fold_is_found(right):
    """Another fold's value or number, a lost number, and states of another origin."""
    outcome = right[0]
    old, new = outcome.stored
    some, last = outcome.predictions, outcome.predictions[-1]

    def changed(**headers):
        return [*some[:-1], dataclasses.replace(last, headers=last.headers | headers)]

    wrong_fold = findings(right, predictions=changed(**{"sr-fold": old, "sr-origin": "0"}))
    assert set(wrong_fold.counts) == {"different", "two folds"}
    assert findings(right, predictions=changed(**{"sr-origin": "0"})).counts == {"different": 1}
    assert findings(right, known=GroupOffset(300, old, 0, 0)).counts == {"went back": 1}
    assert findings(right, known=GroupOffset(300, old, 0, 1)).counts == {"two folds": 1}
    only = {old: outcome.stored[old]}
    assert findings(right, stored=only).counts == {"position": 1}
    moved = dataclasses.replace(outcome.stored[new], origin=0)
    assert set(findings(right, stored={**only, new: moved}).counts) == {"state"}
    behind = findings(right, stored={**outcome.stored, new: stored_at(right, new, 290)})
    assert behind.counts == {"position": 1}
    assert findings(right, stored={**outcome.stored, old: stored_at(right, old, 290)}).counts == {}


def stored_at(right, fold, position):
    """Return what Redis stores of a fold at an earlier position."""
    outcome, bundles, settings, _ = right
    number = list(outcome.stored).index(fold)
    origin = outcome.stored[fold].origin
    records = [one for one in outcome.records if origin <= one.offset < position]
    truth = oracle.fold(load_bundle(bundles[number]), settings, records, "in", 0)
    return stored_of(truth, position, origin)


def test_dead_letters_are_those_of_the_fold_that_wrote_them(right):
    """One for a record that this fold predicted is found."""
    outcome = right[0]
    last = outcome.predictions[-1]
    dead = dataclasses.replace(last, headers=last.headers | {"sr-error": "not_json"}, value=None)
    result = findings(right, dead_letters=[*outcome.dead_letters, dead])
    assert result.counts == {"unfounded": 1, "duplicated": 1}


def test_plans_of_roll_outs_have_their_faults_and_others_have_not():
    """A seed gives predictions in the same format with a roll-out as without one."""
    kinds = {name for name, fault in FAULTS.items() if "rollout" in fault.needs}
    assert len(kinds) >= 30
    for seed in range(30):
        unrolled = plan(seed, 30)
        drawn = {one.kind for one in unrolled.schedule}
        rolled = plan(seed, 30, rolls_out=True)
        assert not drawn & kinds
        assert kinds & {one.kind for one in rolled.schedule}
        assert not rolled.is_framed
        formats = [one.settings.get("predictions_format") for one in (unrolled, rolled)]
        assert formats[0] == formats[1]


def test_each_stage_of_a_roll_out_has_its_faults():
    """A worker dies, freezes or joins, and Redis is emptied, at each of them."""
    for stage in STAGES:
        name = stage.replace(" ", "-")
        for kind in ("killed", "zombie", "redis-emptied", "rebalance"):
            assert f"{kind}-while-{name}" in FAULTS
