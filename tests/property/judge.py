"""What must hold of the protocol, call by call: nothing here knows how it is done.

A :class:`Plan` is a source log that is known beforehand, so the oracle folds each of its prefixes
once.  The :class:`Judge` is told what became visible and keeps what was violated.
"""

import json
from dataclasses import dataclass, field
from functools import cache

from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.recovery import Facts, Start, known_group_offset
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import record
from tests import models, oracle

ORACLE_SETTINGS = Settings.build(app="app", source="events", predictions="out")


@dataclass(frozen=True)
class Plan:
    """A source log: for each offset an event (``ea``: of key a), skip, forget, or hole (``--``)."""

    text: str

    @property
    def kinds(self) -> list[str]:
        """What is at each offset."""
        return self.text.split()

    def __len__(self) -> int:
        return len(self.kinds)


PLANS = tuple(
    Plan(text)
    for text in (
        "ea ea ea",
        "ea eb fa ea sa",
        "ea -- -- ea eb ea",
        "sa ea ea eb fb ea --",
        "ea eb ea fa ea sb ec ea",
    )
)


@cache
def records(plan: Plan) -> tuple:
    """Return the records of a plan in offset order."""
    found = []
    for offset, (kind, key) in enumerate(plan.kinds):
        event = {"x": 0.3 * offset - 0.5, "kind": "AB"[offset % 2]}
        value = {"e": event, "s": b"not json", "f": None}.get(kind)
        if kind != "-":
            found.append(record(offset, key.encode(), value, 1000 * offset + 1))
    return tuple(found)


@cache
def truth(plan: Plan, origin: int, position: int) -> oracle.Truth:
    """Fold [origin, position) one record at a time."""
    some = [r for r in records(plan) if origin <= r.offset < position]
    return oracle.fold(models.small("elman"), ORACLE_SETTINGS, some)


@cache
def prediction(value: bytes) -> dict:
    """Read a prediction; there are few different ones."""
    return json.loads(value)


@dataclass
class Judge:
    """Watches what becomes visible.

    Attributes:
        plan: what the log holds.
        is_exact: nothing may be published twice.
        origins: where a fold may begin: the log start at first, and wherever history was given up.
        lost: offsets that were announced as lost.
        outputs: the first prediction or dead letter of each offset.
        is_group_lost: C has expired once.
        violations: what was found.
    """

    plan: Plan
    is_exact: bool
    origins: set[int] = field(default_factory=lambda: {0})
    lost: set[int] = field(default_factory=set)
    outputs: dict[int, Message] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    is_group_lost: bool = False

    def require(self, *, fact: bool, otherwise: str) -> None:
        """Keep a violation; it is raised where the test can see it."""
        if not fact:
            self.violations.append(otherwise)

    def decided(self, facts: Facts, start: Start) -> None:
        """Note what a recovery announces: where a fold begins anew, and what that gives up."""
        if start.lost or start.row == 4:
            c = known_group_offset(facts)
            self.origins.add(start.origin)
            self.lost |= set(range(c.offset if c else 0, start.position))

    def published(self, message: Message) -> None:
        """Check a prediction or a dead letter that is visible, or is certain to become so."""
        headers = dict(message.headers)
        offset = int(headers["sr-offset"])
        if "sr-error" in headers:
            right = truth(self.plan, 0, len(self.plan)).dead_letters.get(offset)
            fits = headers["sr-error"].decode() == right
        else:
            origin = int(headers["sr-origin"])
            right = truth(self.plan, origin, len(self.plan)).predictions.get(offset)
            fits = origin in self.origins and prediction(message.value) == right
        self.require(fact=fits, otherwise=f"the output of {offset} is wrong")
        first = self.outputs.setdefault(offset, message)
        if first is message:
            return
        self.require(fact=not self.is_exact, otherwise=f"{offset} was published twice")
        if dict(first.headers).get("sr-origin") == headers.get("sr-origin"):
            same = (first.key, first.value) == (message.key, message.value)
            self.require(fact=same, otherwise=f"the duplicates of {offset} differ")

    def moved(self, before: GroupOffset | None, after: GroupOffset, log_end: int) -> None:
        """Check C where it is written."""
        if before is not None:
            back = after.offset < before.offset
            self.require(fact=not back, otherwise=f"C moved back to {after.offset}")
        self.require(fact=after.offset <= log_end, otherwise=f"C={after.offset} is above E")
        self._require_outputs_below(after.offset)

    def folded(self, store: MemoryStore, c: GroupOffset | None, log_end: int) -> None:
        """Check what Redis holds, unless it is torn, and that it is not ahead of C."""
        held = store._read_position()
        if held.position is None or held.is_torn:
            return
        here = f"P={held.position}, origin={held.origin}"
        self.require(fact=held.origin in self.origins, otherwise=f"{here}: nobody announced it")
        self.require(fact=held.origin <= held.position <= log_end, otherwise=f"{here}, E={log_end}")
        if c is None:
            self.require(fact=self.is_group_lost, otherwise=f"{here}, and there is no C")
        else:
            self.require(fact=held.position <= c.offset, otherwise=f"{here} is above C={c.offset}")
        states = {key: oracle.stored(value) for key, value in store.states.items()}
        right = truth(self.plan, held.origin, held.position).states
        self.require(fact=states == right, otherwise=f"{here}: Redis is not the fold")

    def finished(self, position: int | None, c: GroupOffset | None) -> None:
        """Check that everything was folded and published."""
        end = len(self.plan)
        done = c is not None and position == end == c.offset
        self.require(fact=done, otherwise=f"no progress: P={position}, C={c}, E={end}")
        self._require_outputs_below(end)

    def _require_outputs_below(self, position: int) -> None:
        for offset, (kind, _) in enumerate(self.plan.kinds[:position]):
            there = kind not in "es" or offset in self.outputs or offset in self.lost
            self.require(fact=there, otherwise=f"C={position}, nothing published of {offset}")

    def check(self) -> None:
        """Raise what was violated first."""
        assert not self.violations, self.violations[0]
