"""What the chaos tests share: one episode on servers of its own, compared with the oracle."""

import os
import secrets

from tests.chaos.episode import Episode
from tests.chaos.plan import plan
from tests.chaos.servers import Servers
from tests.chaos.verify import verify

SEED = "STREAM_RNN_TEST_CHAOS_SEED"


async def survive(directory, faults, *, brokers=1, scripted=None, **planned) -> int:
    """Run an episode and compare all that it leaves; return how many events it had.

    Args:
        directory: of logs and bundles.
        faults: how many.
        brokers: 1 or 3.
        scripted: happens in place of drawn faults; called with the episode.
        planned: more of the plan.
    """
    seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
    print(f"{SEED}={seed}")  # so that a failure can be had again
    one = plan(seed, faults, brokers=brokers, **planned)
    async with Servers(brokers) as servers:
        episode = Episode(one, f"chaos-{seed}", servers, directory, print)
        if scripted is not None:
            episode.scripted = lambda: scripted(episode)
        happened = await episode.run()
    events = 0
    for left in happened.left:
        found = verify(left, happened.bundles, happened.settings)
        first = min(found.wrong, default=(0, ""))
        before = happened.before(left.partition, first[0])
        assert not found.counts, f"{SEED}={seed} {found.wrong}, after: {before}\n{happened.told()}"
        events += found.events
    return events
