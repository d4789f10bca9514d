"""The verbs: name, options and help of each, in a module of its own, as a click ``command``.

Importing them is quick.  Their work is done by the module of the same name in ``stream_rnn.cli``,
which may import torch, Faust and polars, and is imported by ``work`` when the verb is run.
"""

from importlib import import_module
from typing import Any

from stream_rnn.cli.shared.interrupts import raise_again


def work(name: str) -> Any:
    """Import the module of ``stream_rnn.cli`` that does a verb's work, which now begins."""
    module = import_module(f"stream_rnn.cli.{name}")
    raise_again()
    return module
