"""Windows: the events of several runs that the network steps through together.

The runs of a group go in parallel, window after window, so that the hidden state at the end of a
window is the start of the next one.  Runs end at different events.  So a window consists of blocks:
the first block has all of its runs, each later one only those that have not ended.  A block ends
before padding takes more than a fifth of it, so the network steps hardly more often than there are
events, whatever the lengths of the runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.training.targets import Runs

STEPS_PER_EPOCH = 60
MEMORYLESS_BATCH_MIN, MEMORYLESS_BATCH_MAX = 32, 512
LENGTH_RATIO = 3.0  # about the largest ratio of lengths in a shuffled group
STEPS_MIN, STEPS_MAX = 64, 1024  # of a window whose length is chosen
FILL_MIN = 0.8  # minimum share of events in a block; the rest is padding


@dataclass(frozen=True, slots=True)
class Block:
    """Events of the A longest runs of a window, over T time steps.

    Attributes:
        events: Event indices (A, T).
        valid: Mask (A, T), which is false for padding.
    """

    events: NDArray[np.int64]
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a group of runs, as blocks one after the other.

    Attributes:
        runs: Places of the runs, the longest run first; no place has two runs.
        is_first: Whether the runs begin here, so that their hidden states are zeros.
        blocks: Blocks in the order of time, each with no more runs than the one before.
    """

    runs: slice
    is_first: bool
    blocks: tuple[Block, ...]

    @property
    def events(self) -> NDArray[np.int64]:
        """The event indices of all blocks, without padding."""
        return np.concatenate([block.events[block.valid] for block in self.blocks])


def cut_windows(
    runs: Runs,
    is_needed: NDArray[np.bool_],
    steps: int,
    events_max: int,
    runs_max: int | None = None,
    *,
    is_shuffled: bool = False,
) -> list[Window]:
    """Group runs of similar length, and cut each group into windows.

    Args:
        runs: Runs of N events.
        is_needed: Whether (N,) the output for an event is needed.  Events of a run after the last
            one that is needed are left out.
        steps: Number of time steps of a window, T.
        events_max: Number of events in the first window of a group from which it gets no more runs.
            A shorter run counts as half a window: else short runs would make few, large groups.
        runs_max: Maximum number of runs in a group; ``None`` for no maximum.
        is_shuffled: Whether the random state of torch draws the groups and their order; if false,
            the longest runs come first.
    """
    lengths = needed_lengths(runs, is_needed)
    result: list[Window] = []
    at = 0
    for group in _group_runs(lengths, steps, events_max, runs_max, is_shuffled=is_shuffled):
        length, first = lengths[group], runs.first[group]
        for start in range(0, int(length[0]), steps):
            active = int(np.searchsorted(-length, -start, side="left"))
            left = np.minimum(length[:active] - start, steps)
            blocks = tuple(_cut_blocks(runs.order, first[:active] + start, left))
            result.append(Window(slice(at, at + active), start == 0, blocks))
        at += len(group)
    return result


def choose_steps(runs: Runs, is_labelled: NDArray[np.bool_]) -> int:
    """Return a number of time steps for windows, so that most labels reach back to the one before.

    A label that comes once in hundreds of events, such as at the end of a key, teaches nothing
    about events before its window.

    Args:
        runs: Runs of N events.
        is_labelled: Whether (N,) an event has a label.
    """
    places = np.flatnonzero(is_labelled[runs.order])
    if not len(places):
        return STEPS_MIN
    begins = runs.first[np.searchsorted(runs.first, places, side="right") - 1]
    before = np.maximum(np.concatenate([[-1], places[:-1]]), begins - 1)
    reach = max(float(np.quantile(places - before, 0.9)), STEPS_MIN)
    return int(min(2 ** int(np.ceil(np.log2(reach))), STEPS_MAX))


def needed_lengths(runs: Runs, is_needed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number (R,) of events of each run up to its last needed one; 0 for none."""
    if not len(runs.first):
        return np.zeros(0, np.int64)
    at = np.where(is_needed[runs.order], np.arange(1, len(runs.order) + 1), 0)
    return np.maximum(np.maximum.reduceat(at, runs.first) - runs.first, 0)


def _cut_blocks(
    order: NDArray[np.int64], first: NDArray[np.int64], left: NDArray[np.int64]
) -> Iterator[Block]:
    """Yield the blocks of a window.

    Args:
        order: Event indices, run by run.
        first: Places (A,) in ``order`` of the first events of the window.
        left: Numbers (A,) of events in the window, descending.
    """
    active = np.searchsorted(-left, -np.arange(left[0]), side="left")  # (T,) runs at each step
    at = 0
    while at < len(active):
        rows = int(active[at])
        fill = np.cumsum(active[at:]) / (rows * np.arange(1, len(active) - at + 1))
        end = at + int(np.searchsorted(-fill, -FILL_MIN, side="right"))
        steps = np.arange(at, end)
        valid = steps < left[:rows, None]
        places = np.minimum(first[:rows, None] + steps, (first + left)[:rows, None] - 1)
        yield Block(order[places], valid)
        at = end


def _group_runs(
    length: NDArray[np.int64],
    steps: int,
    events_max: int,
    runs_max: int | None,
    *,
    is_shuffled: bool,
) -> list[NDArray[np.int64]]:
    """Return groups of run indices, each with the longest run first; no run without an event."""
    chosen = np.flatnonzero(length)
    size = length[chosen].astype(np.float64)
    if is_shuffled:
        size *= LENGTH_RATIO ** torch.rand(len(chosen), dtype=torch.float64).numpy()
    by_size = chosen[np.argsort(-size, kind="stable")]
    filled = np.cumsum(np.maximum(np.minimum(length[by_size], steps), steps // 2))
    groups = []
    at = done = 0
    while at < len(by_size):
        end = int(np.searchsorted(filled, done + events_max, side="left")) + 1
        end = min(end, len(by_size), at + (runs_max or len(by_size)))
        groups.append(by_size[at:end])
        at, done = end, int(filled[end - 1])
    if is_shuffled:
        groups = [groups[i] for i in torch.randperm(len(groups)).tolist()]
    return [group[np.argsort(-length[group], kind="stable")] for group in groups]


def single_events(events: NDArray[np.int64], events_max: int) -> Iterator[Window]:
    """Yield windows of single events in their order, for a network without memory."""
    for batch in np.array_split(events, -(-len(events) // events_max)) if len(events) else ():
        block = Block(batch[:, None], np.ones((len(batch), 1), bool))
        yield Window(slice(0, len(batch)), is_first=True, blocks=(block,))


def shuffle_batches(is_needed: NDArray[np.bool_]) -> list[Window]:
    """Return batches of single needed events in random order, for a network without memory.

    A small log has small batches: a baseline of fewer optimizer steps than the network with memory
    would be undertrained, and the memory would seem to be worth more than it is.
    """
    needed = np.flatnonzero(is_needed)
    events = needed[torch.randperm(len(needed)).numpy()]
    size = min(max(len(needed) // STEPS_PER_EPOCH, MEMORYLESS_BATCH_MIN), MEMORYLESS_BATCH_MAX)
    return list(single_events(events, size))
