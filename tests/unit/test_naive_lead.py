"""Whether a naive rule is clearly better than the networks."""

import numpy as np
import pytest

from stream_rnn.metrics.naive_lead import naive_factor
from tests.unit.test_training import spec_of

LABELS = np.repeat([0.0, 1.0], 50)
NUMBERS = np.linspace(0, 100, 101)


def head_of(kind):
    """Return a head."""
    path = {} if kind == "time_to_next" else {"path": "y"}
    return spec_of({"name": "y", "kind": kind, "of": "next", **path}).heads[0]


@pytest.mark.parametrize(
    ("kind", "naive", "networks", "factor"),
    [
        ("regression", 1.0, (10.0, 12.0), 10.0),
        ("regression", 1.0, (12.0,), 12.0),
        ("regression", 5.0, (5.5, 9.0), None),  # better, but not clearly
        ("regression", 5.0, (4.0, 9.0), None),
        ("binary", 0.95, (0.9, 0.5), 2.0),
        ("binary", 0.5, (0.9, 0.5), None),
        ("binary", 0.95, (np.nan, 0.5), None),
        ("binary", 0.95, (), None),
    ],
)
def test_errors_are_compared_with_the_better_network(kind, naive, networks, factor):
    """Of an AUC, the error is what it lacks to 1."""
    target = LABELS if kind == "binary" else NUMBERS
    found = naive_factor(head_of(kind), naive, networks, target)
    assert found == (None if factor is None else pytest.approx(factor, rel=0.05))


def test_an_error_that_is_tiny_beside_the_target_is_none():
    """A rule without any error is no better than a network that is off by a thousandth."""
    tiny = 1e-4 * NUMBERS.std()
    assert naive_factor(head_of("regression"), 0.0, (tiny, 1.0), NUMBERS) is None
    assert naive_factor(head_of("regression"), 0.0, (NUMBERS.std(), 99.0), NUMBERS) > 500
    constant = np.full(100, 42.0)
    assert naive_factor(head_of("regression"), 0.0, (0.0, 0.0), constant) is None
    assert naive_factor(head_of("regression"), 0.0, (1e-9, 1e-9), constant) is None
    assert naive_factor(head_of("regression"), 0.0, (3.0, 2.0), constant) > 100


def test_a_time_is_compared_in_seconds():
    """Targets of times are logarithms in training."""
    target = np.log1p(np.array([10.0, 1000.0] * 50))
    assert naive_factor(head_of("time_to_next"), 1.0, (30.0,), target) == pytest.approx(20, rel=0.2)
