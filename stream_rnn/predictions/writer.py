"""The writer of predictions, which fills one ``%`` template for each row of a micro-batch.

Floats are written as the shortest decimals that give the same float32.  The bytes of a row depend
neither on other rows nor on a clock, so that folding again gives the same bytes.  Avro and Protobuf
are written by ``binary_writers.py``.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead, Multiclass, Quantile
from stream_rnn.predictions.binary_writers import WRITERS, BinaryWriter
from stream_rnn.predictions.wire_schema import Wire

FORMAT = 1
JSON = Wire("json")
NOTHING: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


class PredictionWriter:
    """Writes the predictions of one source partition.

    Args:
        heads: Heads of the model.
        name: Name of the model.
        fingerprint: Fingerprint of the bundle, in hex digits.
        numerics: Identifier of torch build, numpy version and CPU type of this process.
        topic: Name of the source topic.
        partition: Number of the source partition.
        app: App id of the worker.
        fold_id: Identifier of the fold.
        top_k: Number of classes in ``top``.
        wire: Format of the values.
    """

    def __init__(
        self,
        *,
        heads: Sequence[AnyHead],
        name: str,
        fingerprint: str,
        numerics: str,
        topic: str,
        partition: int,
        app: str,
        fold_id: str,
        top_k: int,
        wire: Wire = JSON,
    ) -> None:
        self.topic = topic
        self.numerics = numerics
        self._heads = heads
        self._rated = [head.name for head in heads if head.surprise]
        self._top_k = top_k
        frame = b"" if wire.format == "json" else b"\0" + wire.schema_id.to_bytes(4, "big")
        self._binary: BinaryWriter | None = None
        if wire.format in WRITERS:
            texts = name, fingerprint[:16], numerics
            place = texts, topic, partition
            self._binary = WRITERS[wire.format](heads, *place, top_k=top_k, frame=frame)
        self._classes = {
            head.name: [orjson.dumps(label) for label in head.labels]
            for head in heads
            if isinstance(head, Multiclass)
        }
        outputs = b",".join(_json_for_template(head.name) + b":%b" for head in heads)
        model = b'"model":%b,"fingerprint":%b,"numerics":%b' % (
            _json_for_template(name),
            _json_for_template(fingerprint[:16]),
            _json_for_template(numerics),
        )
        source = b'"source":{"topic":%b,"partition":%d,"offset":' % (
            _json_for_template(topic),
            partition,
        )
        self._template = (
            frame.replace(b"%", b"%%")
            + b'{"format":%d,' % FORMAT
            + b'%b,"outputs":{'
            + outputs
            + b"},"
            + model
            + b","
            + source
            + b'%d},"event_time_ms":%d,"steps":%d,"cold":%b'
            + _surprise_template(self._rated)
            + b"}"
        )
        self._source_headers = [
            ("sr-topic", topic.encode()),
            ("sr-partition", str(partition).encode()),
        ]
        self._origin: int | None = None
        self._fold_headers: list[tuple[str, bytes]] = []
        self._app_headers = [("sr-app", app.encode()), ("sr-fold", fold_id.encode())]

    def write(
        self,
        keys: Sequence[bytes],
        offsets: NDArray[np.int64],
        time_ms: NDArray[np.int64],
        steps: NDArray[np.int64],
        outputs: Mapping[str, NDArray[np.float32]],
        surprises: Mapping[str, NDArray[np.float32]] = NOTHING,
    ) -> list[bytes]:
        """Write N predictions.

        Args:
            keys: N record keys.
            offsets: (N,) source offsets.
            time_ms: (N,) event times, in milliseconds since 1970.
            steps: (N,) numbers of events in the hidden state, this one included.
            outputs: (N,) outputs of each head, by its name; (N, C) for a head of C
                classes or quantiles.
            surprises: (N,) surprise of each head that has one, by its name; NaN for none.

        Returns:
            N values for the predictions topic.
        """
        if not keys:
            return []
        if self._binary is not None:
            return self._binary.write(keys, offsets, time_ms, steps, outputs, surprises)
        columns = [self._column(head, outputs[head.name]) for head in self._heads]
        cold = [b"true" if step == 1 else b"false" for step in steps.tolist()]
        rows = zip(
            map(_key_field, keys),
            *columns,
            offsets.tolist(),
            time_ms.tolist(),
            steps.tolist(),
            cold,
            *(_shortest_decimals(surprises[name]) for name in self._rated),
            strict=True,
        )
        template = self._template
        return [template % row for row in rows]

    def headers(self, offset: int, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers of a prediction; all values are ASCII."""
        return self.headers_of([offset], origin)[0]

    def headers_of(self, offsets: Sequence[int], origin: int) -> list[list[tuple[str, bytes]]]:
        """Return the headers of N predictions."""
        before, after = self._source_headers, self._shared_headers(origin)
        return [[*before, ("sr-offset", b"%d" % offset), *after] for offset in offsets]

    def fold_headers(self, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers that identify app and fold, which recovery looks for."""
        return list(self._shared_headers(origin))

    def _shared_headers(self, origin: int) -> Sequence[tuple[str, bytes]]:
        """Return the headers that all predictions share; the same list for the same origin."""
        if self._origin != origin:
            self._origin = origin
            self._fold_headers = [*self._app_headers, ("sr-origin", b"%d" % origin)]
        return self._fold_headers

    def _column(self, head: AnyHead, values: NDArray[np.float32]) -> list[bytes]:
        if isinstance(head, Multiclass):
            return self._classes_column(self._classes[head.name], values)
        if isinstance(head, Quantile):
            names = [b'"%b":%%b' % name.encode() for name in head.labels]
            texts = _shortest_decimals(values.ravel())
            template = b"{" + b",".join(names) + b"}"
            width = head.width
            return [template % tuple(texts[i : i + width]) for i in range(0, len(texts), width)]
        template = b'{"probability":%b}' if head.kind == "binary" else b'{"value":%b}'
        return [template % text for text in _shortest_decimals(values)]

    def _classes_column(self, labels: Sequence[bytes], values: NDArray[np.float32]) -> list[bytes]:
        """Write the likeliest classes; of equally likely classes, the first in the spec wins."""
        ranked = np.argsort(-values, axis=1, kind="stable")[:, : self._top_k]  # (N, K)
        chosen = np.take_along_axis(values, ranked, axis=1)
        texts, width, column = _shortest_decimals(chosen.ravel()), ranked.shape[1], []
        for row, classes in enumerate(ranked.tolist()):
            in_row = texts[row * width : (row + 1) * width]
            top = b",".join(
                [b"[%b,%b]" % (labels[c], text) for c, text in zip(classes, in_row, strict=True)]
            )
            fields = labels[classes[0]], in_row[0], top
            column.append(b'{"class":%b,"probability":%b,"top":[%b]}' % fields)
        return column


def _shortest_decimals(values: NDArray[np.float32]) -> list[bytes]:
    """Return the shortest decimals that give the same float32 values; null for NaN."""
    contiguous = np.ascontiguousarray(values, np.float32)
    return orjson.dumps(contiguous, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _surprise_template(heads: Sequence[str]) -> bytes:
    """Return the template of the surprise of some heads; empty for none, so that it costs nothing."""
    fields = b",".join(_json_for_template(name) + b":%b" for name in heads)
    return b',"surprise":{' + fields + b"}" if heads else b""


def _key_field(key: bytes) -> bytes:
    try:
        return b'"key":' + orjson.dumps(key.decode())
    except UnicodeDecodeError:
        return b'"key_base64":"%b"' % base64.b64encode(key)


def _json_for_template(text: str) -> bytes:
    """Return a text as JSON, escaped for a ``%`` template."""
    return orjson.dumps(text).replace(b"%", b"%%")
