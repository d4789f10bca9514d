"""The result of an episode: its story, and the topics and states for the comparison."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests.chaos.plan import Plan
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics
from tests.chaos.verify import PartitionOutcome, StoredPosition


@dataclass(slots=True)
class EpisodeResult:
    """The result of an episode.

    Attributes:
        plan: Plan of the episode.
        settings: Settings of the fold.
        bundles: Paths of the bundles of both folds.
        story: Seconds, text and group offsets by partition for each note.
        kinds: Number of faults by kind.
        missed: Number of faults by kind whose moment never came.
        records: Number of sent records.
        outcomes: Topics and states by partition, for the oracle.
        seconds: Duration of the episode.
        rollout: Figures of the roll-out, if there was one.
    """

    plan: Plan
    settings: Settings
    bundles: list[str]
    story: list[tuple[float, str, dict[int, int]]] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)
    missed: Counter = field(default_factory=Counter)
    records: int = 0
    outcomes: list[PartitionOutcome] = field(default_factory=list)
    seconds: float = 0.0
    rollout: dict[str, object] = field(default_factory=dict)

    def before(self, partition: int, offset: int) -> str:
        """Return the last note while the group offset was at or below an offset."""
        notes = [text for _, text, c in self.story if c.get(partition, 0) <= offset]
        return notes[-1] if notes else "nothing"

    def story_text(self) -> str:
        """Return the story, with a line for each note."""
        return "\n".join(f"{at:7.1f} s  {text}  C={c}" for at, text, c in self.story)


async def collect(
    result: EpisodeResult, topics: Topics, servers: Servers
) -> list[PartitionOutcome]:
    """Read the topics and states of each partition, and delete the states."""
    settings, outcomes = result.settings, []
    for partition, c in sorted((await topics.group_offsets()).items()):
        outcome = PartitionOutcome(
            partition,
            await topics.source(partition),
            await topics.outputs(settings.predictions, partition),
            await topics.outputs(settings.dead_letters_topic, partition),
            await asyncio.to_thread(_read_stored, result, servers, partition),
            c,
            await topics.known(partition) if result.plan.rolls_out else None,
        )
        outcomes.append(outcome)
    return outcomes


def _read_stored(
    result: EpisodeResult, servers: Servers, partition: int
) -> dict[str, StoredPosition]:
    stored, settings = {}, result.settings
    with servers.connect() as redis:
        for bundle in result.bundles:
            identity = fold_id(load_bundle(bundle).fingerprint, settings)
            tag = store_tag(settings.app, settings.source, partition, identity)
            position = redis.hgetall(f"{{{tag}}}:position")
            if position:
                stored[identity] = StoredPosition(
                    int(position[b"position"]),
                    int(position[b"origin"]),
                    int(position[b"keys"]),
                    redis.hgetall(f"{{{tag}}}:hidden"),
                )
            redis.unlink(f"{{{tag}}}:position", f"{{{tag}}}:hidden")
    return stored
