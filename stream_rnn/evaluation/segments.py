"""Groups of events in which metrics are computed separately."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.event_time import TIME_MS_MAX, TIME_MS_MIN
from stream_rnn.keys import describe_key

BINS_MAX = 8
TIMES_MAX = 24
KEYS_MAX = 12
DAY_MS = 86_400_000

Groups = list[tuple[str, NDArray[np.intp]]]  # name, indices of its events


def by_steps(steps: NDArray[np.int64]) -> Groups:
    """Group events by the number of events in the memory of their predictions."""
    return _by_quantiles(steps)


def by_key(key: NDArray[np.int64], chosen: NDArray[np.bool_], keys: Sequence[bytes]) -> Groups:
    """Group the chosen events by their key if they have few, with the most events first.

    If the events have many keys, group them by the number of events that their key has in the whole
    log.

    Args:
        key: Key index of every event, (N,).
        chosen: Mask (N,) of the events to group.
        keys: The K keys.
    """
    of_chosen = key[chosen]
    number, counts = np.unique(of_chosen, return_counts=True)
    if has_few_keys(len(number)):
        order = number[np.argsort(-counts, kind="stable")].tolist()
        return [(describe_key(keys[n]), np.flatnonzero(of_chosen == n)) for n in order]
    return _by_quantiles(np.bincount(key)[key][chosen] if len(key) else key)


def has_few_keys(keys: int) -> bool:
    """Return whether there are so few keys that each of them is a group of its own."""
    return keys <= KEYS_MAX


def by_time(time_ms: NDArray[np.int64]) -> Groups:
    """Group events by event time into spans of equal length, named by their start.

    A name is a day for long spans, else a time, with milliseconds for spans shorter than a second,
    so no two names are equal.
    """
    if not len(time_ms):
        return []
    first, last = int(time_ms.min()), int(time_ms.max())
    spans = min(TIMES_MAX, len(time_ms), last - first + 1)
    edges = np.linspace(first, last + 1, spans + 1)
    span_of = np.clip(np.searchsorted(edges, time_ms, side="right") - 1, 0, spans - 1)
    groups = []
    for span in range(spans):
        events = np.flatnonzero(span_of == span)
        if len(events):
            groups.append((_format_start(float(edges[span]), (last - first) / spans), events))
    return groups


def _by_quantiles(values: NDArray[np.int64]) -> Groups:
    """Group events by an integer, into at most ``BINS_MAX`` groups of similar size.

    Each group ends at a quantile, rounded to two digits: fixed limits would put all events with
    long memories into one group.  Events with equal values share a group; no group is empty.
    """
    if not len(values):
        return []
    shares = np.arange(1, BINS_MAX) / BINS_MAX
    ends = np.quantile(values, shares, method="inverted_cdf").tolist()
    rounded = {int(float(f"{end:.2g}")) for end in ends}
    limits = [*sorted(end for end in rounded if end < values.max()), int(values.max())]
    bin_of = np.searchsorted(limits, values)
    groups, low = [], int(values.min())
    for bin_index, high in enumerate(limits):
        events = np.flatnonzero(bin_of == bin_index)
        if len(events):
            groups.append((f"{low:,}" if low == high else f"{low:,}-{high:,}", events))
            low = high + 1
    return groups


def _format_start(ms: float, span_ms: float) -> str:
    start_ms = int(min(max(ms, TIME_MS_MIN), TIME_MS_MAX) // 1)
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start_ms)
    if span_ms > 2 * DAY_MS:
        return start.date().isoformat()
    timespec = "milliseconds" if 0 < span_ms < 1000 else "seconds"
    return start.isoformat(timespec=timespec).removesuffix("+00:00")
