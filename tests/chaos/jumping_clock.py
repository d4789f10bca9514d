"""Runs the command line with a wall clock that jumps back and forth by hours.

Only ``time.time`` jumps, as if somebody set the clock of the machine; monotonic time does not.
"""

import sys
import time

_REAL = time.time  # noqa: TID251  # the clock of the machine
_JUMPS_S = (0.0, 7200.0, -86_400.0, 31_536_000.0, -600.0)


def jumping() -> float:
    """Return the time with an error that changes every two seconds."""
    return _REAL() + _JUMPS_S[int(time.monotonic() / 2) % len(_JUMPS_S)]


if __name__ == "__main__":
    time.time = jumping  # noqa: TID251  # replaced before any import, on purpose
    from stream_rnn.cli import main

    sys.exit(main())
