"""Which fold is in charge of a partition: the one that the group offset names, if a worker has it.

The plan is read after the group offset, because a plan that is older than the group offset could
lack the bundle that the group offset names.  It is read only if Kafka has lost the group offset, or
if the group offset names a fold that this worker has not loaded.  So a plan that another program has
damaged stops no worker that can go on without it.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from stream_rnn.errors import UnreachableError
from stream_rnn.fold.facts import Facts, known_group_offset
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery_facts import Consult
from stream_rnn.fold.source import Source
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.rollout.candidate import CandidateSource, Published, Turn
from stream_rnn.rollout.plan import Plan
from stream_rnn.store.state import Store


class OtherFold(Exception):  # noqa: N818  # no error: another fold of this worker is in charge
    """Another fold is in charge, and this worker has its bundle."""

    def __init__(self, fold_id: str) -> None:
        super().__init__(f"fold {fold_id} is in charge")
        self.fold_id = fold_id


class Folds(Protocol):
    """The folds that a worker can run, and the plan of its roll-out."""

    @property
    def own(self) -> str:
        """Id of the fold of the worker's own bundle."""

    @property
    def plan(self) -> Plan | None:
        """The plan as it was last read; ``None`` if there is none."""

    async def read_plan(self) -> Plan | None:
        """Read the plan now, and load its bundles.

        Raises:
            UnavailableError: Redis does not answer.
        """

    def has(self, fold_id: str) -> bool:
        """Return whether the bundle of a fold is loaded."""

    def refusal(self, fold_id: str) -> str:
        """Return why this worker cannot run a fold of the plan; empty for no known reason."""

    def unreachable(self, fold_id: str) -> UnreachableError | None:
        """Return why the bundle of a fold could not be loaded, if a server did not answer."""

    def store(self, fold_id: str, partition: int) -> Store:
        """Return the store of a fold's hidden states."""

    def active(
        self,
        fold_id: str,
        partition: int,
        source: Source,
        publisher: Publisher,
        consult: Consult,
    ) -> Processor:
        """Make the processor of the fold in charge."""

    def candidate(
        self,
        fold_id: str,
        partition: int,
        published: Published,
        turn: Turn,
    ) -> tuple[Processor, CandidateSource]:
        """Make the processor of the candidate, and its source."""


@dataclass(frozen=True, slots=True)
class InCharge:
    """Finds the fold in charge of one partition.

    Attributes:
        folds: Folds that this worker can run.
        partition: Number of the source partition.
    """

    folds: Folds
    partition: int

    async def consult(self, facts: Facts) -> Facts:
        """Add what the plan says to the facts; read it only where it can change the decision.

        Raises:
            OtherFold: Another fold that this worker can run is in charge.
            UnreachableError: This worker cannot run the fold in charge only because a server does
                not answer.
            ConfigError: The decision needs the plan, and another program has written it.
        """
        known = known_group_offset(facts)
        fold_id = self._in_charge(known)
        is_lost = facts.group_offset is None and facts.last_output is not None
        if is_lost or not self.folds.has(fold_id):
            plan = await self.folds.read_plan()
            if is_lost and plan is not None:
                facts = await self._with_promoted(facts, plan)
            known = known_group_offset(facts)
            fold_id = self._in_charge(known)
            if not self.folds.has(fold_id):
                assert known is not None, "a worker has its own bundle"
                facts = without_fold_in_charge(facts, plan, self.partition, known)
                facts = self._with_refusal(facts, known, fold_id)
                fold_id = self.folds.own
        if fold_id != facts.fold_id:
            raise OtherFold(fold_id)
        return facts

    def _in_charge(self, known: GroupOffset | None) -> str:
        """Return the id of the fold in charge; the own one if no fold has written a group offset."""
        return self.folds.own if known is None or known.fold_id is None else known.fold_id

    def _with_refusal(self, facts: Facts, known: GroupOffset, fold_id: str) -> Facts:
        """Add why this worker cannot run the fold in charge, unless it may go on without that fold.

        Raises:
            UnreachableError: Only a server that does not answer keeps that fold from going on.
        """
        is_kept = known.number > 0 or facts.is_rolled_out
        if not is_kept or facts.takes_over or facts.abandoned_for:
            return facts
        if (error := self.folds.unreachable(fold_id)) is not None:
            raise UnreachableError(
                f"{facts.place}: the fold {fold_id} is in charge, and this worker cannot load it: "
                f"{error}; the next start of the worker tries again"
            ) from error
        return replace(facts, refusal=self.folds.refusal(fold_id))

    async def _with_promoted(self, facts: Facts, plan: Plan) -> Facts:
        """Return the facts of a partition whose group offset is lost."""
        promoted, last = plan.promotes.get(self.partition), None
        stored = {f: await self.folds.store(f, self.partition).read() for f in plan.fold_ids}
        if promoted is not None:
            origin = promoted.origin
            if origin is None and promoted.fold_id in stored:
                origin = stored[promoted.fold_id].origin
            if origin is not None:
                last = GroupOffset(0, promoted.fold_id, origin, promoted.number)
        position = max(one.position or 0 for one in stored.values())
        return replace(facts, other_position=position, last_promoted=last)


def without_fold_in_charge(
    facts: Facts, plan: Plan | None, partition: int, known: GroupOffset
) -> Facts:
    """Return the facts of a fold, if this worker cannot load the bundle of the one in charge.

    A roll-out goes on with the fold in charge, also before its first cut-over.  So another fold
    takes the partition over only if a person has abandoned the one in charge, for this other fold.

    Args:
        facts: Facts of the fold that would start.
        plan: Plan of the roll-out, if any.
        partition: Number of the source partition.
        known: Group offset.
    """
    if plan is None:
        return facts
    is_open = plan.stage == "open" and known.fold_id in plan.fold_ids
    if not known.number and not is_open:
        return facts
    facts = replace(facts, is_rolled_out=is_open)
    request = plan.pending(partition, known.number)
    if request is None or request.kind != "abandon":
        return facts
    if request.fold_id != facts.fold_id:
        return replace(facts, abandoned_for=request.fold_id)
    return replace(facts, takes_over=request.number)
