"""Splits of a log into a training part, a validation part and a test part.

    time:0.8          The first 80 % of the events by event time train.
    time:2013-09-01   Events before this time (UTC) train.
    key:0.8           80 % of the keys train.
    column:NAME       The field NAME of an event is ``train``, ``validation`` or ``test``.

With ``time`` and ``key``, the last 15 % of the events or keys that train form the validation part.
A prediction belongs to the part of the event at which it is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold.event_time import parse_iso8601_ms
from stream_rnn.replay.files import partition_of

VALIDATION = 0.15
BUCKETS = 10_000
PART_NAMES = ("training", "validation", "test")
PARTS = {"train": 0, **{name: number for number, name in enumerate(PART_NAMES)}}


def column_of(split: str) -> str | None:
    """Return the split column; ``None`` if the split has none."""
    kind, _, value = split.partition(":")
    return value if kind == "column" and value else None


@dataclass(frozen=True, slots=True)
class SplitEvents:
    """N events, as a split reads them.

    Attributes:
        keys: The N record keys.
        time_ms: Event times (N,), in milliseconds since 1970.
        partition: Source partitions (N,).
        offset: Source offsets (N,).
        split_values: N values of the split column; empty if the split has no column.
    """

    keys: Sequence[bytes]
    time_ms: NDArray[np.int64]
    partition: NDArray[np.integer]
    offset: NDArray[np.int64]
    split_values: Sequence[Any] = ()


def split_parts(split: str, events: SplitEvents) -> NDArray[np.int8]:
    """Return the part (N,) of each event: 0 training, 1 validation, 2 test.

    Args:
        split: Split, in one of the forms of this module.
        events: Events to split.

    Raises:
        ConfigError: The split has no valid form, or leaves no event to train on.
    """
    kind, _, value = split.partition(":")
    match kind:
        case "time":
            return _by_time(value, split, events.time_ms)
        case "key":
            share = _share(value, f"split {split!r}")
            places = [partition_of(key, BUCKETS) / BUCKETS for key in events.keys]
            return _assign_parts(np.array(places), share * (1 - VALIDATION), share)
        case "column" if value:
            return _by_column(value, events)
    raise ConfigError(f"split {split!r} is none of time:0.8, time:2013-09-01, key:0.8, column:NAME")


def moment_ms(text: str, option: str, time_ms: NDArray[np.int64]) -> float:
    """Return the time that an option names, in milliseconds since 1970.

    Args:
        text: ISO 8601 time, or a share of the events by event time.
        option: Name of the option, for messages.
        time_ms: Event times (N,), in milliseconds since 1970.

    Raises:
        ConfigError: The text is neither a time nor a share.
    """
    if "-" not in text:
        return float(np.quantile(time_ms, _share(text, option)))
    try:
        return parse_iso8601_ms(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {text} is not an ISO 8601 time") from error


def _by_time(value: str, split: str, time_ms: NDArray[np.int64]) -> NDArray[np.int8]:
    test_from = moment_ms(value, f"split {split!r}", time_ms)
    before = time_ms[time_ms < test_from]
    if not len(before):
        raise ConfigError(f"split {split!r} leaves no event to train on")
    return _assign_parts(time_ms, float(np.quantile(before, 1 - VALIDATION)), test_from)


def _by_column(name: str, events: SplitEvents) -> NDArray[np.int8]:
    if all(value is None for value in events.split_values):
        raise ConfigError(f"split column {name}: no event has this field")
    parts = np.empty(len(events.split_values), np.int8)
    for i, value in enumerate(events.split_values):
        if value not in PARTS:
            place = f"partition {events.partition[i]} offset {events.offset[i]}"
            message = f"split column {name}: {place} has {value!r}, not train, validation or test"
            raise ConfigError(message)
        parts[i] = PARTS[value]
    return parts


def _assign_parts(values: NDArray[Any], validation: float, test: float) -> NDArray[np.int8]:
    return np.where(values >= test, 2, np.where(values >= validation, 1, 0)).astype(np.int8)


def _share(value: str, option: str) -> float:
    try:
        share = float(value)
    except ValueError as error:
        raise ConfigError(f"{option}: {value!r} is not a share between 0 and 1") from error
    if not 0 < share <= 1:
        raise ConfigError(f"{option}: {value} is not a share between 0 and 1")
    return share
