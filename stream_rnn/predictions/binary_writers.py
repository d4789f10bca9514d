"""The bytes of predictions in Avro and Protobuf, for a micro-batch at a time.

numpy builds what follows the key of all rows at once.  All fields are written, in the order of the
schema, so that the bytes of a prediction depend on its values alone.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead, Multiclass, Quantile
from stream_rnn.predictions.ragged import (
    Column,
    constant,
    encode_varint,
    floats,
    rows,
    table,
    total_lengths,
    varints,
    zigzag,
)
from stream_rnn.predictions.wire_schema import OutputField, output_fields

CHUNK_BYTES = 8_000_000
"""Bytes of a matrix, which is as wide as the longest classes together."""
ROWS_MAX = 4096
"""Rows that are built at once: they fit into the cache of a core."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class BinaryWriter(ABC):
    """Writes the bodies of one format.

    Args:
        heads: Heads of the model.
        words: Model, first 16 digits of the fingerprint, and numerics.
        topic: Name of the source topic.
        partition: Number of the source partition.
        top_k: Number of classes in ``top``.
        frame: Bytes before each body.
    """

    def __init__(
        self,
        heads: Sequence[AnyHead],
        words: tuple[str, str, str],
        topic: str,
        partition: int,
        *,
        top_k: int,
        frame: bytes,
    ) -> None:
        self._heads = {head.name: head for head in heads}
        self._fields = output_fields(heads)
        self._rated = [field for field in self._fields if field.has_surprise]
        self._top_k = top_k
        self._start = frame + self._begin()
        self._middle = self._constants(words, topic, partition)
        classes = {head.name: head.labels for head in heads if isinstance(head, Multiclass)}
        self._labels = {
            name: table(tuple(self._text(label.encode()) for label in labels))
            for name, labels in classes.items()
        }
        label_bytes = sum(
            one.data.shape[1] * (1 + min(top_k, len(one.data))) for one in self._labels.values()
        )
        self._rows_max = max(1, min(ROWS_MAX, CHUNK_BYTES // (200 + label_bytes)))

    def write(
        self,
        keys: Sequence[bytes],
        offsets: Integers,
        time_ms: Integers,
        steps: Integers,
        outputs: Mapping[str, Floats],
        surprises: Mapping[str, Floats],
    ) -> list[bytes]:
        """Write N predictions; see :meth:`PredictionWriter.write`."""
        offsets, time_ms, steps = (
            np.ascontiguousarray(column, np.int64) for column in (offsets, time_ms, steps)
        )
        values: list[bytes] = []
        for first in range(0, len(keys), self._rows_max):
            part = slice(first, first + self._rows_max)
            chosen = [{n: column[part] for n, column in of.items()} for of in (outputs, surprises)]
            values += self._write(keys[part], offsets[part], time_ms[part], steps[part], *chosen)
        return values

    def _write(
        self,
        keys: Sequence[bytes],
        offsets: Integers,
        time_ms: Integers,
        steps: Integers,
        outputs: Mapping[str, Floats],
        surprises: Mapping[str, Floats],
    ) -> list[bytes]:
        count = len(keys)
        columns: list[Column] = []
        for field in self._fields:
            head, values = self._heads[field.head], outputs[field.head]
            if isinstance(head, Multiclass):
                columns += self._class_columns(field, values)
            elif isinstance(head, Quantile):
                quantiles = [floats(values[:, i]) for i in range(head.width)]
                columns += self._quantile_columns(field, quantiles, count)
            else:
                columns += self._scalar_columns(field, floats(values), count)
        is_ascii = b"".join(keys).isascii()
        rests = rows(
            [
                *([constant(self._after_key, count)] if is_ascii else ()),
                *self._end_outputs(columns, count),
                constant(self._middle, count),
                *self._numbers(offsets, time_ms, steps),
                *(self._surprise_columns(surprises, count) if self._rated else ()),
            ]
        )
        if not is_ascii:
            parts = [self._start + self._key_part(key) for key in keys]
            return [part + rest for part, rest in zip(parts, rests, strict=True)]
        before = {length: self._start + self._key_start(length) for length in {*map(len, keys)}}
        return [before[len(key)] + key + rest for key, rest in zip(keys, rests, strict=True)]

    def _key_start(self, length: int) -> bytes:
        return self._before_key + encode_varint(self._length(length))

    def _key_part(self, key: bytes) -> bytes:
        try:
            key.decode()
        except UnicodeDecodeError:
            return self._base64_field(base64.b64encode(key))
        return self._key_start(len(key)) + key + self._after_key

    def _class_columns(self, field: OutputField, values: Floats) -> list[Column]:
        """Return the columns of the likeliest classes; the first of equally likely ones wins."""
        ranked = np.argsort(-values, axis=1, kind="stable")[:, : self._top_k]  # (N, K)
        chosen = np.take_along_axis(values, ranked, axis=1)
        labels = self._labels[field.head]
        pairs = [
            (labels.choose(ranked[:, k]), floats(chosen[:, k])) for k in range(ranked.shape[1])
        ]
        return self._ranked_columns(field, pairs, len(values))

    # --- what a format decides ------------------------------------------------------------------

    _before_key = _after_key = b""

    @abstractmethod
    def _begin(self) -> bytes:
        """Return the fields before the key."""

    @abstractmethod
    def _constants(self, words: tuple[str, str, str], topic: str, partition: int) -> bytes:
        """Return the fields between the outputs and the source offset."""

    @abstractmethod
    def _length(self, length: int) -> int:
        """Return the number that stands for a length."""

    def _text(self, text: bytes) -> bytes:
        """Return a text with its length."""
        return encode_varint(self._length(len(text))) + text

    @abstractmethod
    def _base64_field(self, key: bytes) -> bytes:
        """Return the field of a key that is not UTF-8."""

    @abstractmethod
    def _scalar_columns(self, field: OutputField, values: Column, count: int) -> list[Column]:
        """Return the columns of an output that is one number."""

    @abstractmethod
    def _quantile_columns(
        self, field: OutputField, quantiles: Sequence[Column], count: int
    ) -> list[Column]:
        """Return the columns of an output of quantiles."""

    @abstractmethod
    def _ranked_columns(
        self, field: OutputField, pairs: Sequence[tuple[Column, Column]], count: int
    ) -> list[Column]:
        """Return the columns of labels and probabilities in descending order."""

    @abstractmethod
    def _end_outputs(self, columns: list[Column], count: int) -> list[Column]:
        """Return the columns of all outputs."""

    @abstractmethod
    def _numbers(self, offsets: Integers, time_ms: Integers, steps: Integers) -> list[Column]:
        """Return the columns from the source offset to ``cold``."""

    @abstractmethod
    def _surprise_columns(self, surprises: Mapping[str, Floats], count: int) -> list[Column]:
        """Return the columns of the surprise of all heads that have one."""


class AvroWriter(BinaryWriter):
    """Writes Avro's binary encoding."""

    _before_key, _after_key = b"\x02", b"\0"  # key_base64 is null

    def _begin(self) -> bytes:
        return b"\x02"  # format 1

    def _constants(self, words: tuple[str, str, str], topic: str, partition: int) -> bytes:
        fields = b"".join(self._text(word.encode()) for word in (*words, topic))
        return fields + encode_varint(2 * partition)

    def _length(self, length: int) -> int:
        return 2 * length

    def _base64_field(self, key: bytes) -> bytes:
        return b"\0\x02" + self._text(key)

    def _scalar_columns(self, field: OutputField, values: Column, count: int) -> list[Column]:  # noqa: ARG002  # an order names it
        return [constant(b"\x02", count), values]

    def _quantile_columns(
        self,
        field: OutputField,  # noqa: ARG002  # an order names it
        quantiles: Sequence[Column],
        count: int,
    ) -> list[Column]:
        is_present = constant(b"\x02", count)
        return [is_present, *(column for one in quantiles for column in (is_present, one))]

    def _ranked_columns(
        self,
        field: OutputField,  # noqa: ARG002  # an order names it
        pairs: Sequence[tuple[Column, Column]],
        count: int,
    ) -> list[Column]:
        block = constant(encode_varint(2 * len(pairs)), count)
        candidates = [column for pair in pairs for column in pair]
        ends = constant(b"\0", count)
        return [constant(b"\x02", count), *pairs[0], block, *candidates, ends]

    def _end_outputs(self, columns: list[Column], count: int) -> list[Column]:  # noqa: ARG002  # a record has no length
        return columns

    def _numbers(self, offsets: Integers, time_ms: Integers, steps: Integers) -> list[Column]:
        cold = (steps == 1).astype(np.uint8)[:, None]
        return [*(varints(zigzag(one)) for one in (offsets, time_ms, steps)), Column(cold)]

    def _surprise_columns(self, surprises: Mapping[str, Floats], count: int) -> list[Column]:
        columns = [_optional(surprises[field.head], b"\x02", b"\0") for field in self._rated]
        return [constant(b"\x02", count), *columns]


class ProtobufWriter(BinaryWriter):
    """Writes Protobuf's binary encoding; the index of the message follows the frame."""

    _before_key = b"\x12"

    def _begin(self) -> bytes:
        return b"\0\x08\x01"  # index [0], format 1

    def _constants(self, words: tuple[str, str, str], topic: str, partition: int) -> bytes:
        tags = b"\x2a", b"\x32", b"\x3a"
        fields = (tag + self._text(word.encode()) for tag, word in zip(tags, words, strict=True))
        self._source = b"\x0a" + self._text(topic.encode()) + b"\x10" + encode_varint(partition)
        return b"".join(fields) + b"\x42"

    def _length(self, length: int) -> int:
        return length

    def _base64_field(self, key: bytes) -> bytes:
        return b"\x1a" + self._text(key)

    def _scalar_columns(self, field: OutputField, values: Column, count: int) -> list[Column]:
        return [constant(encode_varint(field.number << 3 | 2) + b"\x05\x0d", count), values]

    def _quantile_columns(
        self, field: OutputField, quantiles: Sequence[Column], count: int
    ) -> list[Column]:
        columns: list[Column] = []
        for member, values in zip(field.members, quantiles, strict=True):
            columns += [constant(encode_varint(member.number << 3 | 5), count), values]
        return _message(encode_varint(field.number << 3 | 2), columns)

    def _ranked_columns(
        self, field: OutputField, pairs: Sequence[tuple[Column, Column]], count: int
    ) -> list[Column]:
        label, probability = constant(b"\x0a", count), constant(b"\x15", count)
        columns: list[Column] = [label, pairs[0][0], probability, pairs[0][1]]
        for word, value in pairs:
            columns += _message(b"\x1a", [label, word, probability, value])
        return _message(encode_varint(field.number << 3 | 2), columns)

    def _end_outputs(self, columns: list[Column], count: int) -> list[Column]:  # noqa: ARG002  # the columns have it
        return _message(b"\x22", columns)

    def _numbers(self, offsets: Integers, time_ms: Integers, steps: Integers) -> list[Column]:
        count = len(offsets)
        column = partial(constant, count=count)
        source = [column(self._source + b"\x18"), varints(offsets.view(np.uint64))]
        return [
            *_message(b"", source),
            column(b"\x48"),
            varints(time_ms.view(np.uint64)),
            column(b"\x50"),
            varints(steps.view(np.uint64)),
            column(b"\x58"),
            Column((steps == 1).astype(np.uint8)[:, None]),
        ]

    def _surprise_columns(self, surprises: Mapping[str, Floats], count: int) -> list[Column]:  # noqa: ARG002  # the columns have it
        columns = [
            _optional(surprises[field.head], encode_varint(field.number << 3 | 5))
            for field in self._rated
        ]
        return _message(b"\x62", columns)


def _optional(values: Floats, tag: bytes, missing: bytes = b"") -> Column:
    """Return numbers (N,) behind a tag; NaN is none, for which there are other bytes."""
    count, is_known = len(values), ~np.isnan(values)
    data = np.concatenate([constant(tag, count).data, floats(values).data], axis=1)
    data[~is_known, : len(missing)] = np.frombuffer(missing, np.uint8)
    return Column(data, np.where(is_known, data.shape[1], len(missing)))


def _message(tag: bytes, columns: Sequence[Column]) -> list[Column]:
    """Return the columns of a message with its tag and its length."""
    lengths = total_lengths(columns)
    return [constant(tag, len(lengths)), varints(lengths.view(np.uint64)), *columns]


WRITERS: Mapping[str, Callable[..., BinaryWriter]] = {
    "avro": AvroWriter,
    "protobuf": ProtobufWriter,
}
