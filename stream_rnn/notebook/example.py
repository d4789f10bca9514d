"""A small example log: machines that fail some hours after a peak of their vibration."""

import functools
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from stream_rnn.notebook.spec import propose_spec
from stream_rnn.notebook.train import train

START_S = 1_767_225_600
PEAK, FAILED_AFTER_HOURS = 0.1, range(2, 5)


def machines(count: int = 12, hours: int = 40, seed: int = 1) -> pl.DataFrame:
    """Return one event per machine and hour, whose failures only a memory of peaks can predict.

    Args:
        count: Number of machines.
        hours: Number of hours.
        seed: Random seed.

    Example:
        >>> machines().head(1).row(0)
        ('m-0', 1767225600, 1.29, 'M', False)
    """
    return pl.DataFrame(
        list(_rows(count, hours, random.Random(seed))),  # noqa: S311  # data, no secret
        schema=["machine", "at", "vibration", "load", "failed"],
        orient="row",
    )


def _rows(count: int, hours: int, draw: random.Random) -> Iterator[tuple[object, ...]]:
    since_peak = dict.fromkeys((f"m-{number}" for number in range(count)), 99)
    for hour in range(hours):
        for machine, since in since_peak.items():
            is_peak, failed = draw.random() < PEAK, since in FAILED_AFTER_HOURS
            since_peak[machine] = 0 if is_peak else 99 if failed else since + 1
            vibration = round(draw.gauss(4 if is_peak else 1, 0.3), 2)
            yield machine, START_S + 3600 * hour, vibration, draw.choice("LMH"), failed


@functools.cache
def example_bundle() -> Path:
    """Train a small bundle on :func:`machines`, once per process, and return its directory."""
    folder = _folder()
    frame = machines()
    spec = propose_spec(frame, target="failed")
    return train(frame, spec, Path(folder.name) / "bundle", hidden=8, epochs=3, threads=1).out


@functools.cache
def _folder() -> TemporaryDirectory[str]:
    """Return a temporary directory that exists until the process ends."""
    return TemporaryDirectory()
