"""The comparison of two bundles on one log."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.compare import compare
from stream_rnn.evaluation.evaluate import evaluate
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import FileLog
from tests.unit.evaluated_log import SPEC, settings_of


def test_two_bundles_are_compared_on_the_events_of_both(evaluated):
    """A bundle equals itself; another one differs by the metrics of each."""
    spec, path, directory = evaluated
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


def test_bundles_without_a_common_head_are_not_compared(evaluated, tmp_path):
    """The message names the heads of both."""
    spec, path, directory = evaluated
    head = {"name": "big", "kind": "binary", "path": "x", "above": 7.0}
    changed = FeatureSpec.model_validate({**SPEC, "heads": [head]})
    save_bundle(Model.initialize(changed, CellSpec(hidden=8)), tmp_path / "o")
    with pytest.raises(ConfigError, match=r"no head in common: big, wait, .* and big"):
        compare(
            FileLog(path, spec), (directory / "b", tmp_path / "o"), settings_of(), ScoringOptions()
        )
