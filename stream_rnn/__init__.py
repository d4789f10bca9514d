"""A Faust plugin: one recurrent-network step per Kafka event, each key's hidden state in Redis.

There are three ways into the package.  Each lists its rooms (folders) in reading order;
``README.md`` in this folder explains the design.

You run it:
    worker/       how Faust runs the fold; begin with ``plugin.py``
    rollout/      two folds of a partition side by side, and the cut-over between them
    fold/         how a partition's log becomes states and predictions; begin with ``processor.py``
    store/        hidden states: bytes, Redis, memory, cache
    kafka/        Kafka clients: connections, topics, access rights, group offsets
    operate/      tools for a running fold: doctor, dashboard, states, dead letters

You consume predictions:
    predictions/  the schema of a prediction, the reader, the writer

You train and judge a model:
    spec/         the feature spec, which describes an event: proposed from a log, and checked
    model/        the network: features, cells, heads, bundle
    training/     from a log to a bundle
    metrics/      scores, naive baselines, intervals
    evaluation/   how good a bundle is, and how much its memory contributes
    replay/       a range of a log, folded again
    trace/        the network unrolled over the events of one key
    audit/        published predictions, compared with a replay
    notebook/     train, evaluate, compare, trace and replay as functions

All three share ``errors.py``, ``extras.py``, ``settings.py``, ``settings_base.py``,
``settings_folds.py``, ``settings_formats.py``, ``options.py``, ``text.py``,
``keys.py``, ``key_spellings.py``, ``key_texts.py``, ``key_wrappers.py``, ``overwriting.py``,
``testing/``, ``formats/`` (schema registry), ``local/`` (Kafka and Redis on this machine),
``demo/`` and ``cli/`` (``stream-rnn <verb>``).

Shape letters, everywhere: B keys in a round, F features, H hidden size, L layers, O outputs,
T time steps.  x is (B, F), y is (B, O), h is (B, L, H), for an LSTM (B, 2, L, H).
"""

import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # type checkers know this name; importing typing would take too long
if TYPE_CHECKING:
    from typing import Any

    from stream_rnn.errors import StreamRNNError
    from stream_rnn.model.bundle import load_bundle, save_bundle
    from stream_rnn.model.network import Model
    from stream_rnn.notebook.compare import compare
    from stream_rnn.notebook.evaluate import evaluate
    from stream_rnn.notebook.import_weights import import_weights
    from stream_rnn.notebook.replay import replay
    from stream_rnn.notebook.rollout import compare_rollout
    from stream_rnn.notebook.spec import load_spec, propose_spec
    from stream_rnn.notebook.trace import trace
    from stream_rnn.notebook.train import train
    from stream_rnn.predictions import Prediction, PredictionReader
    from stream_rnn.settings import Settings
    from stream_rnn.worker.plugin import StreamRNN

    __version__: str
    __all__ = [
        "Model",
        "Prediction",
        "PredictionReader",
        "Settings",
        "StreamRNN",
        "StreamRNNError",
        "__version__",
        "compare",
        "compare_rollout",
        "evaluate",
        "import_weights",
        "load_bundle",
        "load_spec",
        "propose_spec",
        "replay",
        "save_bundle",
        "trace",
        "train",
    ]

_EXPORTS = {
    "Model": "stream_rnn.model.network",
    "Prediction": "stream_rnn.predictions",
    "PredictionReader": "stream_rnn.predictions",
    "Settings": "stream_rnn.settings",
    "StreamRNN": "stream_rnn.worker.plugin",
    "StreamRNNError": "stream_rnn.errors",
    "compare": "stream_rnn.notebook.compare",
    "compare_rollout": "stream_rnn.notebook.rollout",
    "evaluate": "stream_rnn.notebook.evaluate",
    "import_weights": "stream_rnn.notebook.import_weights",
    "load_bundle": "stream_rnn.model.bundle",
    "load_spec": "stream_rnn.notebook.spec",
    "propose_spec": "stream_rnn.notebook.spec",
    "replay": "stream_rnn.notebook.replay",
    "save_bundle": "stream_rnn.model.bundle",
    "trace": "stream_rnn.notebook.trace",
    "train": "stream_rnn.notebook.train",
}


class _Package(ModuleType):
    """The package, in which two public functions have the names of rooms."""

    def __setattr__(self, name: str, value: "Any") -> None:
        """Set an attribute, unless Python binds a room that would hide a public function."""
        if name not in _EXPORTS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def _export(name: str, module: str) -> "Any":
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        import_module("stream_rnn.extras").explain(error, name)
        raise
    if room := sys.modules.get(f"{__name__}.{name}"):
        # The function shares the attributes of its room, which ``import ... as`` looks up on it.
        vars(room).update(vars(value))
        value.__dict__ = vars(room)
    return value


def __getattr__(name: str) -> "Any":
    """Import a public name at its first use, since importing torch takes seconds.

    Raises:
        MissingExtraError: The name needs an extra that is not installed.  ``hasattr`` raises it,
            too: use ``name in dir(stream_rnn)`` to find out whether a name is available.
    """
    if name == "__version__":
        return import_module("importlib.metadata").version("stream-rnn")
    if name == "__all__":  # so that ``import *`` and ``dir`` need no extra
        is_available = import_module("stream_rnn.extras").is_available
        return ["__version__", *filter(is_available, _EXPORTS)]
    if name not in _EXPORTS:
        raise AttributeError(f"module 'stream_rnn' has no attribute {name!r}")
    return _export(name, _EXPORTS[name])


def __dir__() -> list[str]:
    """Return the public names whose extra is installed, and the rooms that were imported."""
    rooms = [name for name in globals() if f"{__name__}.{name}" in sys.modules]
    return [*__getattr__("__all__"), *rooms]
