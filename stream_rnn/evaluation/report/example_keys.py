"""Example keys of an evaluation: their choice, and pictures of the network unrolled over them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.result import Evaluation, HeadEvaluation
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.model.bundle import load_bundle
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import FileLog, Log
from stream_rnn.settings import Settings
from stream_rnn.trace.find_key import unroll_log
from stream_rnn.trace.svg import unrolled_svg

PICTURE_STEPS = 100


def pictures(
    log: Log, bundle: Path, settings: Settings, evaluation: Evaluation
) -> list[tuple[str, str]]:
    """Unroll the network over the example keys of an evaluation.

    Returns:
        The title and the SVG of each picture.
    """
    model, drawn = load_bundle(bundle), []

    async def draw() -> None:
        async with log:
            for why, partition, key in evaluation.shown:
                in_partition = None if isinstance(log, FileLog) else partition
                unrolled = await unroll_log(
                    log, model, settings, parse_key(key), partition=in_partition, last=PICTURE_STEPS
                )
                drawn.append((f"{key}: {why}", unrolled_svg(unrolled)))

    run_coroutine(draw())
    return drawn


def pick_example_keys(
    predictions: PredictionsWithTargets, heads: Mapping[str, HeadEvaluation]
) -> tuple[tuple[str, int, str], ...]:
    """Choose up to three keys: the most events, the median number of events, the largest error.

    Returns:
        The reason, the partition and the key of each.
    """
    counts = np.bincount(predictions.key, minlength=len(predictions.keys))
    order = np.argsort(counts, kind="stable")
    chosen: dict[str, tuple[str, int, str]] = {}
    for number, why in ((order[-1], "most events"), (order[len(order) // 2], "a typical key")):
        key = describe_key(predictions.keys[int(number)])
        partition = int(predictions.partition[int(np.argmax(predictions.key == number))])
        chosen.setdefault(key, (f"{why}, {int(counts[number])}", partition, key))
    for head in heads.values():
        for error in head.largest[:1]:
            reason = f"the largest error of {head.name}"
            chosen.setdefault(error.key, (reason, error.partition, error.key))
    return tuple(chosen.values())[:3]
