"""A help desk's next activity and the time until it, compared with Tax et al. 2017.

    STREAM_RNN_DATA=... pytest -m bench tests/bench/test_helpdesk.py -s

Prefixes of at least two events of the test cases are scored if they have a next event, as in the
authors' evaluate_next_activity_and_time.py (github.com/verenich/ProcessSequencePrediction).  Their
script also stops at the length of the longest training case, which no test case reaches.  The test
asserts that figures are equal offline and streamed, not that they are good.

Five folds of the training cases chose the recipe, without the test cases (accuracy, MAE in days;
the standard error of a MAE is about 0.095):

    this recipe                                                 0.787, 3.531
    a GRU, with 40 epochs and a rate of 0.002                   0.787, 3.543
    dropout 0.4 and averaged weights                            0.788, 3.581
        with the weekday as a category                          0.788, 3.593
        of a GRU, with 50 epochs                                0.787, 3.552
    the median of the days, by a quantile head                  0.790, 3.543
    quantiles 0.3, 0.5, 0.7 of the days, the middle one served  0.790, 3.555
    quantiles 0.25, 0.5, 0.75 as a third head beside the time   0.788, 3.538
    the quarter of the year as a category                       0.793, 3.547
    time since the start (log) and the last event, in days      0.788, 3.552

Gradient-boosted trees with an absolute loss on the same features and the length of the prefix reach
3.497, without the day 3.550.  Waits of more than 16 days are 7 % of the scored rows of the training
cases, and 46 % of all their waiting.
"""

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import TypeAdapter

from stream_rnn.metrics.scores import score
from stream_rnn.model.heads import Head
from tests.bench.real_logs import HELPDESK, SPECS, folder, helpdesk
from tests.bench.streamed import StreamedLog, command, evaluate_offline

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SEEDS = (1, 2, 3)
DAY_S = 86_400
RECIPE = (
    "--split=column:part",
    "--cell=lstm",
    "--epochs=30",
    "--patience=8",
    "--window=16",
    "--batch-sequences=100",
    "--dropout=0.2",
    "--number-loss=l1",
)
PUBLISHED = {"Tax 2017, best": (0.7123, 3.75), "CNN (Pasquadibisceglie 2019)": (0.7393, None)}


async def test_next_activity_and_time(app_id, bootstrap_servers, redis_url, tmp_path):
    """Models of the help desk have the same figures streamed through a worker as offline."""
    frame = helpdesk(folder(HELPDESK))
    log, spec = tmp_path / "helpdesk.csv", SPECS / "helpdesk.toml"
    frame.write_csv(log)
    streamed = StreamedLog(app_id, bootstrap_servers, redis_url, tmp_path)
    streamed.send(log, f"--spec={spec}", "--without=part")
    rows = _scored_rows(frame)
    for seed in SEEDS:
        bundle = tmp_path / f"seed-{seed}"
        command("train", log, f"--spec={spec}", f"--out={bundle}", f"--seed={seed}", *RECIPE)
        offline = evaluate_offline(
            log, f"--bundle={bundle}", "--split=column:part", "--steps-min=2"
        )
        predictions = await streamed.predictions(bundle, len(frame))
        scored = [predictions[case][k - 1] for case, k, _, _ in rows]
        right = [p.outputs["next"].label == after for p, (_, _, after, _) in zip(scored, rows, strict=True)]  # fmt: skip
        waits = np.array([p.outputs["wait"].value for p in scored], np.float32)
        head = TypeAdapter(Head).validate_python({"kind": "time_to_next", "name": "wait"})
        mae = score(head, waits, np.log1p([wait for _, _, _, wait in rows]))["mae"]
        heads = offline["heads"]
        assert heads["wait"]["events"] == len(rows)
        assert mae == heads["wait"]["memory"]["mae"]
        assert float(np.mean(right)) == heads["next"]["memory"]["accuracy"]
        print(f"\nseed {seed}: accuracy {np.mean(right):.4f}, MAE {mae / DAY_S:.3f} days over {len(rows)} rows; memoryless {heads['next']['memoryless']['accuracy']:.4f}, {heads['wait']['memoryless']['mae'] / DAY_S:.3f}; naive {heads['next']['naive']['accuracy']:.4f}, {heads['wait']['naive']['mae'] / DAY_S:.3f}")  # fmt: skip
    for name, (accuracy, days) in PUBLISHED.items():
        print(f"published {name}: accuracy {accuracy}, MAE {days or '-'} days")


def _scored_rows(frame) -> list[tuple[str, int, str, float]]:
    """Return case, prefix length, next activity and seconds to it, in the order of the file."""
    cases: dict[int, list[tuple[int, str, float]]] = {}
    for row, (case, activity, at, part, _) in enumerate(frame.iter_rows()):
        if part == "test":
            seconds = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
            cases.setdefault(case, []).append((row, activity, seconds))
    prefixes = [
        (events[k - 1][0], str(case), k, events[k][1], events[k][2] - events[k - 1][2])
        for case, events in cases.items()
        for k in range(2, len(events))
    ]
    return [(case, k, activity, wait) for _, case, k, activity, wait in sorted(prefixes)]
