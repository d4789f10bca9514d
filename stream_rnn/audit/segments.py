"""The segments of a range, each of which is folded again from one origin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.audit.published_predictions import NO_ORIGIN, ORIGINS_MAX, PublishedPredictions


@dataclass(frozen=True, slots=True)
class Segment:
    """Offsets that one replay folds.

    Attributes:
        origin_number: Index of the origin in ``PublishedPredictions.origins``, or ``NO_ORIGIN``.
        begin: First offset.
        end: Offset after the last one.
        offsets_before: Number of offsets from the origin to ``begin``; ``None`` if the origin is
            unknown.
    """

    origin_number: int
    begin: int
    end: int
    offsets_before: int | None


def segments_of(
    published: PublishedPredictions, origin_numbers: NDArray[np.uint8], default_origin: int | None
) -> list[Segment]:
    """Return one segment for each origin that predictions name.

    Args:
        published: The published predictions.
        origin_numbers: (N,) origin number of each offset; see :func:`assign_origins`.
        default_origin: Origin of the fold if there are no predictions; ``None`` if unknown.
    """
    start, end = published.start, published.end
    if not published.origins:
        if default_origin is None:
            return [Segment(NO_ORIGIN, start, end, None)]
        begin = max(default_origin, start)
        return [Segment(NO_ORIGIN, begin, end, begin - default_origin)] if begin < end else []
    segments = []
    for origin_number, origin in enumerate(published.origins):
        indices = np.flatnonzero(origin_numbers == origin_number)
        begin, stop = max(origin, start), start + int(indices[-1]) + 1 if len(indices) else start
        if begin < stop:
            segments.append(Segment(origin_number, begin, stop, begin - origin))
    return segments


def assign_origins(origin_number: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the origin number of each offset; an offset without one takes its predecessor's."""
    has_origin = origin_number < ORIGINS_MAX
    if not has_origin.any():
        return origin_number
    last = np.maximum.accumulate(np.where(has_origin, np.arange(len(origin_number)), -1))
    first = int(np.argmax(has_origin))
    return origin_number[np.where(last < 0, first, last)]
