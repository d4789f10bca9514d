"""Ctrl-C, and a worker's SIGTERM, before a verb's work has begun and after it has ended.

Python raises ``KeyboardInterrupt`` wherever it is.  In the middle of an import that is a trace of
torch's or Faust's own code, or an error that they make of it.  There is nothing to finish then, so
the process ends where it is.  While a verb works, ``KeyboardInterrupt`` is raised as usual.
"""

import os
import signal
from contextlib import suppress

INTERRUPTED = 130


def end_at_once() -> None:
    """Let Ctrl-C end the process where it is; one that ignores Ctrl-C goes on ignoring it."""
    _replace(signal.default_int_handler, _end)


def raise_again() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt``."""
    _replace(_end, signal.default_int_handler)


def terminate_at_once() -> None:
    """Let SIGTERM end the process where it is, with status 0, until somebody else handles it.

    A container's first process is not ended by a SIGTERM that it does not handle.
    """
    with suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, lambda *_signal: os._exit(0))


def _end(*_signal: object) -> None:
    os._exit(INTERRUPTED)


def _replace(old: object, new: object) -> None:
    if signal.getsignal(signal.SIGINT) is not old:
        return
    try:
        signal.signal(signal.SIGINT, new)  # type: ignore[arg-type]  # one of the two above
    except ValueError:
        return  # only the main thread may, and only it is interrupted
