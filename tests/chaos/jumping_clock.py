"""Runs the command line with a wall clock that jumps by hours, back and forth.

Only ``time.time`` jumps, as when a machine's clock is set; monotonic time goes on.
"""

import sys
import time

_REAL = time.time  # noqa: TID251  # the machine's, from which it jumps
_JUMPS_S = (0.0, 7200.0, -86_400.0, 31_536_000.0, -600.0)


def jumping() -> float:
    """Return a time that is wrong in another way every two seconds."""
    return _REAL() + _JUMPS_S[int(time.monotonic() / 2) % len(_JUMPS_S)]


if __name__ == "__main__":
    time.time = jumping  # noqa: TID251  # before anything is imported: this is what is tried
    from stream_rnn.cli import main

    sys.exit(main())
