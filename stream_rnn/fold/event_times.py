"""The event times of the events in a micro-batch, and the errors of those without a valid one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import FeatureError, RecordError
from stream_rnn.fold.event_time import TIME_MS_MAX, latest_ms, parse_numbers_ms, parse_time_ms
from stream_rnn.model.event import EventTime
from stream_rnn.settings import Settings

NO_TIMESTAMP = -1
STAMP_MAX = 1 << 62


class EventTimes:
    """Reads event times.

    Args:
        time: Event time of the spec; ``None`` takes the timestamps of the records.
        settings: Limits of event times.
    """

    def __init__(self, time: EventTime | None, settings: Settings) -> None:
        self._time, self._settings = time, settings
        self._time_ms_max = latest_ms(settings.event_year_max)

    def read(
        self,
        raws: Sequence[Any],
        timestamps: NDArray[np.int64],
        numbers: NDArray[Any] | None = None,
    ) -> tuple[NDArray[np.int64], dict[int, RecordError]]:
        """Return event times in ms, and the errors of the events without a valid time.

        Args:
            raws: N values of the field of the event time; ignored if there is none.
            timestamps: (N,) Timestamps of the records.
            numbers: (N,) The same values as an array of int64 or float64, if they are all numbers.
        """
        errors: dict[int, RecordError] = {}
        if self._time is None:
            times = timestamps.copy()
            for i in np.flatnonzero(timestamps < 0).tolist():
                errors[i] = FeatureError("no_timestamp", "the record has no timestamp")
            for i in np.flatnonzero(timestamps > TIME_MS_MAX).tolist():
                message = "the record's timestamp lies beyond the year 9999"
                errors[i] = FeatureError("time_out_of_bounds", message)
        else:
            rounded = parse_numbers_ms(raws if numbers is None else numbers, self._time.unit)
            times = np.zeros(len(timestamps), np.int64) if rounded is None else rounded
            if rounded is None:
                for i, raw in enumerate(raws):
                    try:
                        times[i] = parse_time_ms(raw, self._time)
                    except RecordError as error:
                        errors[i] = error
        if self._settings.event_year_max is not None:
            self._check_year(times, timestamps, errors)
        self._check_ahead(times, timestamps, errors)
        return times, errors

    def _check_year(
        self,
        times: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        errors: dict[int, RecordError],
    ) -> None:
        """Add the errors of the events after the last year."""
        for i in np.flatnonzero(np.maximum(times, timestamps) > self._time_ms_max).tolist():
            what = "event time" if times[i] > self._time_ms_max else "record's timestamp"
            message = f"the {what} lies beyond event_year_max {self._settings.event_year_max}"
            errors.setdefault(i, FeatureError("time_out_of_bounds", message))

    def _check_ahead(
        self,
        times: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        errors: dict[int, RecordError],
    ) -> None:
        """Add the errors of the events that are too far ahead of their records."""
        # A timestamp may be any int64; it is clipped so that the difference cannot overflow.
        is_usual = (
            timestamps.min(initial=0) >= -STAMP_MAX and timestamps.max(initial=0) <= STAMP_MAX
        )
        stamps = timestamps if is_usual else np.clip(timestamps, -STAMP_MAX, STAMP_MAX)
        ahead = times - stamps > self._settings.event_time_ahead_max_s * 1000
        for i in np.flatnonzero(ahead & (timestamps != NO_TIMESTAMP)).tolist():
            seconds = (int(times[i]) - int(timestamps[i])) / 1000
            limit = self._settings.event_time_ahead_max_s
            message = (
                f"the event is {seconds:.0f} s later than its record's timestamp; "
                f"event_time_ahead_max_s is {limit:g}"
            )
            errors.setdefault(i, FeatureError("time_ahead", message))
