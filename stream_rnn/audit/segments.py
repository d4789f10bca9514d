"""Which parts of a range are folded again, and from where."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.audit.published import NO_ORIGIN, ORIGINS_MAX, Published


@dataclass(frozen=True, slots=True)
class Segment:
    """What is folded again at once.

    Attributes:
        number: of its origin, as in ``Published.origin``.
        begin: where the replay begins.
        end: the offset after the last one.
        before: offsets from the origin to the begin; ``None``: nobody knows the origin.
    """

    number: int
    begin: int
    end: int
    before: int | None


def segments_of(
    published: Published, owner: NDArray[np.uint8], otherwise: int | None
) -> list[Segment]:
    """Return one segment for each origin that predictions name.

    Args:
        published: the predictions.
        owner: (N,) whose each offset is; see :func:`owners`.
        otherwise: the origin where there is no prediction, if anything else names it.
    """
    start, end = published.start, published.end
    if not published.origins:
        if otherwise is None:
            return [Segment(NO_ORIGIN, start, end, None)]
        begin = max(otherwise, start)
        return [Segment(NO_ORIGIN, begin, end, begin - otherwise)] if begin < end else []
    found = []
    for number, origin in enumerate(published.origins):
        own = np.flatnonzero(owner == number)
        begin = max(origin, start)
        if len(own) and begin < start + int(own[-1]) + 1:
            found.append(Segment(number, begin, start + int(own[-1]) + 1, begin - origin))
    return found


def owners(origin: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return whose each offset is: where nothing was published, the one's before it."""
    known = origin < ORIGINS_MAX
    if not known.any():
        return origin
    last = np.maximum.accumulate(np.where(known, np.arange(len(origin)), -1))
    first = int(np.argmax(known))
    return origin[np.where(last < 0, first, last)]
