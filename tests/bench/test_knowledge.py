"""Knowledge tracing with ``lag``, compared with the best possible prediction of a simulator.

    pytest -m bench tests/bench/test_knowledge.py -s

The network sees which question a student gets and the answers to all earlier ones.  The forward
algorithm with the simulator's own parameters gives the Bayes-optimal AUC.  The test asserts that
figures are equal offline and streamed, not that they are good.
"""

import statistics
from itertools import product

import numpy as np
import pytest

from stream_rnn.metrics.scores import area_under_roc
from tests.bench.knowledge import (
    BEGINS,
    LEVELS,
    PACES,
    RISES,
    Course,
    best_predictions,
    simulate,
    transition,
)
from tests.bench.real_logs import SPECS
from tests.bench.streamed import StreamedLog, command, evaluate_offline

STUDENTS, ANSWERS = 2000, 50
SEEDS = (1, 2, 3)
RECIPE = (
    "--split=column:part",
    "--hidden=64",
    "--epochs=15",
    "--window=50",
    "--batch-sequences=32",
    "--learning-rate=0.005",
)


def test_the_best_prediction_sums_over_all_hidden_paths():
    """The forward algorithm agrees with the definition of a conditional probability."""
    course = simulate(1, 4, seed=3)
    questions, answers = course.question[0].tolist(), course.is_right[0].tolist()
    for at in range(4):
        both = [_probability(course, questions, [*answers[:at], last]) for last in (False, True)]
        assert best_predictions(course)[0, at] == pytest.approx(both[1] / sum(both))


def _probability(course: Course, questions, answers) -> float:
    """Return the probability of the answers: a sum over paces and the levels at each answer."""
    total = 0.0
    for pace, share in enumerate(PACES.tolist()):
        moves = transition(RISES[pace])
        for levels in product(range(LEVELS), repeat=len(answers)):
            chance, latest = share, {}
            for question, is_right, level in zip(questions, answers, levels, strict=False):
                skill = int(course.skill[question])
                chance *= moves[latest[skill], level] if skill in latest else BEGINS[pace, level]
                right = course.right[question, level]
                chance *= right if is_right else 1 - right
                latest[skill] = level
            total += chance
    return total


@pytest.mark.bench
@pytest.mark.timeout(3600)
async def test_right_answers(app_id, bootstrap_servers, redis_url, tmp_path):
    """Models of the answers have the same AUC streamed through a worker as offline."""
    course = simulate(STUDENTS, ANSWERS, seed=1)
    frame = course.frame()
    log, spec = tmp_path / "knowledge.jsonl", SPECS / "knowledge.toml"
    frame.write_ndjson(log)
    is_test = (frame["part"] == "test").to_numpy().reshape(ANSWERS, STUDENTS).T  # (S, T)
    right = course.is_right[is_test]
    best = area_under_roc(right, best_predictions(course)[is_test])
    streamed = StreamedLog(app_id, bootstrap_servers, redis_url, tmp_path)
    streamed.send(log, f"--spec={spec}", "--without=part")
    rows = []
    for seed in SEEDS:
        bundle = tmp_path / f"seed-{seed}"
        command("train", log, f"--spec={spec}", f"--out={bundle}", f"--seed={seed}", *RECIPE)
        offline = evaluate_offline(log, f"--bundle={bundle}", "--split=column:part")["heads"][
            "right"
        ]
        predictions = await streamed.predictions(bundle, len(frame))
        predicted = np.array(
            [
                [prediction.outputs["right"].probability for prediction in predictions[str(s)]]
                for s in range(STUDENTS)
            ],
            np.float32,
        )
        area = area_under_roc(right, predicted[is_test])
        assert offline["events"] == len(right)
        assert area == offline["memory"]["auc"]
        rows.append((area, offline["memoryless"]["auc"], offline["naive"]["auc"]))
        print(f"\nseed {seed}: AUC {area:.4f} with memory, {rows[-1][1]:.4f} without, naive {rows[-1][2]:.4f}")  # fmt: skip
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    share = (means[0] - means[1]) / (best - means[1])
    print(f"mean of {len(rows)} seeds: AUC {means[0]:.4f}, memoryless {means[1]:.4f}, naive {means[2]:.4f}, Bayes-optimal {best:.4f}: {share:.1%} of the way from memoryless to the best possible")  # fmt: skip
