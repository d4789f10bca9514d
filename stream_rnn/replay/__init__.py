"""Replay: a range of a log, folded again with hidden states in memory.

``replay`` is the public name.  It is imported on first use, because importing torch takes seconds.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stream_rnn.replay.iterate import replay

__all__ = ["replay"]


def __getattr__(name: str) -> "Any":
    """Import the public name on first use."""
    if name != "replay":
        raise AttributeError(f"module 'stream_rnn.replay' has no attribute {name!r}")
    return import_module("stream_rnn.replay.iterate").replay
