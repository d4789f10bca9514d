"""``stream-rnn dashboard``: a local web page that shows a running fold."""

import asyncio
import time

from stream_rnn.operate.dashboard import open_dashboard
from stream_rnn.settings import FoldSettings


def run(settings: FoldSettings, workers: tuple[str, ...], port: int) -> None:
    """Show a running fold on a local web page until Ctrl-C."""

    async def serve() -> None:
        wall = time.time  # noqa: TID251  # delays of predictions, which the fold does not use
        async with open_dashboard(settings, workers, port, wall) as dashboard:
            print(f"{dashboard.address}  press Ctrl-C to stop", flush=True)
            await asyncio.Event().wait()

    asyncio.run(serve())
