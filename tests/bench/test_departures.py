"""The demo's question with the demo's recipe: AUC with memory and without, streamed and offline.

pytest -m bench tests/bench/test_departures.py -s
"""

import numpy as np
import pytest

from stream_rnn.demo.flights import SPEC, TEST_FROM_MS, departures
from stream_rnn.metrics.scores import area_under_roc
from tests.bench.streamed import Streamed, command, evaluated

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

RECIPE = ("--hidden=48", "--split=time:2013-09-01", "--epochs=10")


async def test_late_departures(app_id, bootstrap_servers, redis_url, tmp_path):
    """Trained, evaluated, streamed through a worker, and scored from September to December."""
    bundle = tmp_path / "delay"
    command("train", "nycflights13", f"--out={bundle}", *RECIPE)
    offline = evaluated("nycflights13", f"--bundle={bundle}", "--warm-up=2013-09-01")
    head = offline["heads"]["late"]
    streamed = Streamed(app_id, bootstrap_servers, redis_url, tmp_path)
    streamed.send("nycflights13", f"--spec={SPEC}")
    events = departures()
    found = await streamed.predictions(bundle, len(events))
    said, late, seen = [], [], dict.fromkeys(found, 0)
    of_key: dict[str, list] = {key: [] for key in found}
    for event in events:
        of_key[event.key.decode()].append(event)
    for event in events:
        key = event.key.decode()
        seen[key] += 1
        number = seen[key]
        if event.departed_ms >= TEST_FROM_MS and number < len(of_key[key]):
            said.append(found[key][number - 1].outputs["late"].probability)
            late.append(of_key[key][number].is_late)
    area = area_under_roc(np.array(late), np.array(said, np.float32))
    assert len(said) == head["events"]
    assert area == head["memory"]["auc"]
    print(f"\nAUC {area:.4f} with memory, {head['memoryless']['auc']:.4f} without, naive {head['naive']['auc']:.4f}, over {len(said)} events")  # fmt: skip
