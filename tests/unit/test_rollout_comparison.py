"""The comparison of two folds by their published predictions."""

import json
import math

import numpy as np
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.compare import compare_metrics
from stream_rnn.evaluation.fold_comparison import common_heads
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.evaluation.report import rollout_sentences
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.replay.logs import Range
from stream_rnn.settings import Settings
from tests import models
from tests.audited import records_of
from tests.rollout_pairs import Pair

HEADS = [
    *models.SPEC["heads"],
    {"name": "size", "kind": "regression", "of": "now", "path": "z"},
    {"name": "range", "kind": "quantile", "path": "x", "quantiles": [0.1, 0.5, 0.9]},
    {"name": "last", "kind": "multiclass", "path": "kind", "classes": ["A", "B"], "end": True},
]
CONTENT = {**models.SPEC, "heads": HEADS}
KEYS = b"abcdefghijkl"


def made_records(count):
    """Return records of twelve keys, with a field that no feature reads."""
    return [
        one._replace(value=b'{"z":%.3f,' % math.sin(one.offset) + one.value[1:])
        if one.value and one.value[:1] == b"{"
        else one
        for one in records_of(count, keys=KEYS)
    ]


def settings_of(**more):
    """Make settings."""
    return Settings.build(app="app", source="in", predictions="out", bundle="b", **more).of_fold()


class RecordsLog:
    """Records of one partition as a log that evaluation reads."""

    name = "in"

    def __init__(self, records) -> None:
        self.records = records

    async def ranges(self):
        """Return the range of all records."""
        return [Range(0, 0, self.records[-1].offset + 1)]

    async def batches(self, _range):
        """Yield all records."""
        yield self.records


@pytest.fixture
async def pair():
    """Two models of the same heads on 600 records."""
    made = (models.of(CONTENT), models.of(CONTENT, seed=11))
    return await Pair.of(made, made_records(600), settings_of())


async def test_the_figures_are_those_of_an_evaluation_of_both_bundles(pair):
    """Targets, metrics and intervals from published predictions equal those of folding again."""
    joined = pair.join()
    assert joined.joined == joined.offsets
    found = pair.compare(joined)
    log = RecordsLog(pair.logs[0].records)
    old, new = [await predict_with_targets(log, model, pair.settings) for model in pair.models]
    assert old.offset.tolist() == joined.joined
    assert found.heads.keys() == {head["name"] for head in HEADS}
    for head in pair.models[0].spec.heads:
        target, got = old.targets[head.name], found.heads[head.name]
        if head.name == "last":  # no key of a running stream is known to have ended
            assert (target == len(head.classes)).any()
            target = np.where(target == len(head.classes), np.nan, target)
        known = np.isfinite(target)
        assert got.scored == known.sum() > 300
        outputs = old.outputs[head.name][known], new.outputs[head.name][known]
        rows = compare_metrics(head, outputs, target[known], old.key[known], ScoringOptions())
        assert {name: repr(row) for name, row in got.metrics.items()} == {
            name: repr(row) for name, row in rows.items()
        }
        assert got.metrics[got.metric].difference.low is not None


async def test_differences_and_flips_are_those_of_the_values(pair):
    """Read from the JSON of both topics, without the comparison's own code."""
    found = pair.compare(pair.join(), threshold=["big=0.52", "size=0.1"])
    old, new = (
        {v["source"]["offset"]: v for v in (json.loads(m.value) for m in log.predictions)}
        for log in pair.logs
    )
    both = [(old[o]["outputs"], new[o]["outputs"]) for o in old]
    gaps = [abs(a["big"]["probability"] - b["big"]["probability"]) for a, b in both]
    it = found.heads["big"].differences
    assert it.mean == pytest.approx(np.mean(gaps), rel=1e-4)
    assert it.largest == pytest.approx(max(gaps), rel=1e-4)
    assert it.events[0].difference == it.largest
    said = [(a["big"]["probability"] > 0.52, b["big"]["probability"] > 0.52) for a, b in both]
    assert (it.flips.to_yes, it.flips.to_no) == (
        said.count((False, True)),
        said.count((True, False)),
    )
    assert it.flips.to_yes + it.flips.to_no > 0
    assert found.heads["size"].differences.flips.threshold == 0.1
    assert found.heads["wait"].differences.flips is None
    same = [a["next"]["class"] == b["next"]["class"] for a, b in both]
    assert found.heads["next"].differences.agreement == pytest.approx(np.mean(same))
    changed = sum(one.events for one in found.heads["next"].differences.changes)
    assert changed == same.count(False) > 0
    by_key = {}
    for offset, gap in zip(old, gaps, strict=True):
        by_key.setdefault(old[offset]["key"], []).append(gap)
    ranked = sorted(by_key, key=lambda key: -np.mean(by_key[key]))
    assert [one.key for one in it.keys] == ranked[:10]


async def test_a_fold_equals_itself_and_repetitions_count_once(pair):
    """Nothing differs, and nothing is better."""
    same = await Pair.of((pair.models[0], pair.models[0]), pair.logs[0].records, pair.settings)
    found = same.collector()
    assert found.count(same.fold_ids[0]) == 0
    again = pair.collector()
    for log in (*pair.logs, pair.logs[1]):
        for message in log.predictions:
            again.add(message.value, message.headers)
    joined, once = again.join(), pair.join()
    assert joined.duplicates == len(pair.logs[1].predictions) == len(once.joined)
    assert (joined.unlike, joined.old, joined.new) == (0, once.old, once.new)
    equal = pair.compare(
        type(once)(partition=0, first=once.first, last=once.last, old=once.old, new=once.old)
    )
    for head in equal.heads.values():
        assert (head.differences.largest, head.differences.mean) == (0, 0)
        assert all(
            row.difference.value == 0 or row.first != row.first for row in head.metrics.values()
        )


async def test_only_the_present_origin_of_a_fold_is_compared(pair):
    """A candidate that has begun again has other memories at the same offsets."""
    later = await Pair.of(
        (pair.models[1], pair.models[1]), pair.logs[0].records[200:], pair.settings
    )
    found = pair.collector(origins=(0, 200))
    for log in (*pair.logs, later.logs[0]):
        for message in log.predictions:
            headers = [
                (name, b"200" if log is later.logs[0] and name == "sr-origin" else value)
                for name, value in message.headers
            ]
            found.add(message.value, headers)
    joined = found.join()
    assert joined.other_origins == len(pair.logs[1].predictions)
    assert joined.first >= 200
    steps = {offset: one.steps for offset, one in joined.new.items()}
    assert steps == {
        v["source"]["offset"]: v["steps"]
        for v in (json.loads(m.value) for m in later.logs[0].predictions)
        if joined.first <= v["source"]["offset"]
    }
    assert joined.other_origins and joined.duplicates == 0  # noqa: PT018  # one fact


async def test_what_one_side_lacks_is_counted_and_changes_no_target(pair):
    """A candidate is silent after each rebalance; the next event of a key is still the next."""
    whole = pair.join()
    kept = {o: one for o, one in whole.new.items() if not 250 <= o < 400}
    gap = type(whole)(partition=0, first=whole.first, last=whole.last, old=whole.old, new=kept)
    found = pair.compare(gap)
    assert found.only_old == len(whole.new) - len(kept) > 0
    assert found.only_new == 0
    (note,) = rollout_sentences.join_notes(found)
    assert "of old alone: new skips them, or was a candidate that published nothing" in note
    assert "replay with the bundle of new counts the reasons" in note  # its letters go nowhere
    targets, all_targets = pair.targets(gap), pair.targets(whole)
    place = np.isin(whole.joined, gap.joined)
    for name, values in targets.items():
        np.testing.assert_array_equal(values, all_targets[name][place])


async def test_a_window_knows_only_targets_within_it(pair):
    """The last event of a key has none, even if the head has a class for the end."""
    whole, all_targets = pair.join(), pair.targets(pair.join())
    first, last = 200, 420
    cut = {
        side: {o: one for o, one in getattr(whole, side).items() if first <= o <= last}
        for side in ("old", "new")
    }
    part = type(whole)(partition=0, first=first, last=last, **cut)
    place = np.isin(whole.joined, part.joined)
    for name, values in pair.targets(part).items():
        expected = all_targets[name][place]
        known = np.isfinite(values)
        np.testing.assert_array_equal(values[known], expected[known])
        assert (np.isfinite(expected) & ~known).any() != (name == "size")


async def test_heads_that_differ_are_named_and_not_compared():
    """The common ones are compared; without any there is an error."""
    other = [HEADS[0], {**HEADS[2], "classes": ["A", "B"]}, {**HEADS[3], "name": "fresh"}]
    made = models.of(CONTENT), models.of({**CONTENT, "heads": other}, seed=11)
    pair = await Pair.of(made, made_records(200), settings_of())
    found = pair.compare(pair.join())
    assert [*found.heads] == ["big"]
    assert found.not_compared == {
        "wait": "only the old bundle has it",
        "next": "it is another question, or has other classes, in the new bundle",
        "size": "only the old bundle has it",
        "range": "only the old bundle has it",
        "last": "only the old bundle has it",
        "fresh": "only the new bundle has it",
    }
    with pytest.raises(ConfigError, match=r"--threshold next=0.5: next is no compared head .* big"):
        pair.compare(pair.join(), threshold={"next": 0.5})
    with pytest.raises(ConfigError, match="no head in common, so nothing is compared: big: only"):
        common_heads((made[0], models.of({**CONTENT, "heads": [other[2]]})))


async def test_a_surprise_makes_no_other_question():
    """A new bundle may rate what the old one only predicts."""
    rated = [{**HEADS[0], "surprise": True}, *HEADS[1:]]
    heads, rest = common_heads((models.of(CONTENT), models.of({**CONTENT, "heads": rated})))
    assert [head.name for head in heads] == [head["name"] for head in HEADS]
    assert rest == {}


async def test_classes_without_a_name_allow_only_metrics_that_do_not_need_them():
    """A prediction names the likeliest classes; the accuracy is exact, the log loss is not known."""
    made = models.of(CONTENT), models.of(CONTENT, seed=11)
    records = made_records(400)
    all_named = await Pair.of(made, records, settings_of())
    one_named = await Pair.of(made, records, settings_of(top_k=1))
    whole = all_named.compare(all_named.join()).heads["next"]
    part = one_named.compare(one_named.join()).heads["next"]
    assert whole.metrics.keys() - part.metrics.keys() == {"log_loss", "mrr"}
    for name, row in part.metrics.items():
        assert repr(row) == repr(whole.metrics[name])
    assert part.differences.agreement == whole.differences.agreement < 1
    assert part.differences.mean <= whole.differences.mean


@pytest.mark.parametrize(
    ("name", "value"),
    [("sr-app", b"other"), ("sr-topic", b"other"), ("sr-partition", b"7"), ("sr-fold", b"f" * 12)],
)
async def test_records_of_others_are_left_out(pair, name, value):
    """Several apps may share a topic."""
    found, message = pair.collector(), pair.logs[0].predictions[0]
    headers = [(n, value if n == name else v) for n, v in message.headers]
    assert found.add(message.value, headers) is None
    assert (found.join().others, found.join().invalid) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"no json",
        lambda _: None,
        lambda v: v.replace(b'"class":"', b'"class":"other').replace(b'[["', b'[["other'),
        lambda v: v.replace(b'"big":{"probability"', b'"big":{"value"'),
        lambda v: v.replace(b'"big"', b'"bigger"'),
        lambda v: v.replace(b'"p50"', b'"p51"'),
        lambda v: v.replace(b'"offset":', b'"offset":9'),
    ],
)
async def test_a_value_that_is_no_prediction_of_the_heads_is_counted(pair, change):
    """It is not compared, and stops nothing."""
    found, message = pair.collector(), pair.logs[0].predictions[3]
    changed = change(message.value)
    assert changed != message.value
    assert found.add(changed, message.headers) is None
    assert (found.join().invalid, found.join().joined) == (1, [])
