"""``stream-rnn dashboard``: a local page that shows a running fold."""

import asyncio
import time

from stream_rnn.operate.dashboard import opened
from stream_rnn.settings import FoldSettings


def run(settings: FoldSettings, workers: tuple[str, ...], port: int) -> None:
    """Show a running fold on a local page, until Ctrl-C."""

    async def run() -> None:
        wall = time.time  # noqa: TID251  # how late predictions are; never of the fold
        async with opened(settings, workers, port, wall) as dashboard:
            print(f"{dashboard.address}  Ctrl-C ends it", flush=True)
            await asyncio.Event().wait()

    asyncio.run(run())
