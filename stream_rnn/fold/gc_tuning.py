"""Python's collector of cycles, taught that a fold makes millions of objects and no cycles.

With Python's own thresholds it walks through all records and predictions in flight again and
again: half of the time of a replay, measured.  What is loaded is frozen, and it looks each 200,000
objects; cycles that clients and exceptions leave are still found.
"""

import atexit
import gc

OBJECTS_A_LOOK = 200_000
LOOKS_AT_ALL = 50


def calm_collector() -> None:
    """Look for cycles seldom, in this process; called once, by a process that is ours."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries that count at the end what is left would complain
    gc.set_threshold(OBJECTS_A_LOOK, 10, LOOKS_AT_ALL)
