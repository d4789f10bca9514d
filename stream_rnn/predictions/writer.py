"""The bytes of predictions: one ``%`` template for all rows of a micro-batch.

Floats are the shortest decimals that give the same float32.  A row's bytes do not depend on its
neighbours, and there is no clock in them: folding again gives the same bytes.
"""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead, Multiclass

FORMAT = 1


class PredictionWriter:
    """Writes the predictions of one source partition.

    Args:
        heads: of the model.
        name: of the model.
        fingerprint: of the bundle.
        numerics: how this process computes.
        topic: the source topic.
        partition: the source partition.
        app: the app id.
        fold_id: of the fold.
        top_k: classes in ``top``.
    """

    def __init__(  # what stands in every prediction
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
    ) -> None:
        self.topic = topic
        self.numerics = numerics
        self._heads = heads
        self._top_k = top_k
        self._classes = {
            head.name: [orjson.dumps(label) for label in head.labels]
            for head in heads
            if isinstance(head, Multiclass)
        }
        outputs = b",".join(_escaped(head.name) + b":%b" for head in heads)
        model = b'"model":%b,"fingerprint":%b,"numerics":%b' % (
            _escaped(name),
            _escaped(fingerprint[:16]),
            _escaped(numerics),
        )
        source = b'"source":{"topic":%b,"partition":%d,"offset":' % (_escaped(topic), partition)
        self._template = (
            b'{"format":%d,' % FORMAT
            + b'%b,"outputs":{'
            + outputs
            + b"},"
            + model
            + b","
            + source
            + b'%d},"event_time_ms":%d,"steps":%d,"cold":%b}'
        )
        self._first_headers = [
            ("sr-topic", topic.encode()),
            ("sr-partition", str(partition).encode()),
        ]
        self._origin: int | None = None
        self._last_headers: list[tuple[str, bytes]] = []
        self._middle_headers = [("sr-app", app.encode()), ("sr-fold", fold_id.encode())]

    def write(
        self,
        keys: Sequence[bytes],
        offsets: NDArray[np.int64],
        time_ms: NDArray[np.int64],
        steps: NDArray[np.int64],
        outputs: Mapping[str, NDArray[np.float32]],
    ) -> list[bytes]:
        """Write N predictions.

        Args:
            keys: N record keys.
            offsets: (N,) source offsets.
            time_ms: (N,) event times.
            steps: (N,) events in the memory, this one included.
            outputs: for each head (N,), for classes (N, C).
        """
        if not keys:
            return []
        columns = [self._column(head, outputs[head.name]) for head in self._heads]
        cold = [b"true" if step == 1 else b"false" for step in steps.tolist()]
        rows = zip(
            map(_key, keys),
            *columns,
            offsets.tolist(),
            time_ms.tolist(),
            steps.tolist(),
            cold,
            strict=True,
        )
        template = self._template
        return [template % row for row in rows]

    def headers(self, offset: int, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers of a prediction, all ASCII."""
        return self.headers_of([offset], origin)[0]

    def headers_of(self, offsets: Sequence[int], origin: int) -> list[list[tuple[str, bytes]]]:
        """Return the headers of N predictions."""
        first, last = self._first_headers, self._of_fold(origin)
        return [[*first, ("sr-offset", b"%d" % offset), *last] for offset in offsets]

    def fold_headers(self, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers that name app and fold: recovery looks for them."""
        return list(self._of_fold(origin))

    def _of_fold(self, origin: int) -> Sequence[tuple[str, bytes]]:
        """Return the same objects for the same origin: every prediction of a fold has them."""
        if self._origin != origin:
            self._origin = origin
            self._last_headers = [*self._middle_headers, ("sr-origin", b"%d" % origin)]
        return self._last_headers

    def _column(self, head: AnyHead, values: NDArray[np.float32]) -> list[bytes]:
        if isinstance(head, Multiclass):
            return self._classes_column(self._classes[head.name], values)
        template = b'{"probability":%b}' if head.kind == "binary" else b'{"value":%b}'
        return [template % text for text in _shortest(values)]

    def _classes_column(self, labels: Sequence[bytes], values: NDArray[np.float32]) -> list[bytes]:
        """Write the likeliest classes; of equals, the one that the spec names first."""
        ranked = np.argsort(-values, axis=1, kind="stable")[:, : self._top_k]  # (N, K)
        chosen = np.take_along_axis(values, ranked, axis=1)
        texts, width, found = _shortest(chosen.ravel()), ranked.shape[1], []
        for row, classes in enumerate(ranked.tolist()):
            some = texts[row * width : (row + 1) * width]
            top = b",".join(
                [b"[%b,%b]" % (labels[c], text) for c, text in zip(classes, some, strict=True)]
            )
            first = labels[classes[0]], some[0], top
            found.append(b'{"class":%b,"probability":%b,"top":[%b]}' % first)
        return found


def _shortest(values: NDArray[np.float32]) -> list[bytes]:
    """Return the shortest decimals that give the same float32."""
    contiguous = np.ascontiguousarray(values, np.float32)
    return orjson.dumps(contiguous, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _key(key: bytes) -> bytes:
    try:
        return b'"key":' + orjson.dumps(key.decode())
    except UnicodeDecodeError:
        return b'"key_base64":"%b"' % base64.b64encode(key)


def _escaped(text: str) -> bytes:
    """Return JSON that stands for itself in a template."""
    return orjson.dumps(text).replace(b"%", b"%%")
