"""What must hold in a roll-out of one partition, whatever the order of all calls."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER
from tests import models, oracle
from tests.property.invariants import ORACLE_SETTINGS, prediction, records
from tests.property.invariants import Plan as LogPlan

MODELS = tuple(with_fingerprint(models.small(cell)) for cell in ("elman", "gru"))


@cache
def truth(plan: LogPlan, fold: int, origin: int, position: int) -> oracle.Truth:
    """Return the oracle's fold of the records from an origin up to a position."""
    prefix = [r for r in records(plan) if origin <= r.offset < position]
    return oracle.fold(MODELS[fold], ORACLE_SETTINGS, prefix)


@dataclass
class Checker:
    """Checks everything that becomes visible or certain, for two folds.

    Attributes:
        world: What is checked.
        is_exact: Whether no offset may be published twice.
        charge: Group offset that was last decided; it names the fold in charge.
        asked: Requests of a person: fold id, number, origin.
        outputs: First output of each offset.
        origins: Offsets at which each fold may begin.
        cut_overs: Number of cut-overs to another fold.
        violations: Descriptions of the violations.
    """

    world: Any
    is_exact: bool
    charge: GroupOffset | None = None
    asked: set[tuple[str, int, int | None]] = field(default_factory=set)
    outputs: dict[int, Message] = field(default_factory=dict)
    origins: set[int] = field(default_factory=lambda: {0})
    cut_overs: int = 0
    violations: list[str] = field(default_factory=list)
    owner_of: dict[int, str] = field(default_factory=dict)

    def require(self, *, fact: bool, otherwise: str) -> None:
        """Record a violation unless a fact is true."""
        if not fact:
            self.violations.append(otherwise)

    def check_output(self, message: Message) -> None:
        """Check that an output is its fold's, and that a cut-over has put that fold in charge."""
        headers = dict(message.headers)
        offset, name = int(headers["sr-offset"]), headers.get("sr-fold", b"").decode()
        number, plan = int(headers.get(CUT_OVER_HEADER, 0)), self.world.plan
        if "sr-error" in headers:
            right = truth(plan, 0, 0, len(plan)).dead_letters.get(offset)
            self.require(
                fact=headers["sr-error"].decode() == right, otherwise=f"dead letter {offset}"
            )
        else:
            origin, fold = int(headers["sr-origin"]), self.world.ids.index(name)
            right = truth(plan, fold, origin, len(plan)).predictions.get(offset)
            fits = origin in self.origins and prediction(message.value) == right
            self.require(fact=fits, otherwise=f"the output of {offset} is not its fold's")
            is_known = self.owner_of.setdefault(number, name) == name
            self.require(fact=is_known, otherwise=f"two folds published with number {number}")
        first = self.outputs.setdefault(offset, message)
        if first is not message:
            is_letter = "sr-error" in headers and "group offset" in self.world.lost
            fact = not self.is_exact or is_letter
            self.require(fact=fact, otherwise=f"{offset} was published twice")

    def check_group_offset(
        self, before: GroupOffset | None, after: GroupOffset, log_end: int
    ) -> None:
        """Check a group offset when it is decided."""
        del before
        charge, self.charge = self.charge, after
        self.require(fact=after.offset <= log_end, otherwise=f"{after} is beyond the log end")
        for offset, (kind, _) in enumerate(self.world.plan.kinds[: after.offset]):
            there = kind not in "es" or offset in self.outputs
            self.require(fact=there, otherwise=f"{after}: nothing is published for {offset}")
        if charge is None:
            self.owner_of.setdefault(0, after.fold_id or "")
            return
        self._check_forward(charge, after)
        is_same = after.fold_id == charge.fold_id
        if not is_same and not after.number and not charge.number:
            # Without a cut-over, a worker with another bundle begins a new fold.
            self.require(fact=self.world.own != (0, 0), otherwise=f"{after} after {charge}")
            self.owner_of[0] = after.fold_id or ""
            return
        if self._is_forgotten(charge, after):
            return
        if not is_same or after.number != charge.number:
            asked = [a for a in self.asked if a[:2] == (after.fold_id, after.number)]
            fits = after.number > charge.number and bool(asked)
            self.require(fact=fits, otherwise=f"nobody asked for {after} after {charge}")
            seen = is_same or any(a[2] in (None, after.origin) for a in asked)
            self.require(fact=seen, otherwise=f"{after}: the person saw another origin: {asked}")
            self.require(
                fact=is_same or after.offset == charge.offset, otherwise=f"{after} is not {charge}"
            )
            self.cut_overs += not is_same
        elif self.world.is_exact_origin:
            fits = after.origin == charge.origin
            self.require(fact=fits, otherwise=f"{charge}: the origin changed: {after}")

    def _check_forward(self, before: GroupOffset, after: GroupOffset) -> None:
        """Check that the group offset went back over no predictions, and only if it was lost."""
        passed = self.world.plan.kinds[after.offset : before.offset]
        is_known = "group offset" in self.world.lost and not any(kind == "e" for kind, _ in passed)
        fact = after.offset >= before.offset or is_known
        self.require(fact=fact, otherwise=f"{before} went back to {after}")

    def _is_forgotten(self, before: GroupOffset, after: GroupOffset) -> bool:
        """Return whether nothing that is left tells of the last cut-over.

        The group offset and the plan are lost, and nothing was published since: the earlier fold
        goes on as if the cut-over had not been.
        """
        if not {"group offset", "plan"} <= self.world.lost or before.number <= after.number:
            return False
        numbers = [int(dict(m.headers).get(CUT_OVER_HEADER, 0)) for m in self.world.log.predictions]
        return max(numbers, default=0) <= after.number

    def _check_readers(self) -> None:
        """Check that a reader that drops lower numbers misses nothing, and never goes back."""
        first, number, seen = 0, 0, {}
        for message in self.world.log.predictions:
            headers = dict(message.headers)
            offset, k = int(headers["sr-offset"]), int(headers.get(CUT_OVER_HEADER, 0))
            if offset >= first and k >= number:
                first, number, seen[offset] = offset + 1, k, k
        end = self.charge.offset if self.charge is not None else 0
        missing = [
            offset
            for offset, (kind, _) in enumerate(self.world.plan.kinds[:end])
            if kind == "e" and offset not in seen
        ]
        self.require(fact=not missing, otherwise=f"a reader misses {missing}")

    def note_replaced(self, offset: GroupOffset | None) -> None:
        """Do nothing: no foreign group offset is committed here."""

    def check_redis(self) -> None:
        """Check that the states of each fold are a prefix of it, not beyond the group offset."""
        for fold, store in enumerate(self.world.stores):
            stored = store._read_position()
            if stored.position is None or stored.is_torn:
                continue
            here = f"fold {fold}: P={stored.position}, origin={stored.origin}"
            states = {key: oracle.stored(value) for key, value in store.states.items()}
            right = truth(self.world.plan, fold, stored.origin, stored.position).states
            self.require(fact=states == right, otherwise=f"{here}: Redis is not the fold")
            c = self.charge
            fits = c is not None and stored.position <= c.offset
            fits = fits or "group offset" in self.world.lost
            self.require(fact=fits, otherwise=f"{here} is above {c}")

    def check(self) -> None:
        """Raise the first violation."""
        if not self.violations:
            self._check_readers()
        assert not self.violations, self.violations[0]
