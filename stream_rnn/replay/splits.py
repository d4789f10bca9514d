"""Which part of a log trains, which chooses the epoch, and which is only scored.

    time:0.8          the first 80 % of events by event time train
    time:2013-09-01   events before that moment (UTC) train
    key:0.8           80 % of the keys train
    column:NAME       the field says ``train``, ``validation`` or ``test``

With ``time`` and ``key``, the last 15 % of what trains is the validation part.  Splits go by the
event that predicts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold.events import Record
from stream_rnn.replay.files import partition_of

VALIDATION = 0.15
BUCKETS = 10_000
PARTS = {"train": 0, "training": 0, "validation": 1, "test": 2}


def split_parts(
    split: str, records: Sequence[Record], rows: NDArray[np.int64], time_ms: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Return the part of each event: 0 training, 1 validation, 2 test.

    Args:
        split: see the module.
        records: the log.
        rows: (N,) the record of each event.
        time_ms: (N,) event times.

    Raises:
        ConfigError: the split is none of these.
    """
    kind, _, value = split.partition(":")
    match kind:
        case "time":
            return _by_time(value, split, time_ms)
        case "key":
            share = _share(value, split)
            places = [partition_of(records[row].key, BUCKETS) / BUCKETS for row in rows.tolist()]
            return _cut(np.array(places), share * (1 - VALIDATION), share)
        case "column" if value:
            return _by_column(value, records, rows)
    raise ConfigError(f"split {split!r} is none of time:0.8, time:2013-09-01, key:0.8, column:NAME")


def _by_time(value: str, split: str, time_ms: NDArray[np.int64]) -> NDArray[np.int8]:
    if "-" in value:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ConfigError(f"split {split!r}: {value} is not an ISO 8601 date") from error
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        test_from = zoned.timestamp() * 1000
    else:
        test_from = float(np.quantile(time_ms, _share(value, split)))
    before = time_ms[time_ms < test_from]
    if not len(before):
        raise ConfigError(f"split {split!r} leaves no event to train on")
    return _cut(time_ms, float(np.quantile(before, 1 - VALIDATION)), test_from)


def _by_column(name: str, records: Sequence[Record], rows: NDArray[np.int64]) -> NDArray[np.int8]:
    parts = np.empty(len(rows), np.int8)
    for i, row in enumerate(rows.tolist()):
        said = orjson.loads(records[row].value or b"{}").get(name)
        if said not in PARTS:
            message = f"split column {name}: row {row} says {said!r}, not train, validation or test"
            raise ConfigError(message)
        parts[i] = PARTS[said]
    return parts


def _cut(values: NDArray[Any], validation: float, test: float) -> NDArray[np.int8]:
    return np.where(values >= test, 2, np.where(values >= validation, 1, 0)).astype(np.int8)


def _share(value: str, split: str) -> float:
    try:
        share = float(value)
    except ValueError as error:
        raise ConfigError(f"split {split!r}: {value!r} is not a share between 0 and 1") from error
    if not 0 < share <= 1:
        raise ConfigError(f"split {split!r}: {value} is not a share between 0 and 1")
    return share
