"""Evaluation: the same labels as training, figures by hand, intervals, comparison, replay to files."""

import asyncio
import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner
from pydantic import TypeAdapter

from stream_rnn.cli.verbs.replay import command as replay_command
from stream_rnn.errors import ConfigError
from stream_rnn.evaluation import predictions_with_targets
from stream_rnn.evaluation import segments as groups
from stream_rnn.evaluation.compare import compare
from stream_rnn.evaluation.evaluate import evaluate
from stream_rnn.evaluation.hidden_state_health import HiddenStateSample, SamplingStore, health
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.evaluation.scoring import choose_scored
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.evaluation.worst_predictions import calibration_bins
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.metrics.bootstrap import draw_keys, resampled_metrics
from stream_rnn.metrics.naive_baselines import Naive
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import area_under_roc, score
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import Head
from stream_rnn.model.network import Model
from stream_rnn.replay import replay
from stream_rnn.replay.logs import FileLog
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.replay.to_file import ReplayPlan, replay_to_file
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import targets
from stream_rnn.training.run import read_naive
from tests import models

SPEC = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "at"}}}
SPEC["heads"] = [
    *SPEC["heads"],
    {"name": "now", "kind": "regression", "of": "now", "path": "z", "cap": 2.0},
    {"name": "last", "kind": "multiclass", "path": "kind", "classes": ["A", "B"], "end": True},
]


def rows_of(count, seed=3):
    """Make rows of uneven keys, out of order, with holes and bad ones."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "key": ["a", "b", "c", "d", "hot", "hot", "hot"][rng.integers(7)],
            "at": int(i * 500 + rng.integers(-2000, 2000) + 10_000),
            "x": None if rng.random() < 0.1 else float(rng.normal()),
            "kind": ["A", "B", "other", None][rng.integers(4)],
            "z": float(rng.normal()),
        }
        for i in range(count)
    ]
    for row in rng.choice(count, 12, replace=False).tolist():
        rows[row].update([{"key": None}, {"at": None}, {"x": 1e39}][row % 3])
    return rows


def log_file(directory, rows):
    """Write rows as a log."""
    path = directory / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a log of 300 rows and an untrained bundle with a baseline beside it."""
    directory = tmp_path_factory.mktemp("evaluated")
    spec = FeatureSpec.model_validate(SPEC)
    for name, kind, seed in (("b", "gru", 1), ("b/memoryless", "none", 2), ("other", "lstm", 3)):
        torch.manual_seed(seed)
        save_bundle(Model.initialize(spec, CellSpec(kind=kind, hidden=8)), directory / name)
    return spec, log_file(directory, rows_of(300)), directory


def settings_of(**more):
    """Make settings."""
    return Settings.build(app="app", source="log", **more)


@pytest.mark.parametrize("state_ttl", [None, 8.0])
@pytest.mark.parametrize("partitions", [1, 3])
def test_evaluation_and_training_mean_the_same_labels(made, state_ttl, partitions):
    """One finds them from the fold's steps, the other from runs; event by event they agree."""
    spec, path, directory = made
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


def models_of(directory):
    """Load a bundle."""
    from stream_rnn.model.bundle import load_bundle

    return load_bundle(directory)


def test_a_forget_leaves_no_label(made):
    """Neither to the event before it, nor an end."""
    spec, _, directory = made

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
def test_answers_too_wide_to_hold_are_the_same(made, monkeypatch, breaks):
    """Folded once to see what comes, once more to rank: to the bit.

    With bad rows, expiry, and steps that are not finite, which only the network itself can tell.
    """
    spec, path, directory = made
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


def test_a_field_of_the_wrong_type_costs_a_label_and_no_event(made, tmp_path):
    """The worker does not look at it, so evaluation must not skip the event."""
    spec, _, directory = made
    rows = rows_of(20)
    rows = [{**row, "z": "many"} for row in rows]
    log = FileLog(log_file(tmp_path, rows), spec)
    model = models_of(directory / "b")
    found = asyncio.run(predict_with_targets(log, model, settings_of()))
    assert len(found.offset) > 5
    assert np.isnan(found.targets["now"]).all()


def test_figures_are_those_of_the_predictions(made):
    """Each metric, of each head and network, computed again from a replay's JSON."""
    spec, path, directory = made
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


def test_the_naive_rule_is_the_one_that_training_chose(made, tmp_path):
    """Not the one that is better on what is scored, which nobody knows before."""
    spec, path, _ = made
    save_bundle(models_of(made[2] / "b"), tmp_path)
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


def test_a_baseline_that_remembers_is_refused(made, tmp_path):
    """A network with memory in its place would be compared with itself."""
    spec, path, directory = made
    for place, source in ((tmp_path, "b"), (tmp_path / "memoryless", "other")):
        save_bundle(models_of(directory / source), place)
    with pytest.raises(ConfigError, match=r"memoryless is not a memoryless baseline: .* is lstm"):
        evaluate(FileLog(path, spec), tmp_path, settings_of())


def test_groups_hold_each_scored_event_once(made):
    """By memory, by time, by key."""
    spec, path, directory = made
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


def test_what_is_scored_can_be_chosen(made):
    """A warm-up, long memories, last predictions, a part of a split; nothing at all is refused."""
    spec, path, directory = made
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


def head_of(kind, **more):
    """Make a head."""
    path = {} if kind == "time_to_next" else {"path": "v"}
    return TypeAdapter(Head).validate_python({"kind": kind, "name": "h", **path, **more})


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "time_to_next"])
def test_a_draw_of_each_key_once_is_the_metric_itself(kind):
    """The fast metrics of a draw equal those of torchmetrics on the events drawn."""
    rng, count = np.random.default_rng(8), 500
    head = head_of(kind, **({"classes": list("ABCDEFG")} if kind == "multiclass" else {}))
    key = rng.integers(0, 12, count)
    output = rng.random((count, 7) if kind == "multiclass" else count).astype(np.float32)
    if kind == "multiclass":
        output /= output.sum(axis=1, keepdims=True)
    output = np.round(output, 2)  # ties
    target = rng.integers(0, 2 if kind == "binary" else 7, count).astype(np.float64)
    output = RankedClasses.of(output, target) if kind == "multiclass" else output
    draws = np.vstack([np.ones(12, np.int32), draw_keys(12, 4, 5)])
    drawn = resampled_metrics(head, output, target, key, draws)
    for number, times in enumerate(draws):
        events = np.concatenate(
            [np.flatnonzero(key == k) for k in range(12) for _ in range(times[k])]
        )
        expected = score(head, output[events], target[events])
        for metric, values in drawn.items():
            assert values[number] == pytest.approx(expected[metric], rel=1e-5), metric


def test_too_few_keys_have_no_interval():
    """Nine keys say nothing about others."""
    assert draw_keys(9, 1, 7) is None
    assert draw_keys(10, 1, 7).sum(axis=1).tolist() == [10] * 7


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    """Keys with a mean of their own: 95 % of intervals, not of events taken one by one."""
    rng, hits = np.random.default_rng(6), 0
    head = head_of("regression")
    for trial in range(100):
        of_key = rng.normal(0, 1, 40)
        key = np.repeat(np.arange(40), 25)
        error = np.abs(of_key[key])
        drawn = resampled_metrics(
            head, error.astype(np.float32), np.zeros(1000), key, draw_keys(40, trial, 200)
        )["mae"]
        low, high = np.quantile(drawn, [0.025, 0.975])
        hits += low <= math.sqrt(2 / math.pi) <= high
    assert 85 <= hits <= 100


def test_times_are_grouped_by_spans_of_equal_length():
    """Named by their begin; days where the log is long."""
    day = 86_400_000
    times = np.array([0, day, 47 * day, 95 * day])
    found = groups.by_time(times)
    assert found[0][0] == "1970-01-01"
    assert sum(len(events) for _, events in found) == 4
    assert groups.by_time(np.array([5, 5]))[0][0] == "1970-01-01T00:00:00"
    assert groups.by_time(np.zeros(0, np.int64)) == []


@pytest.mark.parametrize("step_ms", [1, 7, 40, 1000, 60_000, 10**9])
@pytest.mark.parametrize("events", [1, 2, 3, 100])
def test_no_two_spans_of_time_have_the_same_name(step_ms, events):
    """Each name is a time at or before the first event of its span, and after the span before."""
    begin = 1_700_000_000_005
    times = begin + step_ms * np.arange(events)
    found = groups.by_time(times)
    names = [name for name, _ in found]
    assert names == sorted(set(names))
    assert sum(len(chosen) for _, chosen in found) == events
    if step_ms < 60 and events > 1:
        assert names[0] == "2023-11-14T22:13:20.005"
        assert [int(name[-3:]) for name in names][1] > 5


@pytest.mark.parametrize(
    ("steps", "names", "events"),
    [
        (
            np.arange(101, 501),
            [
                "101-150",
                "151-200",
                "201-250",
                "251-300",
                "301-350",
                "351-400",
                "401-450",
                "451-500",
            ],
            [50] * 8,
        ),
        (np.repeat([7], 50), ["7"], [50]),
        (np.repeat([1, 2, 1500], [40, 40, 20]), ["1", "2", "3-1,500"], [40, 40, 20]),
        (np.repeat([1041, 1049], [60, 40]), ["1,041-1,049"], [100]),
        (np.zeros(0, np.int64), [], []),
    ],
)
def test_lengths_of_memory_are_grouped_by_quantiles(steps, names, events):
    """No group is empty, none holds nearly all events, and limits have two digits."""
    found = groups.by_steps(steps)
    assert [name for name, _ in found] == names
    assert [len(some) for _, some in found] == events
    assert sorted(event for _, some in found for event in some.tolist()) == list(range(len(steps)))


def test_calibration_has_bins_of_equal_size():
    """By what is predicted, with what came."""
    output = np.linspace(0, 1, 100, dtype=np.float32)
    bins = calibration_bins(head_of("binary"), output, (output > 0.5).astype(np.float64))
    assert [b.events for b in bins] == [10] * 10
    assert bins[0].observed == 0.0
    assert bins[-1].observed == 1.0
    assert bins[0].predicted == pytest.approx(output[:10].mean())
    assert calibration_bins(head_of("binary"), output[:0], np.zeros(0)) == ()


async def test_health_is_of_the_states_that_the_fold_commits(made):
    """Norms by hand, of the sampled states; a unit that never moves is silent."""
    spec, path, directory = made
    model, settings = models_of(directory / "b"), settings_of(batch_events_max=1)
    sample = HiddenStateSample(model.hidden_size_floats)
    store = SamplingStore(sample)
    records = [
        r
        async for rs in FileLog(path, spec).batches((await FileLog(path, spec).ranges())[0])
        for r in rs
    ]
    await replay_partition(
        model, settings, 0, 0, in_batches(iter(records)), lambda *_: None, store=store
    )
    found = health(sample, model.hidden_shape)
    hidden = np.stack(sample.hidden)
    assert found.keys == len(store.states)
    shortest = np.argsort(sample.steps, kind="stable")[: found.at[0].states]
    assert found.at[0].norm == pytest.approx(np.sqrt((hidden[shortest] ** 2).mean(axis=1)).mean())
    assert sum(at.states for at in found.at) == len(sample.steps)
    assert found.dead_units == 0
    assert all(0 < at.update_norm < 2 for at in found.at[1:])
    assert health(HiddenStateSample(0), (0, 0)) is None


def test_two_bundles_are_compared_on_the_events_of_both(made):
    """A bundle equals itself; another one differs by the metrics of each."""
    spec, path, directory = made
    log = FileLog(path, spec)
    same = compare(log, (directory / "b", directory / "b"), settings_of(), ScoringOptions())
    assert all(
        row.difference.value == 0
        for h in same.heads.values()
        for row in h.metrics.values()
        if row.first == row.first
    )
    found = compare(log, (directory / "b", directory / "other"), settings_of(), ScoringOptions())
    one, other = (
        evaluate(log, directory / name, settings_of(), ScoringOptions(bootstrap_samples=0))
        for name in ("b", "other")
    )
    for name, head in found.heads.items():
        for metric, row in head.metrics.items():
            assert row.first == pytest.approx(
                one.heads[name].models["memory"][metric].value, nan_ok=True
            )
            assert row.second == pytest.approx(
                other.heads[name].models["memory"][metric].value, nan_ok=True
            )
    assert len(found.heads["big"].differ) == 10


def test_bundles_without_a_common_head_are_not_compared(made, tmp_path):
    """The message names the heads of both."""
    spec, path, directory = made
    head = {"name": "big", "kind": "binary", "path": "x", "above": 7.0}
    changed = FeatureSpec.model_validate({**SPEC, "heads": [head]})
    save_bundle(Model.initialize(changed, CellSpec(hidden=8)), tmp_path / "o")
    with pytest.raises(ConfigError, match=r"no head in common: big, wait, .* and big"):
        compare(
            FileLog(path, spec), (directory / "b", tmp_path / "o"), settings_of(), ScoringOptions()
        )


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_replay_counts_the_records_that_the_spec_filters(made, tmp_path, processes):
    """In the summary for people and in that for programs; they are part of the progress."""
    _, path, _ = made
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(row | {"type": "ab"[number % 2]}) for number, row in enumerate(rows)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    event = {**SPEC["event"], "only": [{"path": "type", "in": ["a"]}]}
    spec = FeatureSpec.model_validate({**SPEC, "event": event})
    save_bundle(Model.initialize(spec, CellSpec(hidden=8)), tmp_path / "b")
    out = tmp_path / "p.jsonl"
    words = [tmp_path / "log.jsonl", "--bundle", tmp_path / "b", "--out", out]
    words += ["--processes", processes, "--app", "a", "--partitions", processes]

    for as_json in (["--json"], []):
        done = CliRunner().invoke(replay_command, [*map(str, words), *as_json])
        assert done.exit_code == 0, done.output
        predictions = len(out.read_bytes().splitlines())
        assert 100 < predictions <= 150  # some rows are no events
        if as_json:
            expected = {"out": str(out), "predictions": predictions, "filtered": 150}
            assert json.loads(done.stdout) == expected
        else:
            assert "150 records filtered" in " ".join(done.stderr.split())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_replay_in_processes_is_that_of_one(made, tmp_path, processes):
    """Partition by partition, byte for byte; nothing stays beside the target."""
    spec, path, directory = made
    log, out = FileLog(path, spec, 3), tmp_path / "p.jsonl"
    told = {}

    def count(wanted, records):
        told[wanted.partition] = told.get(wanted.partition, 0) + records

    plan = ReplayPlan(log, directory / "b", settings_of(), out, processes)
    written = replay_to_file(plan, count)
    assert sum(told.values()) == 300
    expected = []

    async def fold():
        for wanted in await log.ranges():
            await replay_partition(
                models_of(directory / "b"),
                settings_of(),
                wanted.partition,
                0,
                log.batches(wanted),
                lambda predictions, _: expected.extend(m.value for m in predictions),
            )

    asyncio.run(fold())
    assert out.read_bytes().splitlines() == expected
    assert written == (len(expected), 0)
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_replay_to_parquet_has_a_column_for_each_output(made, tmp_path):
    """The numbers are those of the lines."""
    spec, path, directory = made
    log = FileLog(path, spec)
    replay_to_file(ReplayPlan(log, directory / "b", settings_of(), tmp_path / "p.parquet"))
    frame = pl.read_parquet(tmp_path / "p.parquet")
    said = list(replay(log, directory / "b", settings_of()))
    assert frame["offset"].to_list() == [p.source.offset for p in said]
    assert frame["key"].to_list() == [p.key for p in said]
    assert frame["big.probability"].to_list() == [p.outputs["big"].probability for p in said]
    assert frame["next.class"].to_list() == [p.outputs["next"].label for p in said]
    assert json.loads(frame["next.top"][0])[0][0] == said[0].outputs["next"].label


@pytest.mark.parametrize("name", ["p.csv", "missing/../p.txt"])
def test_a_target_of_another_format_is_refused(made, tmp_path, name):
    """Before anything is folded."""
    spec, path, directory = made
    plan = ReplayPlan(FileLog(path, spec), directory / "b", settings_of(), tmp_path / name)
    with pytest.raises(ConfigError, match=r"go to a \.jsonl"):
        replay_to_file(plan)


def test_a_replay_that_fails_leaves_nothing(made, tmp_path):
    """Neither a target nor parts of it."""
    spec, _, directory = made
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 or not")
    plan = ReplayPlan(
        FileLog(torn, spec, 2), directory / "b", settings_of(), tmp_path / "p.jsonl", 2
    )
    with pytest.raises(ConfigError, match="a replay process exited with status 3"):
        replay_to_file(plan)
    assert [p.name for p in tmp_path.iterdir()] == ["torn.parquet"]


def test_a_loop_over_a_replay_may_be_left(made):
    """And what goes wrong in the fold is raised in the loop."""
    _, path, directory = made
    for prediction in replay(path, directory / "b", settings_of(batch_events_max=7)):
        assert prediction.steps == 1
        break
    with pytest.raises(ConfigError, match="cannot read the log"):
        next(replay(directory / "nothing.jsonl", directory / "b"))


def test_an_evaluation_is_plain_json(made):
    """Metrics stand directly under each model, intervals beside them."""
    import orjson

    spec, path, directory = made
    found = evaluate(
        FileLog(path, spec), directory / "b", settings_of(), ScoringOptions(bootstrap_samples=0)
    )
    whole = json.loads(orjson.dumps(found.as_json()))
    big = whole["heads"]["big"]
    assert big["memory"]["auc"] == found.heads["big"].models["memory"]["auc"].value
    assert set(big["memory"]) == set(big["memoryless"])
    assert whole["events"] == found.events
