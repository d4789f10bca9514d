"""A Faust plugin: one recurrent-network step per Kafka event, each key's hidden state in Redis.

Three ways in, each a line a room in reading order; ``README.md`` in this folder has the reasons.

You run it:
    worker/       how Faust runs the fold; begin with ``plugin.py``
    fold/         how a partition's log becomes states and predictions; begin with ``processor.py``
    store/        hidden states: bytes, Redis, memory, cache
    kafka/        what Kafka answers
    operate/      what a person does to a fold from outside

You consume predictions:
    predictions/  the schema of a prediction, the reader, the writer

You train and judge a model:
    spec/         what an event is made of: proposed from a log, and checked
    model/        the network: features, cells, heads, bundle
    training/     from a log to a bundle
    metrics/      scores, naive baselines, intervals
    evaluation/   how good a bundle is, and what its memory is worth
    replay/       a range of a log, folded again
    trace/        the network unrolled over one key
    audit/        published predictions, compared with a replay

All of them share ``errors.py``, ``extras.py``, ``settings.py``, ``text.py``, ``keys.py``,
``overwriting.py``, ``testing.py``, ``local/`` (Kafka and Redis on this machine), ``demo/`` and
``cli/`` (``stream-rnn <verb>``).

Shape letters, everywhere: B keys in a round, F features, H hidden size, L layers, O outputs,
T time steps.  x is (B, F), y is (B, O), h is (B, L, H), for an LSTM (B, 2, L, H).
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers read it; typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from stream_rnn.errors import StreamRNNError
    from stream_rnn.model.bundle import load_bundle
    from stream_rnn.predictions import Prediction, PredictionReader
    from stream_rnn.settings import Settings
    from stream_rnn.worker.plugin import StreamRNN

    __version__: str

__all__ = [
    "Prediction",
    "PredictionReader",
    "Settings",
    "StreamRNN",
    "StreamRNNError",
    "__version__",
    "load_bundle",
]

_EXPORTS = {
    "Prediction": "stream_rnn.predictions",
    "PredictionReader": "stream_rnn.predictions",
    "Settings": "stream_rnn.settings",
    "StreamRNN": "stream_rnn.worker.plugin",
    "StreamRNNError": "stream_rnn.errors",
    "load_bundle": "stream_rnn.model.bundle",
}


def __getattr__(name: str) -> "Any":
    """Import a public name when it is used: importing torch takes seconds."""
    if name == "__version__":
        return import_module("importlib.metadata").version("stream-rnn")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'stream_rnn' has no attribute {name!r}")
    try:
        return getattr(import_module(_EXPORTS[name]), name)
    except ModuleNotFoundError as error:
        import_module("stream_rnn.extras").explain(error, name)
        raise
