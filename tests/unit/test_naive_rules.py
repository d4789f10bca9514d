"""Naive rules that every network is compared with, and fields that give the label away."""

import dataclasses

import numpy as np
import pytest

from stream_rnn.errors import BundleError
from stream_rnn.metrics.naive_baselines import Naive, predict
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit, last_targets, targets
from stream_rnn.training.leakage import find_leaks
from stream_rnn.training.naive_rules import fit_naive_rules, read_naive
from tests.unit.test_training import SETTINGS, spec_of
from tests.unit.test_training_labels import C, log_of

NEXT = {"name": "next", "kind": "multiclass", "of": "next", "path": "c", "classes": ["A", "B"]}
WAIT = {"name": "wait", "kind": "time_to_next"}


def naive_examples():
    """Make a key that goes A, B, A, B, ... every 10 seconds."""
    spec = spec_of(NEXT, WAIT, features=[C])
    records = log_of(*[(b"k", "AB"[i % 2], 10 * i) for i in range(60)])
    examples = make_events([records], spec, SETTINGS).examples
    return spec, dataclasses.replace(examples, part=np.repeat([0, 1, 2], 20).astype(np.int8))


def test_the_better_naive_rule_is_the_markov_chain_where_order_is_all():
    """What followed a class in training is right each time; shares alone are right half the time."""
    spec, examples = naive_examples()
    naive, metrics, rules = fit_naive_rules(spec, examples)
    assert rules["next"] == "last"
    assert {name: head.rule for name, head in naive.heads.items()} == rules
    assert metrics["test"]["next"]["accuracy"] == 1.0
    shares = naive.heads["next"].predict("constant", np.array([0.0, np.nan]))
    assert shares.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert metrics["test"]["wait"]["mae"] == pytest.approx(0, abs=1e-4)
    assert naive.heads["wait"].value == pytest.approx(10)


def test_naive_rules_see_the_training_part_alone():
    """Other labels elsewhere change nothing."""
    spec, examples = naive_examples()
    labels = {**examples.labels, "next": [*examples.labels["next"][:21], *["B"] * 39]}
    naive, _, _ = fit_naive_rules(spec, examples)
    other, _, _ = fit_naive_rules(spec, dataclasses.replace(examples, labels=labels))
    assert naive.heads["next"] == other.heads["next"]


def test_only_next_heads_know_a_last_value():
    """What a head of now asks is not in the stream."""
    now = spec_of({"name": "n", "kind": "regression", "of": "now", "path": "d"}, features=[C])
    from stream_rnn.testing import record

    records = [record(i, b"k", {"c": "A", "d": float(i)}, i) for i in range(4)]
    examples = make_events([records], now, SETTINGS).examples
    assert np.isnan(last_targets(now.heads[0], examples)).all()
    naive = Naive.fit(now, {"n": targets(now.heads[0], examples)}, {"n": np.full(4, np.nan)})
    nothing = np.full(2, np.nan)
    assert predict(now.heads[0], naive.heads["n"], "last", nothing, nothing).tolist() == [
        1.5,
        1.5,
    ]


def test_naive_rules_that_are_not_ours_are_refused(tmp_path):
    """With the path and the remedy; a bundle without them has none."""
    assert read_naive(tmp_path) is None
    (tmp_path / "naive.json").write_text('{"format": 1, "heads": {"a": {"shares": [2]}}}')
    with pytest.raises(BundleError, match=r"naive\.json.*train the bundle again"):
        read_naive(tmp_path)


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass"])
def test_a_planted_leak_is_seen(kind):
    """A feature that holds the next event's value is named; an honest one is not."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2, 401)
    classes = {"classes": ["0", "1"]} if kind == "multiclass" else {}
    above = {"above": 0.5} if kind == "binary" else {}
    features = [
        {"kind": "categorical", "name": n, "path": n, "vocabulary": ["0", "1"]}
        if kind == "multiclass"
        else {"kind": "numeric", "name": n, "path": n, "missing": "mean"}
        for n in ("x", "future")
    ]
    head = {"name": "h", "kind": kind, "of": "next", "path": "x", **classes, **above}
    spec = spec_of(head, features=features)
    from stream_rnn.testing import record

    records = [
        record(i, b"k", {"x": int(values[i]), "future": int(values[i + 1])}, i) for i in range(400)
    ]
    examples = make_events([records], spec, SETTINGS).examples
    found = find_leaks(fit(spec, examples), examples)
    assert len(found) == 1
    assert "feature future alone determines the target of head h" in found[0]
