"""A simulator of machines whose anomalies are visible only in the order of their events.

A machine repeats a program of eight steps: idle, heat, hold, heat, hold, cool, hold, cool.  A step
lasts three to five minutes, an event each, and its temperature approaches that of the step.  An
anomaly never leaves the range of what is normal:

    jump    after a hold in the middle, it cools where it should heat, or heats where it should cool
    broken  a step that should heat or cool changes the temperature ten times too slowly
    short   a step lasts one minute
"""

import numpy as np
import polars as pl

PROGRAM = ("idle", "heat", "hold", "heat", "hold", "cool", "hold", "cool")
TARGETS = (20.0, 60.0, 60.0, 100.0, 100.0, 60.0, 60.0, 20.0)
MOVING = (1, 3, 5, 7)
MIDDLE_HOLDS = (2, 6)  # at the same temperature, before heating on and before cooling on
RATE, NOISE, OFFSET = 0.4, 1.0, 3.0
SHARE = 0.03  # of the steps that begin
START_S = 1_767_225_600


def simulate(machines: int, events: int, seed: int) -> pl.DataFrame:
    """Return the events of all machines in the order of time; ``anomaly`` names the kind, or none.

    All events of a broken step are labelled from its second on, of the others the first event that
    differs.
    """
    rows = []
    for machine in range(machines):
        rng = np.random.default_rng((seed, machine))
        offset = rng.normal(0, OFFSET)
        for minute, (mode, temperature, anomaly) in enumerate(_events(events, rng)):
            at = START_S + 60 * minute + int(rng.integers(50))
            rows.append((f"m-{machine}", at, mode, round(temperature + offset, 2), anomaly))
    names = ["machine", "at", "mode", "temperature", "anomaly"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("at", maintain_order=True)


def _events(count: int, rng: np.random.Generator) -> list[tuple[str, float, str]]:
    events: list[tuple[str, float, str]] = []
    step, level, pending = int(rng.integers(8)), 20.0, ""
    while len(events) < count:
        kind = str(rng.choice(("jump", "broken", "short"))) if rng.random() < SHARE else ""
        is_broken = kind == "broken" and step in MOVING
        minutes = 1 if kind == "short" else int(rng.integers(3, 6))
        for minute in range(minutes):
            level += (RATE / 10 if is_broken else RATE) * (TARGETS[step] - level)
            label = "broken" if is_broken and minute else ""
            if minute == 0:
                label, pending = pending, ""
            events.append((PROGRAM[step], level + rng.normal(0, NOISE), label))
        has_jumped = kind == "jump" and step in MIDDLE_HOLDS
        pending = "short" if kind == "short" else "jump" if has_jumped else ""
        step = (step + (5 if has_jumped else 1)) % len(PROGRAM)
    return events[:count]
