"""Measures the events per second of a replay; prints figures.

pytest -m bench tests/bench/test_replay.py -s
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import torch

from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests.bench.load import SPEC

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

EVENTS, KEYS = 1_000_000, 10_000


def log_of(directory, suffix):
    """Write a file with a million events of ten thousand keys; return its path."""
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "user": [f"user-{i}" for i in rng.integers(0, KEYS, EVENTS)],
            "at": np.arange(EVENTS) * 50 + 1_700_000_000_000,
            "amount": rng.lognormal(2, 1, EVENTS).round(2),
            "kind": rng.choice(["view", "click", "buy"], EVENTS),
            "known": rng.random(EVENTS) < 0.5,
        }
    )
    path = directory / f"log{suffix}"
    {".jsonl": frame.write_ndjson, ".csv": frame.write_csv, ".parquet": frame.write_parquet}[
        suffix
    ](path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_events_per_second_of_one_core(tmp_path, suffix):
    """A replay predicts every event of a file; the figures exclude the start of the process."""
    spec = FeatureSpec.parse(SPEC, "bench")
    save_bundle(Model.initialize(spec, CellSpec(hidden=64)), tmp_path / "bundle")
    torch.set_num_threads(1)
    whole, few = log_of(tmp_path, suffix), tmp_path / "few.jsonl"
    few.write_text(json.dumps({"user": "u", "at": 1, "amount": 1.0, "kind": "buy", "known": True}))
    seconds, cpu = zip(*(_replay(path, tmp_path) for path in (few, whole)), strict=True)
    lines = sum(1 for _ in (tmp_path / "out.jsonl").open("rb"))
    assert lines == EVENTS
    print(
        f"\n{suffix}: {EVENTS / (cpu[1] - cpu[0]):,.0f} events per CPU second, "
        f"{EVENTS / (seconds[1] - seconds[0]):,.0f} events/s, start {seconds[0]:.1f} s"
    )


def _replay(log, directory):
    """Return the wall and CPU seconds of a replay in a process of its own."""
    command = [sys.executable, "-m", "stream_rnn.cli", "replay", str(log)]
    command += [f"--bundle={directory / 'bundle'}", f"--out={directory / 'out.jsonl'}"]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, used
