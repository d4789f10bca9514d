"""Ctrl-C, and SIGTERM for a worker, before the work of a verb begins and after it ends.

Python raises ``KeyboardInterrupt`` at any place.  During an import, the user would see a traceback
through torch or Faust, or an error that they raise instead.  Nothing needs to be finished then, so
the process ends at once.  While a verb works, ``KeyboardInterrupt`` is raised as usual.
"""

import os
import signal
from contextlib import suppress

INTERRUPTED = 130


def exit_on_ctrl_c() -> None:
    """Let Ctrl-C end the process at once, unless the process ignores Ctrl-C."""
    _replace(signal.default_int_handler, _end)


def raise_on_ctrl_c() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt``."""
    _replace(_end, signal.default_int_handler)


def exit_on_sigterm() -> None:
    """Let SIGTERM end the process at once, with status 0, until another handler replaces this one.

    The first process of a container survives a SIGTERM that it does not handle.
    """
    with suppress(ValueError):  # only the main thread may set a handler
        signal.signal(signal.SIGTERM, lambda *_signal: os._exit(0))


def _end(*_signal: object) -> None:
    os._exit(INTERRUPTED)


def _replace(old: object, new: object) -> None:
    if signal.getsignal(signal.SIGINT) is not old:
        return
    try:
        signal.signal(signal.SIGINT, new)  # type: ignore[arg-type]  # one of the two above
    except ValueError:
        return  # only the main thread may set a handler, and only it is interrupted
