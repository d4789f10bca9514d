"""An audit of several folds: it compares each prediction with its own fold, and checks cut-overs."""

import pytest

from stream_rnn.audit.result import CUT_OVER_KINDS, AuditOptions
from stream_rnn.errors import ConfigError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.testing import record
from tests import models
from tests.audited import BEGIN_MS, faults, in_value, kinds, records_of, settings_of
from tests.memory_topics import Folded, fold, offset_of, with_header

CUTS = ((0, 0), (80, 1), (150, 0), (190, 1))  # offset, and the fold in charge from there on
DELIVERIES = ("exactly_once", "at_least_once")


def _model(seed, fingerprint, **event):
    made = models.small("gru", seed=seed)
    spec = FeatureSpec.model_validate({**models.SPEC, "event": {"key": ["key"], **event}})
    return Model(spec, made.cell, made.network, fingerprint * 64)


OLD, NEW, THIRD = _model(7, "a"), _model(11, "b"), _model(12, "c")
OF_KIND_A = _model(11, "d", only=[{"path": "kind", "in": ["A"]}])
BOTH = OLD, NEW


class RolledOut(Folded):
    """The outputs of a log whose fold in charge has changed."""

    def __init__(self, both, settings, logs, cuts) -> None:
        super().__init__(both[0], settings, logs[0])
        self.both, self.logs, self.cuts = both, logs, cuts
        self.ids = [fold_id_of(model, settings) for model in both]
        self.predictions = self._outputs([log.predictions for log in logs])
        self.letters = self._outputs([log.dead_letters for log in logs])
        last = cuts[-1][1]
        self.c = GroupOffset(self.c.offset, self.ids[last], 0, len(cuts) - 1)

    def _outputs(self, of_folds):
        ends = [*(begin for begin, _ in self.cuts[1:]), 10**9]
        return [
            numbered(message, number)
            for number, ((begin, which), end) in enumerate(zip(self.cuts, ends, strict=True))
            for message in of_folds[which]
            if begin <= offset_of(message) < end
        ]

    def of(self, which, offset, number):
        """Return the prediction that a fold makes of an offset, with a number."""
        (found,) = [m for m in self.logs[which].predictions if offset_of(m) == offset]
        return numbered(found, number)

    def add(self, which, offset, number):
        """Append a prediction that a zombie could have made."""
        self.predictions.append(self.of(which, offset, number))

    async def audit_both(self, *arguments, **changed):
        """Audit with both bundles."""
        return await self.audit(*arguments, **{"model": self.both} | changed)


def numbered(message, number):
    """Return a message with the number of a cut-over, as a worker writes it."""
    if not number:
        return message
    return message._replace(headers=[*message.headers, ("sr-cut-over", b"%d" % number)])


async def make(both, delivery="exactly_once", records=None, cuts=CUTS):
    """Fold a log by both models, and compose the topics of a roll-out."""
    settings = settings_of(delivery=delivery)
    records = records_of() if records is None else records
    logs = [await fold(model, settings, records) for model in both]
    return RolledOut(both, settings, logs, cuts)


@pytest.fixture(params=DELIVERIES)
async def rolled_out(request):
    """Return the topics of a roll-out with two promotes and a way back."""
    return await make(BOTH, request.param)


def found(result):
    """Return the findings at cut-overs."""
    return {kind: result.counts[kind] for kind in CUT_OVER_KINDS if result.counts[kind]}


async def test_nothing_is_found_where_nothing_is_wrong(rolled_out):
    """Every output is compared with the fold that made it, and each cut-over has its offset."""
    result = await rolled_out.audit_both()
    assert result.is_fine(rolled_out.settings.delivery)
    assert faults(result) == found(result) == {}
    assert result.counts["compared"] == len(rolled_out.predictions)
    assert result.counts["dead_letters"] == result.dead_letters_compared
    assert result.counts["not_comparable"] == result.other_folds == 0
    assert result.notes == result.problems == result.examples == []
    old, new = rolled_out.ids
    assert result.folds.keys() == {old, new}
    events = kinds(rolled_out)["event"]
    assert [(c.number, c.before, c.fold) for c in result.cut_overs] == [
        (1, old, new),
        (2, new, old),
        (3, old, new),
    ]
    for cut, (offset, _) in zip(result.cut_overs, CUTS[1:], strict=True):
        assert cut.last_before == max(event for event in events if event < offset)
        assert cut.offset == min(event for event in events if event >= offset)
        assert cut.has_output


async def test_one_bundle_audits_as_ever(rolled_out):
    """With one bundle, there are no cut-overs, and the other fold's outputs are not compared."""
    result = await rolled_out.audit()
    assert result.cut_overs == []
    assert result.folds == {}
    assert 0 < result.counts["compared"] < len(rolled_out.predictions)
    assert result.other_folds_by_id.keys() == {rolled_out.ids[1]}


PLANTS = {
    "missing in the middle of a fold": (lambda m: m.predictions.pop(20), {"missing": 1}, {}),
    "missing after a cut-over": (
        lambda m: m.predictions.remove(m.of(1, kinds(m)["event"][-1], 3)),
        {"missing": 1},
        {},
    ),
    "repeated": (
        lambda m: m.predictions.insert(31, m.predictions[30]),
        {"duplicated": 1},
        {},
    ),
    "different bytes of the new fold": (
        lambda m: in_value(m, -3, b'"steps":', b'"steps": '),
        {"different": 1},
        {},
    ),
    "the new fold's prediction under the old one's name": (
        lambda m: m.predictions.__setitem__(
            30, with_header(m.of(1, offset_of(m.predictions[30]), 0), "sr-fold", m.ids[0].encode())
        ),
        {"different": 1},
        {},
    ),
    "out of order": (
        lambda m: m.predictions.insert(50, m.predictions.pop(40)),
        {"out_of_order": 1},
        {},
    ),
    "the old fold appends without a number": (
        lambda m: m.add(0, kinds(m)["event"][-1], 0),
        {},
        {"two_folds": 1, "not_in_charge": 1},
    ),
    "the old fold appends with an earlier number": (
        lambda m: m.add(0, kinds(m)["event"][-1], 2),
        {},
        {"two_folds": 1, "not_in_charge": 1},
    ),
    "the old fold appends with the number of the new one": (
        lambda m: m.add(0, kinds(m)["event"][-1], 3),
        {},
        {"two_folds": 1, "same_number": 1},
    ),
    "the new fold appends with an earlier number": (
        lambda m: m.add(1, kinds(m)["event"][-1], 1),
        {"duplicated": 1},
        {"number_falls": 1},
    ),
    "the old fold answers before the new one does": (
        lambda m: m.predictions.insert(
            [offset_of(p) >= 190 for p in m.predictions].index(True),
            m.of(0, next(o for o in kinds(m)["event"] if o >= 190), 2),
        ),
        {},
        {"two_folds": 1},
    ),
    "readers drop the only answer": (
        lambda m: m.predictions.__setitem__(-1, m.of(0, offset_of(m.predictions[-1]), 2)),
        {},
        {"not_in_charge": 1, "unreadable": 1},
    ),
    "an unknown fold appends": (
        lambda m: m.predictions.append(with_header(m.predictions[30], "sr-fold", b"f" * 12)),
        {"duplicated": 1},
        {"two_folds": 1, "not_in_charge": 1},
    ),
    "a dead letter is missing": (lambda m: m.letters.pop(3), {"dead_letters_missing": 1}, {}),
    "a dead letter is there twice": (
        lambda m: m.letters.append(m.letters[-1]),
        {"dead_letters_duplicated": 1},
        {},
    ),
    "a dead letter of no record": (
        lambda m: m.letters.append(with_header(m.letters[3], "sr-offset", b"10000")),
        {"dead_letters_unexpected": 1},
        {},
    ),
}


@pytest.mark.parametrize("name", PLANTS)
async def test_what_is_planted_is_found(name, rolled_out):
    """The planted fault is counted once, whichever fold it concerns, and no other is."""
    plant, figures, at_cut_overs = PLANTS[name]
    plant(rolled_out)
    result = await rolled_out.audit_both()
    assert faults(result) == figures
    assert found(result) == at_cut_overs
    assert not result.is_fine("exactly_once")
    assert {example.kind for example in result.examples} == {*figures, *at_cut_overs}
    harmless = {"duplicated", "out_of_order", "dead_letters_duplicated"}
    harmless |= {"two_folds", "number_falls", "not_in_charge"}
    is_harmless = {*figures, *at_cut_overs} <= harmless
    assert result.is_fine("at_least_once") == is_harmless


async def test_a_dead_letter_of_the_old_fold_after_the_cut_over_is_found():
    """Dead letters that name their fold are outputs of it like predictions."""
    made = await make(BOTH)
    bad = kinds(made)["bad"][-1]
    (late,) = [m for m in made.logs[0].dead_letters if offset_of(m) == bad]
    made.letters.append(numbered(late, 2))
    result = await made.audit_both()
    assert found(result) == {"two_folds": 1, "not_in_charge": 1}


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_an_output_is_missing_only_if_the_fold_in_charge_has_it(delivery):
    """The new bundle filters records that the old one answers; each has its own offsets to answer."""
    both = OLD, OF_KIND_A
    made = await make(both, delivery, cuts=((0, 0), (120, 1)))
    result = await made.audit_both()
    assert faults(result) == found(result) == {}
    assert result.counts["compared"] == len(made.predictions)
    assert result.is_fine(delivery)
    answered = [p for p in made.predictions if offset_of(p) < 120]
    made.predictions.remove(answered[-10])
    assert faults(await made.audit_both()) == {"missing": 1}


async def test_a_gap_at_a_cut_over_may_be_of_either_fold():
    """An offset without output between both folds is missing only if both would answer it."""
    records = records_of(keys=b"ab")
    for offset in (99, 100, 101):
        records[offset] = record(offset, b"a", {"x": 1.0, "kind": "B"}, BEGIN_MS + 1000 * offset)
    both = OLD, OF_KIND_A
    for cut in (99, 100, 101, 102):
        made = await make(both, records=records, cuts=((0, 0), (cut, 1)))
        assert (await made.audit_both()).is_fine("exactly_once")
    made = await make(BOTH, records=records, cuts=((0, 0), (100, 1)))
    made.predictions = [p for p in made.predictions if offset_of(p) not in (99, 100, 101)]
    result = await made.audit_both()
    assert faults(result) == {"missing": 3}
    assert len(result.examples) == 3


async def test_a_cut_over_without_an_output_since_is_shown():
    """The group offset says that another fold is in charge of the outputs to come."""
    made = await make(BOTH, cuts=((0, 0),))
    made.c = GroupOffset(made.c.offset, made.ids[1], 0, 1)
    result = await made.audit_both()
    assert result.is_fine("exactly_once")
    (cut,) = result.cut_overs
    assert (cut.number, cut.fold, cut.offset, cut.has_output) == (1, made.ids[1], 240, False)
    made.c = GroupOffset(made.c.offset, made.ids[0], 0, 0)
    assert (await made.audit_both()).cut_overs == []


async def test_a_group_offset_that_contradicts_the_outputs_is_a_problem(rolled_out):
    """The number is that of the last cut-over, and the fold is not."""
    rolled_out.c = GroupOffset(rolled_out.c.offset, rolled_out.ids[0], 0, 3)
    (problem,) = (await rolled_out.audit_both()).problems
    assert "outputs with this number are of fold" in problem


@pytest.mark.parametrize("options", [AuditOptions(frozenset([b"a"])), AuditOptions(sample=0.5)])
async def test_some_keys_alone_are_looked_at(options, rolled_out):
    """What another key has is neither compared nor found; the cut-overs are those of all keys."""
    whole = await rolled_out.audit_both()
    result = await rolled_out.audit_both(options)
    assert result.is_fine("exactly_once")
    assert 0 < result.counts["compared"] < whole.counts["compared"]
    assert result.cut_overs == whole.cut_overs
    last = dict.fromkeys(b"abcdef")
    for message in rolled_out.predictions:
        last[message.key[0]] = offset_of(message)
    for key, offset in last.items():
        rolled_out.add(0, offset, 0)
        chosen = options.includes_key(bytes([key]))
        expected = {"two_folds": 1, "not_in_charge": 1} if chosen else {}
        assert found(await rolled_out.audit_both(options)) == expected
        rolled_out.predictions.pop()


async def test_a_range_is_held_against_the_folds_in_charge_of_it(rolled_out):
    """Offsets outside of the range are not compared, and still say who is in charge at its ends."""
    result = await rolled_out.audit_both(None, "150", "190")
    assert faults(result) == found(result) == {}
    assert len(result.cut_overs) == 3
    compared = result.counts["compared"] + result.counts["not_comparable"]
    assert compared == len([p for p in rolled_out.predictions if 150 <= offset_of(p) < 190])
    rolled_out.add(0, kinds(rolled_out)["event"][-1], 0)
    assert found(await rolled_out.audit_both(None, "150", "190")) == {}


async def test_bundles_of_one_fold_are_refused(rolled_out):
    """A bundle that is given twice has no fold of its own."""
    with pytest.raises(ConfigError, match="of different folds, and got 2 of 1"):
        await rolled_out.audit(model=[BOTH[0], BOTH[0]])


async def test_a_bundle_without_predictions_is_noted(rolled_out):
    """A mistyped bundle does not pass for an audited one."""
    other = THIRD
    result = await rolled_out.audit(model=[*BOTH, other])
    assert faults(result) == {}
    note = f"fold {fold_id_of(other, rolled_out.settings)}: the range has no prediction of it"
    assert note in result.notes[0]
