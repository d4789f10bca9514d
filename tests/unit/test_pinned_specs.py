"""What existing bundles rely on: fingerprints of specs, and defaults that a dump leaves out."""

import numpy as np
import pytest

from stream_rnn.model.bundle import fingerprint_of
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.file_format import MISSING_WORDS, FileFormat

# Each fingerprint was computed before any option of OMITTED_DEFAULTS existed.
FEATURES = [
    ({"kind": "numeric", "path": "x.y", "scaling": "minmax", "clip": [-1.0, 2.5], "missing": "mean"},
     "be02ebeb244d1eb9beeef2ea7837fe51a7bbf28f8995a4fa2d0bdcd0b76d35f2"),
    ({"kind": "since_previous", "scaling": "standard"},
     "b007ee042f272f2ca2e3d3c1b2c7534ed34bc8742133c67bddb7e9cc779e0178"),
    ({"kind": "categorical", "path": "word", "vocabulary": ["A", "ä"], "embedding": 2},
     "01f0acf6e773ced630be5b3c0eb75c7113c54bae1625e10ac117171b79226ae3"),
    ({"kind": "boolean", "path": "flag", "missing": "error"},
     "9e7fdbd655bc19dba7dd5dc26239435fb96ab407bece1ac60ec8a0d14ef6ba14"),
    ({"kind": "calendar", "unit": "hour"},
     "c45c2a59728d48c95c5a6035891067b12a8dcd6537e7a3c45b4c3e3484136c23"),
    ({"kind": "numeric", "path": 'a"b'},
     "09825eecd48e231c0ff00e8ce96283a4725f6f9b9452d2e2bc3dc55ebdd6c300"),
    ({"kind": "vector", "path": "v", "length": 3, "scaling": "log", "clip": [-1.0, 2.5]},
     "dad0e53cbae529c4d4a47bd06529bbef9f8887f36ecceaf4cd774069f0a5d350"),
    ({"kind": "hashed", "path": "word", "buckets": 5, "embedding": 3},
     "b55a38fb69b6d4be27dc70ef99ddcf49d42388a3e23ec6cfaff6781201ea4d2d"),
    ({"kind": "multi_categorical", "path": "words", "vocabulary": ["A", "ä"], "separator": "|"},
     "b1d283e29bade20e16d6e4c1ecf38f9a4f60952cd2433d4c58a24f2c0699a367"),
    ({"kind": "numeric", "path": "x", "lag": True},
     "b1bd8fe3304c061f4c9ed78f41859cc7cf9f5a688d3f636606040b4f7e78e3df"),
]  # fmt: skip
HEADS = [
    ({"kind": "regression", "path": "x.y", "of": "now", "cap": 9.5},
     "4e9e857e2c30d84fb30d27c99bdae7f754437655745fb5055b03a2cb667e108c"),
    ({"kind": "regression", "path": "x.y", "fitted": {"mean": 1.5, "std": 2.0}},
     "5f2c759043524ee83b252562bf6b7eb03b6a7fbbd0f69c6fae564953eb0836b2"),
    ({"kind": "binary", "path": "flag", "of": "label"},
     "6e6a897ed823bdf6656fd5f3fbd1b6d827db05c28ea423032ac33da0f9453876"),
    ({"kind": "binary", "path": "x.y", "above": 0.5},
     "90906e8fae319049566081162f9d69b03bad180de8507c8635e941d4dc8c710c"),
    ({"kind": "multiclass", "path": "word", "classes": ["A", "B"], "end": True},
     "1bd79c392ffc1cdf846a61ef80e04f5cf7ab7ddb3b535d603aa376ab8d823c47"),
    ({"kind": "time_to_next", "cap": 60.0},
     "3fd5aa6faa0a2cac0c782a2957fbea9b777bd3bfae3ddd2fe2a73828ec13666b"),
    ({"kind": "quantile", "path": "x.y", "quantiles": [0.1, 0.5, 0.9]},
     "2220102a126622f1981216032e6a0dffc5b6ee4e3c9844cccf016636107263c4"),
]  # fmt: skip
EVENTS = [
    ({"key": ["a", "b"], "time": {"path": "at", "unit": "ms"}},
     "e54d5c73bccdcab70b300364373382ac1eecca0a354de385ff160a262d86a165"),
    ({"key": ["a", "b"], "time": {"path": "at", "unit": "s"}},
     "998f5204bfaaacc4d35e9578101c5d44eccbb30f801306f1a62a370509cd463f"),
    ({"key": ["a", "b"], "time": {"path": "at", "unit": "iso8601"}},
     "e90597f7f2400090693c1addf2df31500289a9c47e9086881a4ef15fb3e79aef"),
    ({}, "e1887c17b8c5eac9158b75c3541daece6cdeff4d1f640064d501bbd5c54ca962"),
]  # fmt: skip


def fingerprint(feature=None, head=None, event=None):
    """Return the fingerprint of a bundle with a feature, a head and an event."""
    spec = FeatureSpec.model_validate(
        {
            "format": 1,
            "name": "p",
            "event": {"key": ["k"], "time": {"path": "at", "unit": "iso8601"}}
            if event is None
            else event,
            "features": [
                {"name": "f", **feature}
                if feature
                else {"name": "b", "kind": "calendar", "unit": "weekday"}
            ],
            "heads": [{"name": "h", **head} if head else {"name": "w", "kind": "time_to_next"}],
        }
    )
    tensors = {"w": np.zeros((2, 2), np.float32)}
    return fingerprint_of(spec, CellSpec(kind="gru", hidden=8, layers=1), tensors)


@pytest.mark.parametrize(("feature", "expected"), FEATURES)
def test_each_kind_of_feature_keeps_its_fingerprint(feature, expected):
    """A fold that runs goes on after an upgrade: its id is made of the fingerprint."""
    assert fingerprint(feature=feature) == expected


@pytest.mark.parametrize(("head", "expected"), HEADS)
def test_each_kind_of_head_keeps_its_fingerprint(head, expected):
    """With its options, and as it is after training."""
    assert fingerprint(head=head) == expected


@pytest.mark.parametrize(("event", "expected"), EVENTS)
def test_each_event_keeps_its_fingerprint(event, expected):
    """With and without a key and a time."""
    assert fingerprint(event=event) == expected


def test_the_default_of_missing_words_is_part_of_every_fold_of_files():
    """A dump leaves the default out, so a change of it changes folds under the same fingerprint.

    To add a word, add an option, or let the dump of new bundles name the words.
    """
    assert MISSING_WORDS is FileFormat.model_fields["missing"].default
    assert FileFormat().missing == (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
