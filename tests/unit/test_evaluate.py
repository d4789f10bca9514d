"""Evaluation: the same labels as training, figures by hand, what is scored, and the hidden states."""

import asyncio
import json

import numpy as np
import pytest
import torch

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation import predictions_with_targets
from stream_rnn.evaluation.evaluate import evaluate
from stream_rnn.evaluation.fold_samples import FoldSamples
from stream_rnn.evaluation.hidden_state_health import HiddenStateSample, health
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.evaluation.scoring import choose_scored
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.metrics.naive_baselines import Naive
from stream_rnn.metrics.scores import area_under_roc
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay import replay
from stream_rnn.replay.logs import FileLog
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import targets
from stream_rnn.training.naive_rules import read_naive
from tests.unit.evaluated_log import SPEC, log_file, models_of, rows_of, settings_of


@pytest.mark.parametrize("state_ttl", [None, 8.0])
@pytest.mark.parametrize("partitions", [1, 3])
def test_evaluation_and_training_mean_the_same_labels(evaluated, state_ttl, partitions):
    """One finds them from the fold's steps, the other from runs; event by event they agree."""
    spec, path, directory = evaluated
    settings, log = settings_of(state_ttl=state_ttl), FileLog(path, spec, partitions)
    model = models_of(directory / "b")

    async def both():
        found = await predict_with_targets(log, model, settings)
        events = {}
        for wanted in await log.ranges():
            batches = [records async for records in log.batches(wanted)]
            part = make_events(batches, spec, settings, partition=wanted.partition)
            for head in spec.heads:
                for offset, target in zip(
                    part.offset.tolist(), targets(head, part.examples).tolist(), strict=True
                ):
                    events[head.name, wanted.partition, offset] = target
        return found, events

    found, events = asyncio.run(both())
    assert len(found.offset) * len(spec.heads) == len(events)
    for head in spec.heads:
        expected = [
            events[head.name, p, o]
            for p, o in zip(found.partition.tolist(), found.offset.tolist(), strict=True)
        ]
        assert np.array_equal(found.targets[head.name], expected, equal_nan=True), head.name
        assert np.isfinite(found.targets[head.name]).any()


def test_a_forget_leaves_no_label(evaluated):
    """Neither to the event before it, nor an end."""
    spec, _, directory = evaluated

    class Forgetting(FileLog):
        async def batches(self, wanted):  # noqa: ARG002
            values = [b'{"key":"k","at":%d,"x":1,"kind":"A"}' % (i * 1000) for i in range(5)]
            records = [LogRecord(i, i * 1000, b"k", value) for i, value in enumerate(values)]
            records[2] = LogRecord(2, 2000, b"k", None)
            records.append(LogRecord(5, 5000, b"k", None))
            yield records

    log = Forgetting(directory / "log.jsonl", spec)
    found = asyncio.run(predict_with_targets(log, models_of(directory / "b"), settings_of()))
    assert found.offset.tolist() == [0, 1, 3, 4]
    for name, expected in {"next": [0.0, None, 0.0, None], "last": [0.0, None, 0.0, None]}.items():
        assert [None if np.isnan(t) else t for t in found.targets[name].tolist()] == expected


@pytest.mark.parametrize("breaks", [False, True])
def test_answers_too_wide_to_hold_are_the_same(evaluated, monkeypatch, breaks):
    """Folded once to see what comes, once more to rank: to the bit.

    With bad rows, expiry, and steps that are not finite, which only the network itself can tell.
    """
    spec, path, directory = evaluated
    log, model = FileLog(path, spec, 2), models_of(directory / "b")
    if breaks:
        with torch.no_grad():
            model.network.head.weight[0] = 3.4e38
    whole = asyncio.run(predict_with_targets(log, model, settings_of(state_ttl=8.0)))
    monkeypatch.setattr(predictions_with_targets, "STORED_CLASSES_MAX", 1)
    told = []
    wide = asyncio.run(
        predict_with_targets(log, model, settings_of(state_ttl=8.0), on_progress=told.append)
    )
    assert sum(told) == 300
    assert wide.skips == whole.skips
    assert breaks == ("step_not_finite" in whole.skips), whole.skips
    for name in ("partition", "offset", "time_ms", "steps", "key"):
        assert np.array_equal(getattr(wide, name), getattr(whole, name)), name
    for head in spec.heads:
        assert np.array_equal(wide.targets[head.name], whole.targets[head.name], equal_nan=True)
        first, second = whole.outputs[head.name], wide.outputs[head.name]
        if head.kind == "multiclass":
            assert len(first) == len(whole.offset)
            assert np.array_equal(first.rank, second.rank)
            assert np.array_equal(first.top_class, second.top_class)
            assert np.array_equal(
                first.target_probability, second.target_probability, equal_nan=True
            )
            assert np.array_equal(first.confidence, second.confidence)
        else:
            assert np.array_equal(first, second)


def test_a_field_of_the_wrong_type_costs_a_label_and_no_event(evaluated, tmp_path):
    """The worker does not look at it, so evaluation must not skip the event."""
    spec, _, directory = evaluated
    rows = rows_of(20)
    rows = [{**row, "z": "many"} for row in rows]
    log = FileLog(log_file(tmp_path, rows), spec)
    model = models_of(directory / "b")
    found = asyncio.run(predict_with_targets(log, model, settings_of()))
    assert len(found.offset) > 5
    assert np.isnan(found.targets["now"]).all()


def test_figures_are_those_of_the_predictions(evaluated):
    """Each metric, of each head and network, computed again from a replay's JSON."""
    spec, path, directory = evaluated
    log = FileLog(path, spec)
    found = evaluate(log, directory / "b", settings_of(), ScoringOptions(bootstrap_samples=0))
    asked = asyncio.run(predict_with_targets(log, models_of(directory / "b"), settings_of()))
    said = {p.source.offset: p for p in replay(log, directory / "b", settings_of(top_k=9))}
    assert len(said) == found.events == len(asked.offset)
    big = asked.targets["big"]
    known = np.isfinite(big)
    outputs = np.array([said[o].outputs["big"].probability for o in asked.offset.tolist()])
    expected = area_under_roc(big[known] > 0, outputs[known].astype(np.float32))
    head = found.heads["big"]
    assert head.models["memory"]["auc"].value == expected
    assert head.events == known.sum()
    assert head.worth.value == expected - head.models["memoryless"]["auc"].value
    assert sum(found.skipped.values()) + found.events == 300
    waits = [said[o].outputs["wait"].value for o in asked.offset.tolist()]
    wait, known = asked.targets["wait"], np.isfinite(asked.targets["wait"])
    errors = np.abs(np.array(waits)[known] - np.expm1(wait[known]))
    assert found.heads["wait"].models["memory"]["mae"].value == pytest.approx(errors.mean())
    assert found.heads["wait"].largest[0].loss == pytest.approx(errors.max())


def test_the_naive_rule_is_the_one_that_training_chose(evaluated, tmp_path):
    """Not the one that is better on what is scored, which nobody knows before."""
    spec, path, _ = evaluated
    save_bundle(models_of(evaluated[2] / "b"), tmp_path)
    asked = asyncio.run(
        predict_with_targets(FileLog(path, spec), models_of(tmp_path), settings_of())
    )
    lasts = {h.name: asked.own_targets[h.name] for h in spec.heads}
    rules = Naive.fit(spec, asked.targets, lasts)
    found = {}
    for rule in ("constant", "last", None):
        chosen = rules.with_rules({} if rule is None else {"big": rule})
        (tmp_path / "naive.json").write_text(chosen.model_dump_json())
        found[rule] = evaluate(FileLog(path, spec), tmp_path, settings_of()).heads["big"]
    auc = {rule: head.models["naive"]["auc"].value for rule, head in found.items()}
    assert auc["constant"] == 0.5 < auc["last"] == auc[None]
    assert [head.naive for head in found.values()] == [
        "constant",
        "last",
        "last, chosen by the scored events",
    ]


def test_naive_rules_of_an_older_bundle_are_read(tmp_path):
    """They do not say which rule training chose."""
    (tmp_path / "naive.json").write_text('{"format": 1, "heads": {"a": {"shares": [0.4, 0.6]}}}')
    assert read_naive(tmp_path).heads["a"].rule is None


def test_a_baseline_that_remembers_is_refused(evaluated, tmp_path):
    """A network with memory in its place would be compared with itself."""
    spec, path, directory = evaluated
    for place, source in ((tmp_path, "b"), (tmp_path / "memoryless", "other")):
        save_bundle(models_of(directory / source), place)
    with pytest.raises(ConfigError, match=r"memoryless is not a memoryless baseline: .* is lstm"):
        evaluate(FileLog(path, spec), tmp_path, settings_of())


def test_groups_hold_each_scored_event_once(evaluated):
    """By memory, by time, by key."""
    spec, path, directory = evaluated
    found = evaluate(
        FileLog(path, spec), directory / "b", settings_of(), ScoringOptions(bootstrap_samples=20)
    )
    for head in found.heads.values():
        for some in (head.by_memory, head.by_time, head.by_key):
            assert sum(group.events for group in some) == head.events
        assert sum(b.events for b in head.calibration["memory"]) == head.events
    assert found.heads["big"].by_memory[0].name.split("-")[0] == "1"
    assert found.health.units == 8
    assert found.health.at


def test_what_is_scored_can_be_chosen(evaluated):
    """A warm-up, long memories, last predictions, a part of a split; nothing at all is refused."""
    spec, path, directory = evaluated
    log = FileLog(path, spec)
    found = asyncio.run(predict_with_targets(log, models_of(directory / "b"), settings_of()))
    middle = float(np.quantile(found.time_ms, 0.5))
    assert (choose_scored(found, ScoringOptions(warm_up="0.5")) == (found.time_ms >= middle)).all()
    assert (choose_scored(found, ScoringOptions(steps_min=3)) == (found.steps >= 3)).all()
    last = choose_scored(found, ScoringOptions(only_last=True))
    assert last.sum() == len(found.keys)
    for key in range(len(found.keys)):
        assert last[np.flatnonzero(found.key == key)[-1]]
    test = choose_scored(found, ScoringOptions(split="time:0.8"))
    train = choose_scored(found, ScoringOptions(split="time:0.8", part="train"))
    assert not (test & train).any()
    assert 0.15 < test.mean() < 0.25
    with pytest.raises(ConfigError, match=r"none of .* predictions is scored: 0 are chosen, and"):
        choose_scored(found, ScoringOptions(warm_up="2100-01-01"))
    with pytest.raises(ConfigError, match="--warm-up"):
        choose_scored(found, ScoringOptions(warm_up="half"))


def test_health_is_of_the_states_that_the_fold_commits(evaluated):
    """Norms by hand, of the sampled states; a unit that never moves is silent."""
    spec, path, directory = evaluated
    model, samples = models_of(directory / "b"), FoldSamples.of(models_of(directory / "b"))
    log = FileLog(path, spec)
    predictions = asyncio.run(predict_with_targets(log, model, settings_of(), samples=samples))
    sample = samples.hidden
    found = health(sample, model.hidden_shape, has_cell_state=False)
    hidden = np.stack(sample.hidden)
    assert found.keys == len(predictions.keys)
    shortest = np.argsort(sample.steps, kind="stable")[: found.at[0].states]
    assert found.at[0].norm == pytest.approx(np.sqrt((hidden[shortest] ** 2).mean(axis=1)).mean())
    assert sum(at.states for at in found.at) == len(sample.steps)
    assert found.dead_units == 0
    assert all(0 < at.update_norm < 2 for at in found.at[1:])
    assert health(HiddenStateSample(0), (0, 0), has_cell_state=False) is None


def test_an_evaluation_is_plain_json(evaluated):
    """Metrics stand directly under each model, intervals beside them."""
    import orjson

    spec, path, directory = evaluated
    found = evaluate(
        FileLog(path, spec), directory / "b", settings_of(), ScoringOptions(bootstrap_samples=0)
    )
    whole = json.loads(orjson.dumps(found.as_json()))
    big = whole["heads"]["big"]
    assert big["memory"]["auc"] == found.heads["big"].models["memory"]["auc"].value
    assert set(big["memory"]) == set(big["memoryless"])
    assert whole["events"] == found.events
    assert next(iter(whole)) == "warnings"


def test_a_naive_rule_that_is_better_than_both_networks_is_said_first(evaluated, tmp_path):
    """In the verdict and in the warnings; untrained networks lose to the last value of a walk."""
    spec, _, _ = evaluated
    rows = [{"key": f"k{i % 12}", "at": 1000 * i, "x": 1000.0 + i, "kind": "A"} for i in range(600)]
    naive = {"value": 1300.0, "rule": "last"}
    number = spec.model_copy(update={"heads": (regression(),)})
    for place, kind in (("b", "gru"), ("b/memoryless", "none")):
        model = Model.initialize(number, CellSpec(kind=kind, hidden=8))
        save_bundle(model, tmp_path / place)
    (tmp_path / "b" / "naive.json").write_text(
        json.dumps({"format": 2, "heads": {"next_x": naive}})
    )
    found = evaluate(FileLog(log_file(tmp_path, rows), number), tmp_path / "b", settings_of())
    assert found.heads["next_x"].naive_factor > 10
    assert found.warnings[0].startswith(
        "head next_x: the naive rule last is better than every network"
    )
    assert found.as_json()["warnings"] == found.warnings


def regression():
    """Return a head of the next number."""
    content = {"name": "next_x", "kind": "regression", "path": "x"}
    return FeatureSpec.parse({**SPEC, "heads": [content]}, "t").heads[0]
