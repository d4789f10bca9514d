"""Predictions of an app's other folds: what must be right of them whatever their model is.

24 bytes an offset, once there is one.  What they say of outputs, steps and event times is their
own bundle's; whose record it is, is not.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.contents import content_of, digest_of, is_origin
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.predictions.writer import FORMAT

STAMPED = -(1 << 62)  # the broker's timestamp: nothing is known of it
WORDS = ("model", "fingerprint", "numerics")


class Others:
    """What other folds' predictions say of their records.

    Args:
        topic: of the source.
        partition: of the source.
        start: the first source offset.
        end: the one after the last.
    """

    def __init__(self, topic: str, partition: int, start: int, end: int) -> None:
        self._source, self._start, self._end = (topic, partition), start, end
        self._key: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._time: NDArray[np.int64] = np.zeros(0, np.int64)
        self._place: NDArray[np.int64] = np.zeros(0, np.int64)
        self._is_any = False

    # _place is that of a false one; -2 - that of the first one where none is known to be false; -1

    def take(self, record: ConsumerRecord, offset: int) -> None:
        """Take a prediction of another fold."""
        if not self._is_any:
            count, self._is_any = self._end - self._start, True
            self._key, self._time = np.zeros(count, np.uint64), np.zeros(count, np.int64)
            self._place = np.full(count, -1, np.int64)
        at, digest = offset - self._start, digest_of(repr(record.key).encode())
        time = STAMPED if record.timestamp_type == LOG_APPEND_TIME else record.timestamp
        is_right = self._is_right(record, offset)
        if self._place[at] == -1:  # the first one
            self._key[at], self._time[at], self._place[at] = digest, time, -2 - record.offset
        elif self._time[at] == STAMPED:
            is_right = is_right and int(self._key[at]) == digest
            self._time[at] = time
        else:
            is_right = is_right and int(self._key[at]) == digest
            is_right = is_right and time in (STAMPED, int(self._time[at]))
        if not is_right:
            self._place[at] = record.offset

    def false_of(self, record: Record) -> int | None:
        """Return where one stands that cannot be of a source record; ``None`` if there is none."""
        at = record.offset - self._start
        if not self._is_any or self._place[at] == -1:
            return None
        place = int(self._place[at])
        if place >= 0:
            return place
        is_right = int(self._key[at]) == digest_of(repr(record.key).encode())
        is_right = is_right and int(self._time[at]) in (STAMPED, record.timestamp)
        return None if is_right else -2 - place

    def _is_right(self, record: ConsumerRecord, offset: int) -> bool:
        """Tell whether a prediction has the shape of one, and says what its headers say."""
        content = content_of(record.value)
        if not is_origin(dict(record.headers)["sr-origin"], offset):
            return False
        if content.get("format") != FORMAT:
            return _is_whole(content.get("format"), 1)
        topic, partition = self._source
        return (
            content.get("source") == {"topic": topic, "partition": partition, "offset": offset}
            and _names_key(content, record.key)
            and all(isinstance(content.get(name), str) for name in WORDS)
            and _is_outputs(content.get("outputs"))
            and _is_whole(content.get("event_time_ms"), -(1 << 63))
            and _is_whole(content.get("steps"), 1)
            and content.get("cold") is (content["steps"] == 1)
        )


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_outputs(outputs: Any) -> bool:
    return isinstance(outputs, dict) and all(isinstance(one, dict) for one in outputs.values())


def _names_key(content: Mapping[str, Any], key: bytes | None) -> bool:
    """Tell whether a prediction names its record's key, in the one way that there is."""
    if key is None:
        return False
    try:
        said = {"key": key.decode()}
    except UnicodeDecodeError:
        said = {"key_base64": base64.b64encode(key).decode()}
    return {name: content[name] for name in ("key", "key_base64") if name in content} == said
