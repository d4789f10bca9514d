"""Windows: which events of which runs go through the network together.

All keys run side by side, window after window, so that the hidden state at the end of a window is
the begin of the next one.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.model.examples import Examples

MEMORYLESS_BATCH = 512

Window = tuple[slice, NDArray[np.int64], NDArray[np.bool_]]


def windows(examples: Examples, steps: int, runs_max: int, part_max: int) -> list[Window]:
    """Cut runs, longest first, into windows, up to the last with a part that counts.

    Args:
        examples: what is cut.
        steps: T, of one window.
        runs_max: at most so many runs side by side.
        part_max: 0 up to the last training event, 1 validation, 2 test.

    Returns:
        Places of A runs, their events (A, T), and which of them are real (A, T).
    """
    longest_first = np.argsort(-examples.length, kind="stable")
    lengths, first = examples.length[longest_first], examples.first[longest_first]
    counts = examples.part <= part_max
    found: list[Window] = []
    for group in range(0, len(lengths), runs_max):
        cut: list[Window] = []
        for start in range(0, int(lengths[group]), steps):
            active = int(np.searchsorted(-lengths, -start, side="left"))
            runs = slice(group, min(group + runs_max, active))
            places = first[runs, None] + np.arange(start, start + steps)
            end = (first + lengths)[runs, None]
            cut.append((runs, examples.order[np.minimum(places, end - 1)], places < end))
        while cut and not counts[cut[-1][1]].any():
            cut.pop()
        found += cut
    return found


def shuffled(examples: Examples) -> list[Window]:
    """Cut events into batches in random order: without memory their order teaches nothing."""
    train = np.flatnonzero(examples.part == 0)
    mixed = train[torch.randperm(len(train)).numpy()]
    batches = np.array_split(mixed, max(1, len(mixed) // MEMORYLESS_BATCH))
    return [(slice(len(b)), b[:, None], np.ones((len(b), 1), bool)) for b in batches]
