"""The signs of health of hidden states, with the range in which each is good."""

import math
from dataclasses import dataclass

from stream_rnn.evaluation.result import HiddenStateHealth
from stream_rnn.text import DASH, format_number, is_known

STATES_MIN = 20  # of a group of hidden states


@dataclass(frozen=True, slots=True)
class HealthSign:
    """One sign of the health of hidden states: a measured value, and the range of good values."""

    name: str
    value: str
    good: str
    is_good: bool | None
    why: str


def health_signs(states: HiddenStateHealth) -> tuple[HealthSign, ...]:
    """Return the signs of health of hidden states; the limits are rules of thumb, not tests."""
    unknown = math.nan
    groups = [group for group in states.at if group.states >= STATES_MIN]
    last = groups[-1] if groups else None
    high = max((group.norm_high for group in groups), default=unknown)
    saturated = max((group.saturated for group in groups), default=unknown)
    dead = states.dead_units / states.units if states.units else unknown
    return (
        _health_sign(
            "norm at the longest memory",
            last.norm if last else unknown,
            (0.05, 0.8),
            "near 0 the network remembers nothing; near 1 the state is full and can hardly change",
        ),
        _health_sign(
            "norm, largest 95th percentile",
            high,
            (0.05, 0.95),
            "above the range, a few keys have a full state, and their predictions hardly change",
        ),
        _health_sign(
            "saturated units, largest share",
            saturated,
            (0, 0.1),
            "a unit with |h| above 0.99 passes on hardly any gradient, and forgets slowly",
        ),
        _health_sign(
            "change by one event, at the longest memory",
            last.update_norm if last else unknown,
            (0.01, 0.5),
            "near 0 events no longer matter; above the range, each event overwrites the state",
        ),
        _health_sign(
            f"dead units, share of {states.units}",
            dead,
            (0, 0.2),
            "a unit that hardly changes costs time and bytes; a smaller network may do",
        ),
        _health_sign(
            "drift, in standard deviations",
            states.drift,
            (0, 0.5),
            "above the range, late states are unlike those on which the heads were trained",
        ),
    )


def _health_sign(name: str, value: float, good: tuple[float, float], why: str) -> HealthSign:
    low, high = good
    text = f"below {high}" if low == 0 else f"{low} to {high}"
    is_good = low <= value <= high if is_known(value) else None
    return HealthSign(name, format_number(value) if is_known(value) else DASH, text, is_good, why)
