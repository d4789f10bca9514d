"""Remaining life of NASA's turbofans FD001, compared with published results.

    STREAM_RNN_DATA=... pytest -m bench tests/bench/test_engines.py -s

The test asserts that figures are equal offline and streamed, not that they are good.

Five folds of the training engines chose the recipe, without the test engines (RMSE / score of 100
rows, from rows with 7 to 145 cycles left):

    equal weights                                    10.27 / 171
    one head of quantiles: 0.3, 0.35, 0.4            11.42 / 181, 11.12 / 181, 10.86 / 182
        0.45, 0.5                                    10.75 / 188, 10.70 / 197
    quantile 0.4 alone                               10.93 / 184
    equal weights, moved to the expectile of the held-out errors at an overestimate weight of
        1, 1.25, 1.5                                 10.27 / 172, 10.31 / 166, 10.38 / 163
        1.75, 2, 2.5, 3                              10.49 / 161, 10.60 / 160, 10.87 / 161, 11.14 / 163

Quantile heads are trained by an absolute error, which is worse than ``smooth_l1`` by both figures.
The weight 1.75 is the smallest one whose cross-validated score is within 1 % of the best, that of
2.0.  This rule was taken after these figures were seen, and after the test figures of equal weights
were known (RMSE 10.65, score 189), so it is not blind to either.  The rows of weights are figures
of shifted held-out predictions of networks trained with equal weights, not of networks trained with
the weight.
With a weight of 2, one fold was trained: RMSE 9.74, with equal weights 9.08.
"""

import statistics

import numpy as np
import pytest
from pydantic import TypeAdapter

from stream_rnn.metrics.scores import score
from stream_rnn.model.heads import Head
from tests.bench.real_logs import ENGINES, SPECS, engines, folder
from tests.bench.streamed import StreamedLog, command, evaluate_offline

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SEEDS = (1, 2, 3, 4, 5)
CAP = 125.0
RECIPE = (
    "--split=column:part",
    "--hidden=96",
    "--epochs=80",
    "--patience=80",
    "--window=400",
    "--batch-sequences=10",
    "--chrono-steps=100",
    "--noise=0.3",
    "--key-noise=0.2",
    "--dropout=0.2",
    "--ema-decay=0.98",
    "--overestimate-weight=1.75",
)
PUBLISHED = {
    "Deep LSTM (Zheng 2017)": (16.14, 338),
    "Bi-level LSTM": (11.80, 194),
    "MLE(4X)+CCF": (11.57, 208),
    "MS-DCNN": (11.44, 196.22),
    "MTSTAN": (10.97, 175.36),
}


def phm08(predicted, true) -> float:
    """Return the score of the PHM08 challenge, which penalizes late more than early predictions."""
    d = np.asarray(predicted) - np.asarray(true)
    return float(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1).sum())


async def test_remaining_life(app_id, bootstrap_servers, redis_url, tmp_path):
    """Models of the remaining life have the same errors streamed through a worker as offline."""
    frame = engines(folder(ENGINES))
    log, spec = tmp_path / "engines.csv", SPECS / "engines.toml"
    frame.write_csv(log)
    tests = frame.filter(frame["part"] == "test")
    units = tests["unit"].unique().to_list()
    ends = {u: tests.filter(tests["unit"] == u)["rul"].to_list() for u in units}
    streamed = StreamedLog(app_id, bootstrap_servers, redis_url, tmp_path)
    streamed.send(log, f"--spec={spec}", "--without=rul", "--without=part")
    head = TypeAdapter(Head).validate_python(
        {"kind": "regression", "name": "rul", "of": "now", "path": "rul", "cap": CAP}
    )
    rows = []
    for seed in SEEDS:
        bundle = tmp_path / f"seed-{seed}"
        command("train", log, f"--spec={spec}", f"--out={bundle}", f"--seed={seed}", *RECIPE)
        offline = evaluate_offline(log, f"--bundle={bundle}", "--split=column:part", "--only-last")[
            "heads"
        ]["rul"]
        predictions = await streamed.predictions(bundle, len(frame))
        by_end = sorted(units, key=lambda u: (len(ends[u]), u))  # the order of the rows in the file
        predicted = np.array(
            [predictions[str(u)][-1].outputs["rul"].value for u in by_end], np.float32
        )
        true = np.array([ends[u][-1] for u in by_end], np.float64)
        capped = np.minimum(true, CAP)
        figures = score(head, predicted, capped)
        assert figures["rmse"] == offline["memory"]["rmse"]
        assert figures["mae"] == offline["memory"]["mae"]
        uncapped = float(np.sqrt(np.mean((predicted - true) ** 2)))
        rows.append((figures["rmse"], phm08(predicted, capped), uncapped))
        print(f"\nseed {seed}: RMSE {rows[-1][0]:.2f}, score {rows[-1][1]:.0f}, uncapped RMSE {uncapped:.2f}, memoryless RMSE {offline['memoryless']['rmse']:.2f}")  # fmt: skip
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    print(f"mean of {len(rows)} seeds: RMSE {means[0]:.2f} (standard deviation {statistics.stdev(r[0] for r in rows):.2f}), score {means[1]:.0f}, uncapped RMSE {means[2]:.2f}")  # fmt: skip
    for name, (rmse, points) in PUBLISHED.items():
        print(f"published  {name:24} RMSE {rmse:.2f}, score {points}")
