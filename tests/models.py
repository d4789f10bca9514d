"""Small untrained models for tests, with random weights from a seed."""

from functools import cache

import torch

from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model

SPEC = {
    "format": 1,
    "name": "small",
    "event": {"key": ["key"]},
    "features": [
        {"name": "x", "kind": "numeric", "path": "x", "scaling": "none", "missing": "indicator"},
        {
            "name": "kind",
            "kind": "categorical",
            "path": "kind",
            "vocabulary": ["A", "B"],
            "embedding": 2,
        },
        {"name": "since", "kind": "since_previous", "scaling": "log"},
        {"name": "hour", "kind": "calendar", "unit": "hour"},
    ],
    "heads": [
        {"name": "big", "kind": "binary", "of": "next", "path": "x", "above": 1.0},
        {"name": "wait", "kind": "time_to_next"},
        {
            "name": "next",
            "kind": "multiclass",
            "of": "next",
            "path": "kind",
            "classes": ["A", "B", "?"],
        },
    ],
}


@cache
def small(cell: str = "gru", hidden: int = 8, layers: int = 1, seed: int = 7) -> Model:
    """Return an untrained model whose weights the seed determines."""
    torch.manual_seed(seed)
    return Model.initialize(
        FeatureSpec.model_validate(SPEC), CellSpec(kind=cell, hidden=hidden, layers=layers)
    )


LAGGED = {
    **SPEC,
    "name": "lagged",
    "features": [
        *SPEC["features"],
        {"name": "last_x", "kind": "numeric", "path": "x", "scaling": "none", "lag": True},
        {"name": "last_ok", "kind": "boolean", "path": "ok", "lag": True},
        {
            "name": "last_kind",
            "kind": "categorical",
            "path": "kind",
            "vocabulary": ["B", "?"],
            "embedding": 3,
            "lag": True,
        },
        {"name": "last_size", "kind": "numeric", "path": "size", "lag": True, "missing": "mean"},
    ],
    "heads": [*SPEC["heads"], {"name": "ok", "kind": "binary", "of": "now", "path": "ok"}],
}
"""``SPEC`` with a feature of each kind that reads the previous event, and a head of the event itself."""


@cache
def lagged(cell: str = "gru") -> Model:
    """Return an untrained model of ``LAGGED``; a last size of 3e38 makes y of its steps infinite."""
    return _with_a_last_size(LAGGED, cell)


def _with_a_last_size(content: dict, cell: str) -> Model:
    torch.manual_seed(7)
    spec = FeatureSpec.model_validate(content)
    model = Model.initialize(spec, CellSpec(kind=cell, hidden=8, layers=1))
    plain = [name for name in model.encoder.names if name not in ("kind", "last_kind")]
    with torch.no_grad():
        last_size = next(iter(model.network.cell.parameters()))[:, plain.index("last_size")]
        last_size[:] = 1e-30  # which sets h to 1 if the size is 3e38, and changes nothing otherwise
        if cell == "gru":
            last_size[8:16] = -1e-30
        model.network.head.weight[0] = 8e37
    return model


SURPRISED = {
    **LAGGED,
    "name": "surprised",
    "heads": [
        {"name": "big", "kind": "binary", "path": "x", "above": 1.0, "surprise": True},
        {"name": "wait", "kind": "time_to_next", "cap": 60.0, "surprise": True}
        | {"fitted": {"mean": 2.5, "std": 0.75}},
        {"name": "ok", "kind": "binary", "of": "now", "path": "ok"},
        {"name": "next-kind", "kind": "multiclass", "path": "kind", "classes": ["A", "B"]}
        | {"surprise": True},
        {"name": "size", "kind": "regression", "path": "size", "cap": 1.5, "surprise": True}
        | {"fitted": {"mean": -0.5, "std": 3.0}},
        {"name": "other", "kind": "regression", "path": "extra", "surprise": True},
        {"name": "range", "kind": "quantile", "path": "x", "quantiles": [0.1, 0.5, 0.95]}
        | {"surprise": True, "fitted": {"mean": 0.5, "std": 1.25}},
        {"name": "plain", "kind": "multiclass", "path": "kind", "classes": ["A", "B", "?"]},
    ],
}
"""``LAGGED`` with a head of each kind that rates the next event; only one head reads ``extra``."""


@cache
def surprised(cell: str = "gru") -> Model:
    """Return an untrained model of ``SURPRISED``; see :func:`lagged`."""
    return _with_a_last_size(SURPRISED, cell)


ENVELOPED = {
    "format": 1,
    "name": "enveloped",
    "event": {
        "key": [["payload.after.id", "payload.before.id"]],
        "time": {"path": "payload.ts_us", "unit": "us", "parse": True},
        "unwrap": "payload.after",
        "forget_when": {"path": "payload.op", "equals": "d"},
        "only": [{"path": "payload.source.table", "in": ["orders", 7]}],
    },
    "features": [
        {"name": "x", "kind": "numeric", "path": "amount", "scaling": "none", "parse": True},
        {"name": "paid", "kind": "boolean", "path": "paid", "parse": True},
        {
            "name": "kind",
            "kind": "categorical",
            "path": '"order.kind"',
            "vocabulary": ["A", "1"],
            "embedding": 2,
        },
        {"name": "since", "kind": "since_previous", "scaling": "log"},
    ],
    "heads": [
        {"name": "big", "kind": "binary", "path": "amount", "above": 1.0, "parse": True},
        {"name": "next_paid", "kind": "binary", "path": "paid", "parse": True},
        {"name": "amount", "kind": "regression", "path": "amount", "parse": True},
        {"name": "wait", "kind": "time_to_next"},
    ],
}
"""A spec of a topic of Debezium, with every option of ``[event]``."""


ARRAYS = {
    "format": 1,
    "name": "arrays",
    "event": {"key": ["key"]},
    "features": [
        {"name": "sensors", "kind": "vector", "path": "sensors", "length": 3, "scaling": "log"},
        {"name": "page", "kind": "hashed", "path": "page", "buckets": 5, "embedding": 3},
        {
            "name": "tags",
            "kind": "multi_categorical",
            "path": "tags",
            "vocabulary": ["A", "B", "7"],
            "embedding": 3,
            "max_length": 3,
        },
        {
            "name": "items",
            "kind": "multi_categorical",
            "path": "items",
            "buckets": 9,
            "max_length": 4,
            "separator": "|",
        },
    ],
    "heads": [
        {"name": "big", "kind": "binary", "path": "x", "above": 1.0},
        {"name": "wait", "kind": "time_to_next"},
        {"name": "range", "kind": "quantile", "path": "x", "quantiles": [0.025, 0.5, 0.9]},
    ],
}
"""A spec whose features read arrays and words without a vocabulary, and with quantiles."""


LAGGED_ARRAYS = {
    **ARRAYS,
    "name": "lagged-arrays",
    "features": [
        *ARRAYS["features"],
        *(
            {**feature, "name": f"last_{feature['name']}", "lag": True}
            for feature in ARRAYS["features"]
        ),
    ],
}
"""``ARRAYS`` with each feature a second time, which reads the previous event."""


def of(content: dict, seed: int = 7) -> Model:
    """Return an untrained model of the content of a spec."""
    torch.manual_seed(seed)
    spec = FeatureSpec.model_validate(content)
    return with_fingerprint(Model.initialize(spec, CellSpec(kind="gru", hidden=8, layers=1)))


@cache
def enveloped() -> Model:
    """Return an untrained model of ``ENVELOPED``."""
    return of(ENVELOPED)


@cache
def arrays() -> Model:
    """Return an untrained model of ``ARRAYS``."""
    return of(ARRAYS)


@cache
def lagged_arrays() -> Model:
    """Return an untrained model of ``LAGGED_ARRAYS``."""
    return of(LAGGED_ARRAYS)
