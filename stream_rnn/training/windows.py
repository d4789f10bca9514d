"""Windows: which events of which runs go through the network together.

All keys run side by side, window after window, so that the hidden state at the end of a window is
the begin of the next one.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.training.examples import Examples

MEMORYLESS_BATCH = 512
MIXED = 3.0  # runs are mixed with those up to so many times as long, not with any: padding costs

Window = tuple[slice, NDArray[np.int64], NDArray[np.bool_]]


def windows(
    examples: Examples, steps: int, runs_max: int, part_max: int, *, mixed: bool = False
) -> list[Window]:
    """Cut runs, in groups of like length, into windows, up to the last with a part that counts.

    Args:
        examples: what is cut.
        steps: T, of one window.
        runs_max: at most so many runs side by side.
        part_max: 0 up to the last training event, 1 validation, 2 test.
        mixed: which runs go together, and which group comes first, is drawn anew, by torch's
            random state; else the longest come first.

    Returns:
        Places of A runs, their events (A, T), and which of them are real (A, T).
    """
    counts = examples.part <= part_max
    found: list[Window] = []
    at = 0
    for group in _groups(examples.runs.length, runs_max, mixed=mixed):
        lengths, first = examples.runs.length[group], examples.runs.first[group]
        cut: list[Window] = []
        for start in range(0, int(lengths[0]), steps):
            active = int(np.searchsorted(-lengths, -start, side="left"))
            places = first[:active, None] + np.arange(start, start + steps)
            end = (first + lengths)[:active, None]
            events = examples.runs.order[np.minimum(places, end - 1)]
            cut.append((slice(at, at + active), events, places < end))
        while cut and not counts[cut[-1][1]].any():
            cut.pop()
        found += cut
        at += len(group)
    return found


def _groups(length: NDArray[np.int64], runs_max: int, *, mixed: bool) -> list[NDArray[np.int64]]:
    """Return numbers of runs in groups of at most ``runs_max``, in each the longest first."""
    size = length.astype(np.float64)
    is_mixed = mixed and len(length) > runs_max
    if is_mixed:
        size *= MIXED ** torch.rand(len(length), dtype=torch.float64).numpy()
    by_size = np.argsort(-size, kind="stable")
    groups = [by_size[i : i + runs_max] for i in range(0, len(by_size), runs_max)]
    if is_mixed:
        groups = [groups[i] for i in torch.randperm(len(groups)).tolist()]
    return [group[np.argsort(-length[group], kind="stable")] for group in groups]


def shuffled(examples: Examples) -> list[Window]:
    """Cut events into batches in random order: without memory their order teaches nothing."""
    train = np.flatnonzero(examples.part == 0)
    mixed = train[torch.randperm(len(train)).numpy()]
    batches = np.array_split(mixed, max(1, len(mixed) // MEMORYLESS_BATCH))
    return [(slice(len(b)), b[:, None], np.ones((len(b), 1), bool)) for b in batches]
