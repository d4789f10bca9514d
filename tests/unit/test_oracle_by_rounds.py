"""The oracle for many records equals the one that folds one by one."""

import itertools

import pytest

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos import oracle_by_rounds
from tests.chaos.bundles import make_bundles
from tests.chaos.log import DISTRIBUTIONS, LogPlan

RECORDS = 600


@pytest.mark.parametrize(
    ("distribution", "state_ttl"), list(zip(DISTRIBUTIONS, (None, 60, 3), strict=True))
)
@pytest.mark.parametrize("overflows", [False, True])
def test_it_equals_the_oracle(distribution, state_ttl, overflows, tmp_path):
    """Predictions, dead letters, states and stream time are the same, from any origin on."""
    bundles = make_bundles(tmp_path, overflows=overflows)
    where = {"bootstrap_servers": "127.0.0.1:1", "redis_url": "redis://127.0.0.1:1"}
    settings = Settings.build(
        app="a", source="in", predictions="out", bundle=bundles[0], state_ttl=state_ttl, **where
    )
    log = itertools.islice(LogPlan(7, distribution, 1, is_transactional=False).records(), RECORDS)
    records = [LogRecord(i, at, key, value) for i, (_, key, value, at) in enumerate(log)]
    models = [load_bundle(bundle) for bundle in bundles]
    prepared = oracle_by_rounds.prepare(models[0], settings, records)
    for model, first in itertools.product(models, (0, RECORDS // 2)):
        truth = oracle.fold(model, settings, records[first:], "in", 3)
        offsets = range(first, RECORDS)
        made = oracle_by_rounds.fold(model, settings, prepared, offsets, "in", 3)
        assert dict(made.predictions) == truth.predictions
        assert made.dead_letters == truth.dead_letters
        assert made.states == truth.states
        assert made.stream_ms == truth.stream_ms
        assert truth.predictions
        assert len(truth.states) > 1
    if overflows and state_ttl is None:
        assert "step_not_finite" in truth.dead_letters.values()
