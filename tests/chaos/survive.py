"""Runs one episode on servers of its own and compares it with the oracle, for the chaos tests."""

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
    promotes_min=0,
    **planned,
) -> None:
    """Run an episode, and compare its topics and states with the oracle.

    Args:
        directory: Directory of logs and bundles.
        faults: Number of faults.
        events_min: Lower bound of the number of events; the episode lasts until it is exceeded.
        brokers: Number of brokers, 1 or 3.
        on_cluster: Whether Redis is a cluster.
        scripted: Coroutine that replaces the random faults; takes the episode.
        promotes_min: Lower bound of the number of promotes of a roll-out.
        with_audit: Whether to audit the topics, too. This needs a single fold whose records are
            all available.
        planned: Further arguments of the plan.
    """
    seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
    print(f"{SEED}={seed}")  # to reproduce a failure
    planned_episode = plan(seed, faults, brokers=brokers, on_cluster=on_cluster, **planned)
    async with Servers(brokers, on_cluster=on_cluster) as servers:
        episode = Episode(
            planned_episode, f"chaos-{seed}", servers, directory, print, events_min * 5 // 4
        )
        episode.promotes_min = promotes_min
        if scripted is not None:
            episode.scripted = lambda: scripted(episode)
        result = await episode.run()
        never = sorted(set(planned.get("kinds", ())) - set(result.kinds))
        if with_audit:
            await _audit(result)
    events = 0
    for outcome in result.outcomes:
        findings = verify(outcome, result.bundles, result.settings)
        first = min(findings.wrong, default=(0, ""))
        before = result.before(outcome.partition, first[0])
        assert not findings.counts, (
            f"{SEED}={seed} {findings.wrong}, after: {before}\n{result.story_text()}"
        )
        events += findings.events
    assert events > events_min
    if planned.get("overflows"):
        letters = [letter for outcome in result.outcomes for letter in outcome.dead_letters]
        assert any(letter.headers["sr-error"] == "step_not_finite" for letter in letters)
    assert not never, f"{SEED}={seed} the moment of {never} never came\n{result.story_text()}"


async def _audit(result) -> None:
    """Audit the topics with the package's own audit."""
    settings = result.settings
    async with TopicLog(settings, settings.source) as log:
        audit_result = await audit(log, load_bundle(result.bundles[0]), settings, AuditOptions())
    assert audit_result.is_fine(settings.delivery), f"{audit_result.counts} {audit_result.examples}"
    assert audit_result.counts["compared"] > 0
    assert audit_result.counts["not_comparable"] == audit_result.other_folds == 0
