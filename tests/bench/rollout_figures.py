"""The figures of a roll-out, and the table that shows them."""

import statistics
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.bench.rollout_reader import Arrivals

PARTITIONS = 4
RATE = 10_000
STATES = ("without", "warming", "warm")


@dataclass(slots=True)
class Figures:
    """What is measured.

    Attributes:
        windows: Windows of the wall clock, by the state of the candidate.
        rates: Events/s of the fold in charge with a backlog, without a candidate and with a warm one.
        warm_s: Seconds that each candidate took to get warm.
        promotes_s: Seconds from each promote until it was done in all partitions.
        arrivals: Arrivals of predictions.
    """

    windows: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {state: [] for state in STATES}
    )
    rates: dict[str, list[float]] = field(default_factory=lambda: {"without": [], "warm": []})
    warm_s: list[float] = field(default_factory=list)
    promotes_s: list[float] = field(default_factory=list)
    arrivals: Arrivals | None = None


def table_of(figures: Figures) -> tuple[list[str], dict[str, Any]]:
    """Return the lines to print, and the figures for JSON."""
    arrivals = figures.arrivals
    assert arrivals is not None, "the run has ended"
    p99 = {}
    for state in STATES:
        delays = arrivals.delays_ms(figures.windows[state])
        p99[state] = float(np.quantile(delays, 0.99)) if len(delays) else float("nan")
    without, warm = (statistics.mean(figures.rates[state]) for state in ("without", "warm"))
    pauses = sorted(arrivals.pauses_s().values())
    first_s, last_s = figures.windows["warm"][-1]
    usual = float(np.quantile(arrivals.gaps_s(first_s, last_s), 0.99))
    fold = p99["without"]
    shown = [f"{p99[state]:.0f} {state} ({p99[state] / fold:.2f} x)" for state in STATES]
    rates = f"{without:,.0f} without, {warm:,.0f} warm ({warm / without:.2f} x)"
    middle, most = statistics.median(pauses), np.quantile(pauses, 0.99)
    spread = f"worst {pauses[-1]:.2f}, p99 {most:.2f}, median {middle:.2f}"
    promotes = figures.promotes_s
    times = f"worst {max(promotes):.1f}, median {statistics.median(promotes):.1f}"
    rows = {
        f"p99 at {RATE:,} events/s by the state of the candidate, ms": ", ".join(shown),
        "events/s of the fold in charge with a backlog": rates,
        f"pause of {len(pauses)} cut-overs in {len(promotes)} promotes, s": spread,
        "p99 between two fetches of a partition without a cut-over, s": f"{usual:.2f}",
        f"from a promote until it is done in {PARTITIONS} partitions, s": times,
        "until the candidate was warm, s": ", ".join(f"{s:.0f}" for s in figures.warm_s),
    }
    result = {
        "p99_ms": p99,
        "rates": figures.rates,
        "pauses_s": pauses,
        "promotes_s": figures.promotes_s,
        "warm_s": figures.warm_s,
    }
    table = ["| figure | value |", "|---|---|", *(f"| {n} | {v} |" for n, v in rows.items())]
    return table, result
