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
            head.name: [orjson.dumps(label).decode() for label in head.labels]
            for head in heads
            if isinstance(head, Multiclass)
        }
        outputs = ",".join(f"{_json(head.name)}:%s" for head in heads).replace("%s", "\0")
        escaped = outputs.replace("%", "%%").replace("\0", "%s")
        model = f'"model":{_json(name)},"fingerprint":{_json(fingerprint[:16])},"numerics":{_json(numerics)}'
        source = f'"source":{{"topic":{_json(topic)},"partition":{partition},"offset":'
        self._template = (
            f'{{"format":{FORMAT},%s,"outputs":{{{escaped}}},{_escape(model)},{_escape(source)}%d}},'
            '"event_time_ms":%d,"steps":%d,"cold":%s}'
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
        cold = ["true" if step == 1 else "false" for step in steps.tolist()]
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
        return [(template % row).encode() for row in rows]

    def headers(self, offset: int, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers of a prediction, all ASCII."""
        return [*self._first_headers, ("sr-offset", b"%d" % offset), *self._of_fold(origin)]

    def fold_headers(self, origin: int) -> list[tuple[str, bytes]]:
        """Return the headers that name app and fold: recovery looks for them."""
        return list(self._of_fold(origin))

    def _of_fold(self, origin: int) -> Sequence[tuple[str, bytes]]:
        """Return the same objects for the same origin: every prediction of a fold has them."""
        if self._origin != origin:
            self._origin = origin
            self._last_headers = [*self._middle_headers, ("sr-origin", b"%d" % origin)]
        return self._last_headers

    def _column(self, head: AnyHead, values: NDArray[np.float32]) -> list[str]:
        if isinstance(head, Multiclass):
            return self._classes_column(self._classes[head.name], values)
        name = "probability" if head.kind == "binary" else "value"
        return [f'{{"{name}":{text}}}' for text in _shortest(values)]

    def _classes_column(self, labels: Sequence[str], values: NDArray[np.float32]) -> list[str]:
        """Write the likeliest classes; of equals, the one that the spec names first."""
        ranked = np.argsort(-values, axis=1, kind="stable")[:, : self._top_k]  # (N, K)
        chosen = np.take_along_axis(values, ranked, axis=1)
        texts, width, found = _shortest(chosen.ravel()), ranked.shape[1], []
        for row, classes in enumerate(ranked.tolist()):
            some = texts[row * width : (row + 1) * width]
            top = ",".join(f"[{labels[c]},{text}]" for c, text in zip(classes, some, strict=True))
            found.append(f'{{"class":{labels[classes[0]]},"probability":{some[0]},"top":[{top}]}}')
        return found


def _shortest(values: NDArray[np.float32]) -> list[str]:
    """Return the shortest decimals that give the same float32."""
    contiguous = np.ascontiguousarray(values, np.float32)
    return orjson.dumps(contiguous, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")


def _key(key: bytes) -> str:
    try:
        return '"key":' + orjson.dumps(key.decode()).decode()
    except UnicodeDecodeError:
        return f'"key_base64":"{base64.b64encode(key).decode()}"'


def _json(text: str) -> str:
    return orjson.dumps(text).decode()


def _escape(text: str) -> str:
    return text.replace("%", "%%")
