"""Keys that an evaluation shows: which three, and the network unrolled over their events."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stream_rnn.evaluation.outcomes import PredictionsWithTargets
from stream_rnn.evaluation.result import Evaluation, HeadEvaluation
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.model.bundle import load_bundle
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import FileLog, Log
from stream_rnn.settings import Settings
from stream_rnn.trace.find_key import unroll_log
from stream_rnn.trace.svg import unrolled_svg

PICTURED = 100  # steps


def pictures(
    log: Log, bundle: Path, settings: Settings, found: Evaluation
) -> list[tuple[str, str]]:
    """Unroll the keys that an evaluation shows; return titles and drawings."""
    model, drawn = load_bundle(bundle), []

    async def draw() -> None:
        async with log:
            for why, partition, key in found.shown:
                place = None if isinstance(log, FileLog) else partition
                unrolled = await unroll_log(
                    log, model, settings, parse_key(key), partition=place, last=PICTURED
                )
                drawn.append((f"{key}: {why}", unrolled_svg(unrolled)))

    run_coroutine(draw())
    return drawn


def pick_example_keys(
    found: PredictionsWithTargets, heads: Mapping[str, HeadEvaluation]
) -> tuple[tuple[str, int, str], ...]:
    """Choose three keys: the one with most events, a usual one, and the worst predicted one."""
    counts = np.bincount(found.key, minlength=len(found.keys))
    order = np.argsort(counts, kind="stable")
    chosen: dict[str, tuple[str, int, str]] = {}
    for number, why in ((order[-1], "most events"), (order[len(order) // 2], "a usual key")):
        key = describe_key(found.keys[int(number)])
        where = int(found.partition[int(np.argmax(found.key == number))])
        chosen.setdefault(key, (f"{why}, {int(counts[number])}", where, key))
    for head in heads.values():
        for miss in head.largest[:1]:
            worst = (f"the largest error of {head.name}", miss.partition, miss.key)
            chosen.setdefault(miss.key, worst)
    return tuple(chosen.values())[:3]
