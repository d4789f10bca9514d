"""A person who rolls the other bundle out while it is measured."""

import asyncio
import time
from dataclasses import dataclass

from stream_rnn.errors import StreamRNNError
from stream_rnn.operate import rollout_requests, rollout_start
from stream_rnn.operate.rollout_status import OpenRollout
from stream_rnn.operate.rollout_waits import wait_for

WITHIN_S = 240.0
POLL_EVERY_S = 0.2


@dataclass(slots=True)
class Person:
    """A person who rolls the new bundle out, and back."""

    rollout: OpenRollout
    new: OpenRollout
    new_fold: str = ""

    async def start(self) -> None:
        """Start a roll-out; a worker reports once a second, so the first tries may be refused."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                proposal = await rollout_start.propose(self.new)
                plan = await rollout_start.start(self.new, proposal)
            except StreamRNNError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
            else:
                self.new_fold = plan.fold_ids[1]
                return

    async def is_warm(self) -> bool:
        """Return whether the candidate is near the group offset of each partition."""
        lags = [p.lag(self.new_fold) for p in (await self.rollout.status()).partitions]
        near = self.rollout.settings.batch_events_max
        return all(lag is not None and lag <= near for lag in lags)

    async def until_warm(self, within_s: float = WITHIN_S) -> bool:
        """Wait until the candidate is warm; return whether it is."""
        deadline = time.monotonic() + within_s
        while not await self.is_warm():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_EVERY_S)
        return True

    async def promote(self, fold: str) -> None:
        """Promote a fold, and wait until it is in charge of all partitions."""
        made = await rollout_requests.promote(self.rollout, fold)
        if failed := await wait_for(self.rollout, made, WITHIN_S):
            raise RuntimeError(f"a promote failed: {failed}")

    async def finish(self) -> None:
        """Drop the states of the fold that is not in charge."""
        await rollout_requests.finish(self.rollout, WITHIN_S)
