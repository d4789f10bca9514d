"""Surprise as a score of anomalies, without labels, beside other scores; prints figures.

pytest -m bench tests/bench/test_surprise.py -s

The log is that of ``machine_simulator.py``.  All models see the first 60 % of the time with its
anomalies, and no label; the rest is scored.  Figures are the area under the ROC curve over all scored
events: of all anomalies, and of each kind beside the normal events.

    memory      surprise of the network: the sum over the heads of surprise / its mean
    memoryless  the same of the memoryless baseline
    window      -log density of a Gaussian of the key's last W temperatures, plus -log frequency of
                the mode in them; W gives the normal-looking validation part the highest likelihood
    naive       -log frequency of the mode after the one before in training, plus the change of the
                temperature in standard deviations of the changes

The means and W come from the validation part.  The test asserts that the surprise is that of the
streamed predictions, bit for bit, not that it is good.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from stream_rnn import evaluate, train
from stream_rnn.metrics.scores import area_under_roc
from stream_rnn.model.bundle import load_bundle, save_bundle
from tests.bench.machine_simulator import simulate
from tests.bench.real_logs import SPECS
from tests.bench.streamed import StreamedLog

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SEEDS = (1, 2, 3)
MACHINES, EVENTS = 40, 800
SPLIT, TRAINED, VALIDATED = "time:0.6", 0.6 * 0.85, 0.6
WIDTHS = (10, 20, 40, 80)
HEADS = ("mode", "temperature")
MODES = 4


async def test_surprise_of_machines(app_id, bootstrap_servers, redis_url, tmp_path):
    """The figures of each seed, of the simulator and of training, and their means."""
    spec, figures = SPECS / "machines.toml", defaultdict(list)
    for seed in SEEDS:
        labelled = simulate(MACHINES, EVENTS, seed)
        log, bundle = labelled.drop("anomaly"), tmp_path / f"seed-{seed}"
        train(log, spec, bundle, split=SPLIT, seed=seed, hidden=32, threads=1)
        save_bundle(load_bundle(bundle / "memoryless"), tmp_path / "memoryless")
        tables = {
            "memory": evaluate(log, bundle, bootstrap_samples=0).to_polars(),
            "memoryless": evaluate(log, tmp_path / "memoryless", bootstrap_samples=0).to_polars(),
        }
        await _assert_streamed(tables["memory"], log, bundle, app_id, bootstrap_servers, redis_url)
        part = np.arange(len(log)) / len(log)
        scores = {name: _surprise(table, part) for name, table in tables.items()}
        scores["window"], width = _window(log, part)
        scores["naive"] = _naive(log, part)
        print(f"\nseed {seed}: {len(log):,} events, window {width}")
        for name, score in scores.items():
            of_kinds = _areas(score, labelled["anomaly"].to_list(), part >= VALIDATED)
            figures[name].append(of_kinds)
            print(f"{name:10}  {_line(of_kinds)}")
    print(f"\nmeans over seeds {SEEDS}")
    for name, rows in figures.items():
        print(f"{name:10}  {_line({k: float(np.mean([row[k] for row in rows])) for k in rows[0]})}")


def _line(areas: dict[str, float]) -> str:
    return "  ".join(f"{kind} {area:.3f}" for kind, area in areas.items())


def _areas(score: np.ndarray, labels: list[str], scored: np.ndarray) -> dict[str, float]:
    """Return the AUC of all anomalies, and of each kind beside normal events."""
    kind = np.array(labels)
    areas = {"all": area_under_roc(kind[scored] != "", score[scored])}
    for one in ("jump", "broken", "short"):
        chosen = scored & ((kind == "") | (kind == one))
        areas[one] = area_under_roc(kind[chosen] == one, score[chosen])
    return areas


def _surprise(table: pl.DataFrame, part: np.ndarray) -> np.ndarray:
    """Return the sum over the heads of the surprise, divided by its mean in the validation part."""
    total = np.zeros(len(table))
    for head in HEADS:
        values = table[f"{head}.surprise"].fill_null(0.0).to_numpy()
        total += values / values[(part >= TRAINED) & (part < VALIDATED)].mean()
    return total


def _window(log: pl.DataFrame, part: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the score of the width that is likeliest in the validation part, and this width."""
    chosen = (part >= TRAINED) & (part < VALIDATED)
    scores = {width: np.array(list(_windowed(log, width))) for width in WIDTHS}
    best = min(WIDTHS, key=lambda width: scores[width][chosen].mean())
    return scores[best], best


def _windowed(log: pl.DataFrame, width: int) -> Iterator[float]:
    """Yield -log likelihood of each event under the last events of its key."""
    last: dict[str, deque[tuple[str, float]]] = defaultdict(lambda: deque(maxlen=width))
    for machine, _, mode, temperature in log.iter_rows():
        window = last[machine]
        if len(window) < 2:
            yield 0.0
        else:
            values = np.array([value for _, value in window])
            std = max(float(values.std()), 1.0)
            same = sum(one == mode for one, _ in window)
            density = 0.5 * ((temperature - values.mean()) / std) ** 2 + np.log(std)
            yield float(density - np.log((same + 1) / (len(window) + MODES)))
        window.append((mode, temperature))


def _naive(log: pl.DataFrame, part: np.ndarray) -> np.ndarray:
    """Return the surprise of a first-order chain of modes and of a random walk of temperatures."""
    before: dict[str, tuple[str, float]] = {}
    pairs, changes = [], []
    for machine, _, mode, temperature in log.iter_rows():
        last_mode, last = before.get(machine, (mode, temperature))
        pairs.append((last_mode, mode))
        changes.append(abs(temperature - last))
        before[machine] = mode, temperature
    trained = int((part < TRAINED).sum())
    seen = Counter(pairs[:trained])
    of_last = Counter(last for last, _ in pairs[:trained])
    nats = [-np.log((seen[pair] + 1) / (of_last[pair[0]] + MODES)) for pair in pairs]
    return np.array(nats) + np.array(changes) / np.std(changes[:trained])


async def _assert_streamed(
    table: pl.DataFrame, log: pl.DataFrame, bundle, app_id, bootstrap_servers, redis_url
) -> None:
    """Assert that a worker publishes the surprise of the table."""
    place = f"{app_id}-{bundle.name}", bootstrap_servers, redis_url, bundle.parent
    streamed, path = StreamedLog(*place), bundle.parent / f"{bundle.name}.csv"
    log.write_csv(path)
    streamed.send(path, f"--spec={SPECS / 'machines.toml'}")
    predictions = await streamed.predictions(bundle, len(log))
    for key, of_key in table.partition_by("key", as_dict=True).items():
        found = [prediction.surprise for prediction in predictions[str(key[0])]]
        for head in HEADS:
            assert [one[head] for one in found] == of_key[f"{head}.surprise"].to_list()
