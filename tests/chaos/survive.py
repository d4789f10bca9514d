"""What the chaos tests share: one episode on servers of its own, compared with the oracle."""

import os
import secrets

from stream_rnn.audit.audit import audit
from stream_rnn.audit.result import AuditOptions
from stream_rnn.model.bundle import load_bundle
from stream_rnn.replay.logs import TopicLog
from tests.chaos.episode import Episode
from tests.chaos.plan import plan
from tests.chaos.servers import Servers
from tests.chaos.verify import verify

SEED = "STREAM_RNN_TEST_CHAOS_SEED"


async def survive(
    directory,
    faults,
    *,
    events_min,
    brokers=1,
    on_cluster=False,
    scripted=None,
    with_audit=False,
    **planned,
) -> None:
    """Run an episode and compare all that it leaves.

    Args:
        directory: of logs and bundles.
        faults: how many.
        events_min: the log has more events than this; it goes on for so long.
        brokers: 1 or 3.
        on_cluster: whether Redis is a cluster.
        scripted: happens in place of drawn faults; called with the episode.
        with_audit: audit the topics, too: there was one fold, and no record was removed.
        planned: more of the plan.
    """
    seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
    print(f"{SEED}={seed}")  # so that a failure can be had again
    one = plan(seed, faults, brokers=brokers, on_cluster=on_cluster, **planned)
    async with Servers(brokers, on_cluster=on_cluster) as servers:
        episode = Episode(one, f"chaos-{seed}", servers, directory, print, events_min * 5 // 4)
        if scripted is not None:
            episode.scripted = lambda: scripted(episode)
        happened = await episode.run()
        if with_audit:
            await _audit(happened)
    events = 0
    for left in happened.left:
        found = verify(left, happened.bundles, happened.settings)
        first = min(found.wrong, default=(0, ""))
        before = happened.before(left.partition, first[0])
        assert not found.counts, f"{SEED}={seed} {found.wrong}, after: {before}\n{happened.told()}"
        events += found.events
    assert events > events_min


async def _audit(happened) -> None:
    """Let the package's own audit look at what is left, as anybody could."""
    settings = happened.settings
    async with TopicLog(settings, settings.source) as log:
        found = await audit(log, load_bundle(happened.bundles[0]), settings, AuditOptions())
    assert found.is_fine(settings.delivery), f"{found.counts} {found.examples}"
    assert found.counts["compared"] > 0
    assert found.counts["not_comparable"] == found.other_folds == 0
