"""The verbs: name, options and help of each, in one module with a click ``command``.

These modules import quickly.  The module of the same name in ``stream_rnn.cli`` does the work; it
may import torch, Faust and polars, and ``load_work`` imports it when the verb runs.
"""

from importlib import import_module
from typing import Any

from stream_rnn.cli.shared.interrupts import raise_on_ctrl_c


def load_work(name: str) -> Any:
    """Import the module of ``stream_rnn.cli`` that does the work of a verb, which begins now."""
    module = import_module(f"stream_rnn.cli.{name}")
    raise_on_ctrl_c()
    return module
