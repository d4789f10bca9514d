"""Windows: the events of several runs that the network steps through together.

All keys run in parallel, window after window, so that the hidden state at the end of a window is
the start of the next one.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.training.examples import Examples

MEMORYLESS_BATCH = 512
LENGTH_RATIO = 3.0  # about the largest ratio of lengths in a shuffled group: padding takes time

Window = tuple[slice, NDArray[np.int64], NDArray[np.bool_]]


def cut_windows(
    examples: Examples, steps: int, runs_max: int, part_max: int, *, is_shuffled: bool = False
) -> list[Window]:
    """Group runs of similar length, and cut each group into windows.

    Args:
        examples: Examples to cut.
        steps: Number of time steps of a window, T.
        runs_max: Maximum number of runs in a group.
        part_max: Last part to cover: 0 training, 1 validation, 2 test.  Windows after the last
            event of these parts are left out.
        is_shuffled: Whether the random state of torch draws the groups and their order; if false,
            the longest runs come first.

    Returns:
        For each window the slice of its A runs, their event indices (A, T), and a mask (A, T) that
        is false for padding.
    """
    is_covered = examples.part <= part_max
    result: list[Window] = []
    at = 0
    for group in _group_runs(examples.runs.length, runs_max, is_shuffled=is_shuffled):
        lengths, first = examples.runs.length[group], examples.runs.first[group]
        cut: list[Window] = []
        for start in range(0, int(lengths[0]), steps):
            active = int(np.searchsorted(-lengths, -start, side="left"))
            places = first[:active, None] + np.arange(start, start + steps)
            end = (first + lengths)[:active, None]
            events = examples.runs.order[np.minimum(places, end - 1)]
            cut.append((slice(at, at + active), events, places < end))
        while cut and not is_covered[cut[-1][1]].any():
            cut.pop()
        result += cut
        at += len(group)
    return result


def _group_runs(
    length: NDArray[np.int64], runs_max: int, *, is_shuffled: bool
) -> list[NDArray[np.int64]]:
    """Return groups of at most ``runs_max`` run indices, each with the longest run first."""
    size = length.astype(np.float64)
    is_shuffled = is_shuffled and len(length) > runs_max
    if is_shuffled:
        size *= LENGTH_RATIO ** torch.rand(len(length), dtype=torch.float64).numpy()
    by_size = np.argsort(-size, kind="stable")
    groups = [by_size[i : i + runs_max] for i in range(0, len(by_size), runs_max)]
    if is_shuffled:
        groups = [groups[i] for i in torch.randperm(len(groups)).tolist()]
    return [group[np.argsort(-length[group], kind="stable")] for group in groups]


def shuffle_batches(examples: Examples) -> list[Window]:
    """Return batches of single training events in random order, for a network without memory."""
    train = np.flatnonzero(examples.part == 0)
    events = train[torch.randperm(len(train)).numpy()]
    batches = np.array_split(events, max(1, len(events) // MEMORYLESS_BATCH))
    return [(slice(len(b)), b[:, None], np.ones((len(b), 1), bool)) for b in batches]
