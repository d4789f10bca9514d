"""A plain Faust agent that counts events by key and prints the count: the cost of Faust itself.

``python -m tests.bench.peers.faust_count BOOTSTRAP SOURCE OUTPUT APP DIRECTORY``
"""

import sys
from collections import Counter

import faust

BOOTSTRAP, SOURCE, _OUTPUT, APP, DIRECTORY = sys.argv[1:]

app = faust.App(APP, broker=f"kafka://{BOOTSTRAP}", datadir=DIRECTORY)
source = app.topic(SOURCE, key_serializer="raw", value_serializer="raw")
counts: Counter[bytes] = Counter()


@app.agent(source)
async def count(stream) -> None:
    """Count events by key."""
    async for event in stream.events():
        counts[event.key] += 1


@app.timer(0.25)
async def print_count() -> None:
    """Print the number of events."""
    print(f"counted {counts.total()}", flush=True)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
