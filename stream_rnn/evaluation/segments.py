"""Groups of events in which a model is looked at apart."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.decoder import TIME_MS_MAX, TIME_MS_MIN

BINS_MAX = 8
TIMES_MAX = 24
DAY_MS = 86_400_000

Groups = list[tuple[str, NDArray[np.intp]]]  # name, and the numbers of the events in it


def by_steps(steps: NDArray[np.int64]) -> Groups:
    """Group events by the number of events in the memory that answered."""
    return _by_quantiles(steps)


def by_key(key: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Groups:
    """Group chosen events by how many events their key has in the whole log.

    Args:
        key: (N,) of all events.
        chosen: (N,) which of them are grouped.
    """
    return _by_quantiles(np.bincount(key)[key][chosen] if len(key) else key)


def by_time(time_ms: NDArray[np.int64]) -> Groups:
    """Group events by event time into spans of equal length, named by their begin."""
    if not len(time_ms):
        return []
    first, last = int(time_ms.min()), int(time_ms.max())
    spans = min(TIMES_MAX, len(time_ms))
    edges = np.linspace(first, last + 1, spans + 1)
    number = np.clip(np.searchsorted(edges, time_ms, side="right") - 1, 0, spans - 1)
    found = []
    for span in range(spans):
        events = np.flatnonzero(number == span)
        if len(events):
            found.append((_name(float(edges[span]), last - first), events))
    return found


def _by_quantiles(values: NDArray[np.int64]) -> Groups:
    """Group events by whole numbers: at most ``BINS_MAX`` groups of about as many events each.

    A group ends at a quantile, rounded to two digits.  Fixed limits would put all events of long
    memories into one group.  Events with the same number are in the same group, and none is empty.
    """
    if not len(values):
        return []
    shares = np.arange(1, BINS_MAX) / BINS_MAX
    ends = np.quantile(values, shares, method="inverted_cdf").tolist()
    rounded = {int(float(f"{end:.2g}")) for end in ends}
    limits = [*sorted(end for end in rounded if end < values.max()), int(values.max())]
    bin_of = np.searchsorted(limits, values)
    found, low = [], int(values.min())
    for place, high in enumerate(limits):
        events = np.flatnonzero(bin_of == place)
        if len(events):
            found.append((f"{low:,}" if low == high else f"{low:,}-{high:,}", events))
            low = high + 1
    return found


def _name(ms: float, span_ms: int) -> str:
    moment = datetime.fromtimestamp(min(max(ms, TIME_MS_MIN), TIME_MS_MAX) / 1000, UTC)
    text = moment.isoformat(timespec="seconds")[:19]
    return text[:10] if span_ms > TIMES_MAX * 2 * DAY_MS else text
