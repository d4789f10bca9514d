"""Predictions of an app's other folds: the parts that do not depend on the model.

A prediction must name its own record, whichever bundle made it; its outputs, steps and event time
depend on the bundle and are not checked.  The arrays take 24 bytes for each offset as soon as there
is one such prediction.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.digests import content_of, digest_of, is_origin
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.predictions.decoder import PredictionDecoder
from stream_rnn.predictions.writer import FORMAT

STAMPED = -(1 << 62)  # stands for a timestamp that the broker set: it is not compared
TEXT_FIELDS = ("model", "fingerprint", "numerics")


class OtherFolds:
    """Checks predictions of other folds against the records that they name.

    Args:
        topic: Source topic.
        partition: Source partition.
        start: First source offset.
        end: Source offset after the last one.
        decoder: Decoder of predictions.

    Attributes:
        undecoded: Number of predictions whose schema is not known, so that only their headers and
            their records were compared.
    """

    def __init__(
        self, topic: str, partition: int, start: int, end: int, decoder: PredictionDecoder
    ) -> None:
        self._decoder, self.undecoded = decoder, 0
        self._source, self._start, self._end = (topic, partition), start, end
        self._key: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._time: NDArray[np.int64] = np.zeros(0, np.int64)
        self._output_offset: NDArray[np.int64] = np.zeros(0, np.int64)
        self._is_allocated = False

    # _output_offset is -1 without a prediction.  A prediction that does not fit leaves its output
    # offset; if all fit, it is -2 minus the output offset of the first prediction.

    def add(self, record: ConsumerRecord, offset: int) -> None:
        """Add a prediction of another fold."""
        if not self._is_allocated:
            count, self._is_allocated = self._end - self._start, True
            self._key, self._time = np.zeros(count, np.uint64), np.zeros(count, np.int64)
            self._output_offset = np.full(count, -1, np.int64)
        index, digest = offset - self._start, digest_of(repr(record.key).encode())
        time = STAMPED if record.timestamp_type == LOG_APPEND_TIME else record.timestamp
        is_valid = self._is_valid(record, offset)
        if self._output_offset[index] == -1:  # the first one
            self._key[index], self._time[index] = digest, time
            self._output_offset[index] = -2 - record.offset
        elif self._time[index] == STAMPED:
            is_valid = is_valid and int(self._key[index]) == digest
            self._time[index] = time
        else:
            is_valid = is_valid and int(self._key[index]) == digest
            is_valid = is_valid and time in (STAMPED, int(self._time[index]))
        if not is_valid:
            self._output_offset[index] = record.offset

    def find_false(self, record: Record) -> int | None:
        """Return the output offset of a prediction that does not fit a source record, if any."""
        index = record.offset - self._start
        if not self._is_allocated or self._output_offset[index] == -1:
            return None
        output_offset = int(self._output_offset[index])
        if output_offset >= 0:
            return output_offset
        is_valid = int(self._key[index]) == digest_of(repr(record.key).encode())
        is_valid = is_valid and int(self._time[index]) in (STAMPED, record.timestamp)
        return None if is_valid else -2 - output_offset

    def _is_valid(self, record: ConsumerRecord, offset: int) -> bool:
        """Return whether a prediction has valid fields that agree with its headers."""
        content = content_of(record.value, self._decoder)
        if not is_origin(dict(record.headers)["sr-origin"], offset):
            return False
        if not content and (record.value or b"")[:1] == b"\0":
            self.undecoded += 1
            return True
        if content.get("format") != FORMAT:
            return _is_integer(content.get("format"), 1)
        topic, partition = self._source
        return (
            content.get("source") == {"topic": topic, "partition": partition, "offset": offset}
            and _names_key(content, record.key)
            and all(isinstance(content.get(name), str) for name in TEXT_FIELDS)
            and _is_outputs(content.get("outputs"))
            and _is_integer(content.get("event_time_ms"), -(1 << 63))
            and _is_integer(content.get("steps"), 1)
            and content.get("cold") is (content["steps"] == 1)
        )


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_outputs(outputs: Any) -> bool:
    return isinstance(outputs, dict) and all(
        isinstance(output, dict) for output in outputs.values()
    )


def _names_key(content: Mapping[str, Any], key: bytes | None) -> bool:
    """Return whether a prediction names the key of its record as a worker does."""
    if key is None:
        return False
    try:
        expected = {"key": key.decode()}
    except UnicodeDecodeError:
        expected = {"key_base64": base64.b64encode(key).decode()}
    return {name: content[name] for name in ("key", "key_base64") if name in content} == expected
