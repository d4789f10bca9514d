"""A bundle of vectors, hashed words and lists of words: trained, judged, traced and checked."""

import numpy as np
import polars as pl

from stream_rnn import evaluate, propose_spec, replay, trace, train
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.operate.check_host import check_numerics
from stream_rnn.operate.check_result import Level


def frame():
    """Make a log in which the last sensor, the page and the tags of an event tell the next load."""
    rng = np.random.default_rng(3)
    rows = 4000
    noise, pages = rng.normal(0, 1, (rows, 3)), rng.integers(0, 3000, rows)
    tags = rng.integers(0, 6, rows)
    told = noise[:, 2] + (tags == 3)
    keys = np.arange(rows) % 40
    load = np.concatenate([np.zeros(40), told[:-40]]) + rng.normal(0, 0.05, rows)
    return pl.DataFrame(
        {
            "device": [f"d{key}" for key in keys],
            "at": [1_700_000_000 + i for i in range(rows)],
            "load": load,
            "sensors": noise.tolist(),
            "page": [f"/p/{page * page % 3001}" for page in pages],
            "tags": [[f"t{tag}", "all"] for tag in tags],
        }
    )


def test_a_bundle_of_arrays_is_trained_and_used_as_any_other(tmp_path):
    """From a proposed spec to a replay; two trainings give the same bits."""
    log = frame()
    spec = propose_spec(log, key=["device"], time="at", target=["load"], classes=200).spec
    assert {"vector", "hashed", "multi_categorical"} <= {feature.kind for feature in spec.features}
    use(log, spec, tmp_path, "next_load", epochs=3, error_max=0.9)


def test_a_bundle_of_lagged_arrays_is_trained_and_used_as_any_other(tmp_path):
    """What the arrays of the previous event tell of this one needs no memory beside them."""
    content = {
        "name": "lagged",
        "event": {"key": ["device"], "time": {"path": "at", "unit": "s"}},
        "features": [
            {"kind": "vector", "name": "v", "path": "sensors", "length": 3, "lag": True},
            {"kind": "hashed", "name": "page", "path": "page", "buckets": 64, "lag": True},
            {
                "kind": "multi_categorical",
                "name": "tags",
                "path": "tags",
                "vocabulary": ["t1", "t2", "t3"],
                "lag": True,
            },
        ],
        "heads": [{"kind": "regression", "name": "load", "path": "load", "of": "now"}],
    }
    use(frame(), FeatureSpec.parse(content, "spec"), tmp_path, "load", epochs=6, error_max=0.5)


def use(log, spec, tmp_path, head, *, epochs, error_max):
    """Train, judge, trace, check and replay; the error is below a share of the naive one."""
    options = {"epochs": epochs, "hidden": 16, "threads": 1, "learning_rate": 0.01}
    for name in ("one", "two"):
        train(log, spec=spec, out=tmp_path / name, **options)

    model = load_bundle(tmp_path / "one")
    assert model.fingerprint == load_bundle(tmp_path / "two").fingerprint
    assert check_numerics(model).level is Level.FINE
    result = evaluate(log, bundle=tmp_path / "one", split="time:0.8")
    models = result.evaluation.heads[head].models
    assert models["memory"]["rmse"].value < error_max * models["naive"]["rmse"].value
    assert len(trace(log, "d7", bundle=tmp_path / "one").to_polars()) == 100
    assert sum(1 for _ in replay(log, bundle=tmp_path / "one")) == len(log)
