"""Which part of a log trains, which chooses the epoch, and which is only scored.

    time:0.8          the first 80 % of events by event time train
    time:2013-09-01   events before that moment (UTC) train
    key:0.8           80 % of the keys train
    column:NAME       the field says ``train``, ``validation`` or ``test``

With ``time`` and ``key``, the last 15 % of what trains is the validation part.  Splits go by the
event that predicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import parse_iso8601_ms
from stream_rnn.replay.files import partition_of

VALIDATION = 0.15
BUCKETS = 10_000
PARTS = {"train": 0, "training": 0, "validation": 1, "test": 2}


def column_of(split: str) -> str | None:
    """Return the field that a split goes by, if it goes by one."""
    kind, _, value = split.partition(":")
    return value if kind == "column" and value else None


@dataclass(frozen=True, slots=True)
class Placed:
    """What a split looks at.  N events.

    Attributes:
        keys: N record keys.
        time_ms: (N,) event times.
        partition: (N,) source partitions.
        offset: (N,) source offsets.
        words: N values of the column of :func:`column_of`; empty if there is none.
    """

    keys: Sequence[bytes]
    time_ms: NDArray[np.int64]
    partition: NDArray[np.integer]
    offset: NDArray[np.int64]
    words: Sequence[Any] = ()


def split_parts(split: str, events: Placed) -> NDArray[np.int8]:
    """Return the part of each event: 0 training, 1 validation, 2 test.

    Args:
        split: see the module.
        events: what is split.

    Raises:
        ConfigError: the split is none of these, or a part that it needs would be empty.
    """
    kind, _, value = split.partition(":")
    match kind:
        case "time":
            return _by_time(value, split, events.time_ms)
        case "key":
            share = _share(value, f"split {split!r}")
            places = [partition_of(key, BUCKETS) / BUCKETS for key in events.keys]
            return _cut(np.array(places), share * (1 - VALIDATION), share)
        case "column" if value:
            return _by_column(value, events)
    raise ConfigError(f"split {split!r} is none of time:0.8, time:2013-09-01, key:0.8, column:NAME")


def moment_ms(text: str, option: str, time_ms: NDArray[np.int64]) -> float:
    """Return the time that a text means: a date, or a share of the events by event time.

    Raises:
        ConfigError: it is neither.
    """
    if "-" not in text:
        return float(np.quantile(time_ms, _share(text, option)))
    try:
        return parse_iso8601_ms(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {text} is not an ISO 8601 date") from error


def _by_time(value: str, split: str, time_ms: NDArray[np.int64]) -> NDArray[np.int8]:
    test_from = moment_ms(value, f"split {split!r}", time_ms)
    before = time_ms[time_ms < test_from]
    if not len(before):
        raise ConfigError(f"split {split!r} leaves no event to train on")
    return _cut(time_ms, float(np.quantile(before, 1 - VALIDATION)), test_from)


def _by_column(name: str, events: Placed) -> NDArray[np.int8]:
    parts = np.empty(len(events.words), np.int8)
    for i, word in enumerate(events.words):
        if word not in PARTS:
            place = f"partition {events.partition[i]} offset {events.offset[i]}"
            message = f"split column {name}: {place} says {word!r}, not train, validation or test"
            raise ConfigError(message)
        parts[i] = PARTS[word]
    return parts


def _cut(values: NDArray[Any], validation: float, test: float) -> NDArray[np.int8]:
    return np.where(values >= test, 2, np.where(values >= validation, 1, 0)).astype(np.int8)


def _share(value: str, option: str) -> float:
    try:
        share = float(value)
    except ValueError as error:
        raise ConfigError(f"{option}: {value!r} is not a share between 0 and 1") from error
    if not 0 < share <= 1:
        raise ConfigError(f"{option}: {value} is not a share between 0 and 1")
    return share
