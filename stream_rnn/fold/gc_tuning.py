"""Thresholds of Python's garbage collector for a fold, which makes millions of objects, few cycles.

With Python's default thresholds the collector traverses all records and predictions in flight
again and again, which takes half of the time of a replay.  Here it ignores the objects that exist
at start and runs after each 200,000 new objects, so it still collects the cycles that clients and
exceptions leave.
"""

import atexit
import gc

OBJECTS_PER_COLLECTION = 200_000
FULL_COLLECTION_EVERY = 50


def tune_garbage_collector() -> None:
    """Make garbage collections rare in this process; call it once, and only from a command."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries report at exit which objects are left
    gc.set_threshold(OBJECTS_PER_COLLECTION, 10, FULL_COLLECTION_EVERY)
