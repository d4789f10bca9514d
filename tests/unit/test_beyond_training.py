"""Values far beyond the training part are warned of, in training and before any figure."""

import asyncio

import numpy as np
import pytest

from stream_rnn.evaluation.beyond_training import since_previous_s
from stream_rnn.evaluation.evaluate import evaluate
from stream_rnn.evaluation.fold_samples import FoldSamples
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.training.beyond import find_beyond
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import read_fitted
from stream_rnn.training.examples import fit
from tests.unit.evaluated_log import log_file

KEYS, EVENTS = 10, 100
SETTINGS = Settings.build(app="app", source="log")
FEATURES = [
    {"kind": "numeric", "name": "level", "path": "level"},
    {"kind": "numeric", "name": "steady", "path": "steady", "scaling": "log"},
    {"kind": "categorical", "name": "place", "path": "place", "vocabulary": ["a", "b", "c"]},
    {"kind": "hashed", "name": "user", "path": "user", "buckets": 8},
    {"kind": "since_previous", "name": "since"},
    {"kind": "vector", "name": "pair", "path": "pair", "length": 2},
]
SPEC = FeatureSpec.parse(
    {
        "name": "t",
        "event": {"key": ["key"], "time": {"path": "at"}},
        "features": FEATURES,
        "heads": [{"name": "next", "kind": "regression", "path": "level"}],
    },
    "t",
)


def rows_of(**late):
    """Make rows; ``late`` gives fields of the last fifth, as functions of a random number."""
    rng = np.random.default_rng(4)
    rows = []
    for t in range(EVENTS):
        for key in range(KEYS):
            u = float(rng.random())
            fields = {
                "level": u,
                "steady": 10**u,
                "place": "ab"[int(2 * u)],
                "user": f"u{int(5 * u)}",
                "pair": [u, 3.0],
            }
            if t >= 0.8 * EVENTS:
                fields |= {name: value(u) for name, value in late.items()}
            rows.append({"key": f"k{key}", "at": 1000 * (EVENTS * t + key), **fields})
    return rows


def log_of(directory, **late):
    """Write a log."""
    return FileLog(log_file(directory, rows_of(**late)), SPEC)


LATE = {
    "level": (lambda u: u + 0.9, "feature level: 90%", "outside of 0"),
    "steady": (lambda u: 10 ** (3 + u), "feature steady: 100%", "to 9."),
    "place": (lambda _: "c", "feature place: 100%", "such as 'c'"),
    "user": (
        lambda u: f"new{int(5 * u)}",
        "feature user: 100%",
        "do not occur in the training part",
    ),
    "pair": (lambda u: [u, 4.0], "feature pair: place 1 of 1 such places: 100%", "farthest at 4"),
}


@pytest.mark.parametrize("name", LATE)
def test_training_warns_of_a_part_that_is_unlike_the_training_part(tmp_path, name):
    """Before it begins, with the range and an example; of a log that stays alike, of nothing."""
    value, *words = LATE[name]
    spec, events, examples = read_fitted(
        log_of(tmp_path, **{name: value}), SPEC, SETTINGS, "time:0.8"
    )
    (text,) = held_out(check_examples(spec, examples, events.partition), name)
    assert all(word in text for word in words), text
    assert "in the test part" in text
    spec, events, examples = read_fitted(log_of(tmp_path), SPEC, SETTINGS, "time:0.8")
    assert held_out(check_examples(spec, examples, events.partition), name) == []


def held_out(warnings, feature):
    """Return the warnings about a feature in the part that is not trained on."""
    return [t for t in warnings if t.startswith(f"feature {feature}:") and "test part" in t]


def test_training_warns_of_targets_outside_of_their_range(tmp_path):
    """And of a target that is constant."""
    log = log_of(tmp_path, level=lambda u: u + 0.9)
    spec, _, examples = read_fitted(log, SPEC, SETTINGS, "time:0.8")
    texts = check_examples(spec, examples)
    assert any(
        "head next: 90%" in t and "of its targets in the test part lie outside" in t for t in texts
    )
    rows = [row | {"level": 42.0} for row in rows_of()]
    spec, _, examples = read_fitted(
        FileLog(log_file(tmp_path, rows), SPEC), SPEC, SETTINGS, "time:0.8"
    )
    assert any(
        "head next: the target is 42 in the whole training part" in t
        for t in check_examples(spec, examples)
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return an untrained bundle whose spec is fitted to a log that stays alike."""
    directory = tmp_path_factory.mktemp("bundle")
    spec, _, examples = read_fitted(log_of(directory), SPEC, SETTINGS, "time:0.8")
    save_bundle(Model.initialize(fit(spec, examples), CellSpec(hidden=8)), directory / "b")
    return directory / "b"


@pytest.mark.parametrize("name", ["level", "steady", "pair"])
def test_evaluation_warns_of_scored_events_beyond_the_training_part(tmp_path, bundle, name):
    """Only if they are scored; a bundle knows the words of its vocabulary, but not which it saw."""
    value, *words = LATE[name]
    log = log_of(tmp_path, **{name: value})
    part = {
        p: ScoringOptions(split="time:0.8", part=p, bootstrap_samples=0) for p in ("train", "test")
    }
    (warning,) = evaluate(log, bundle, SETTINGS, part["test"]).warnings
    assert all(word in warning for word in words), warning
    assert "in the scored events" in warning
    assert evaluate(log, bundle, SETTINGS, part["train"]).warnings == ()


def test_evaluation_warns_of_words_outside_of_the_vocabulary(tmp_path, bundle):
    """As soon as they are a fifth of the scored ones."""
    for share, count in ((0.1, 0), (0.3, 1)):
        log = log_of(tmp_path, place=lambda u, share=share: "new" if u < share else "a")
        found = evaluate(log, bundle, SETTINGS, ScoringOptions(split="time:0.8")).warnings
        assert len(found) == count
        assert all("are not in its vocabulary, such as 'new'" in text for text in found)


def test_imported_weights_have_no_range():
    """Ten standard deviations around the mean take its place."""
    numeric = {"kind": "numeric", "name": "x", "path": "x", "fitted": {"mean": 50.0, "std": 2.0}}
    spec = FeatureSpec.parse(
        {
            "name": "t",
            "features": [numeric],
            "heads": [{"name": "y", "kind": "binary", "path": "y"}],
        },
        "t",
    )
    since = np.full(100, np.nan)
    assert find_beyond(spec, {"x": [50.0 + i % 9 for i in range(100)]}, since, "here") == []
    (text,) = find_beyond(spec, {"x": [90.0] * 100}, since, "here")
    assert "outside of 30 to 70" in text


def test_times_since_the_previous_event_are_those_of_the_key():
    """Unknown where a memory begins."""
    key, steps = np.array([0, 1, 0, 1, 0]), np.array([1, 1, 2, 1, 3])
    found = since_previous_s(key, np.array([1000, 2000, 5000, 9000, 4000]), steps)
    assert np.array_equal(found, [np.nan, np.nan, 4.0, np.nan, 0.0], equal_nan=True)


def test_what_is_sampled_does_not_depend_on_the_micro_batches(tmp_path, monkeypatch):
    """Neither the fields nor the hidden states, and so no figure of the report."""
    monkeypatch.setattr("stream_rnn.evaluation.feature_sample.EVENTS_MAX", 150)
    log, model = log_of(tmp_path), Model.initialize(fit(*fitted(tmp_path)), CellSpec(hidden=8))
    samples = []
    for cut in (16_384, 7, 1):
        one = FoldSamples.of(model)
        settings = SETTINGS.replace(batch_events_max=cut)
        asyncio.run(predict_with_targets(log, model, settings, samples=one))
        samples.append(one)
    first = samples[0]
    assert 75 < len(first.features[0].number) <= 150
    assert len(first.hidden.steps) > 300
    assert np.isfinite(first.hidden.update_norm).any()
    for other in samples[1:]:
        assert other.features[0].number == first.features[0].number
        assert other.features[0].columns == first.features[0].columns
        assert other.hidden.steps == first.hidden.steps
        assert np.array_equal(np.stack(other.hidden.hidden), np.stack(first.hidden.hidden))
        assert np.array_equal(other.hidden.update_norm, first.hidden.update_norm, equal_nan=True)


def fitted(directory):
    """Return the fitted spec of a log, and its examples."""
    spec, _, examples = read_fitted(log_of(directory), SPEC, SETTINGS, "time:0.8")
    return spec, examples
