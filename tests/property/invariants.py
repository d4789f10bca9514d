"""The invariants of the protocol, checked at each call, independently of the implementation.

A :class:`Plan` is a fixed source log, so the oracle folds each of its prefixes only once.  The
:class:`InvariantChecker` receives everything that becomes visible, and records violations.
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
    """A source log: at each offset an event (``ea``: of key a), skip, forget or gap (``--``)."""

    text: str

    @property
    def kinds(self) -> list[str]:
        """Kind and key of the record at each offset."""
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
    result = []
    for offset, (kind, key) in enumerate(plan.kinds):
        event = {"x": 0.3 * offset - 0.5, "kind": "AB"[offset % 2]}
        value = {"e": event, "s": b"not json", "f": None}.get(kind)
        if kind != "-":
            result.append(record(offset, key.encode(), value, 1000 * offset + 1))
    return tuple(result)


@cache
def truth(plan: Plan, origin: int, position: int) -> oracle.Truth:
    """Return the oracle's fold of the records from an origin up to a position."""
    prefix = [r for r in records(plan) if origin <= r.offset < position]
    return oracle.fold(models.small("elman"), ORACLE_SETTINGS, prefix)


@cache
def prediction(value: bytes) -> dict:
    """Parse a prediction; the cache pays off because few predictions differ."""
    return json.loads(value)


@dataclass
class InvariantChecker:
    """Checks everything that becomes visible.

    Attributes:
        plan: Plan of the source log.
        is_exact: Whether no output may be published twice.
        origins: Offsets at which a fold may begin: the log start, and each offset at which a worker
            accepted lost history.
        lost: Offsets that a recovery has announced as lost.
        outputs: First prediction or dead letter of each offset.
        is_group_lost: Whether the group offset has expired.
        replaced: Greatest group offset of a fold that a foreign one has replaced; ``None`` before
            anybody else has committed a group offset.
        violations: Descriptions of the violations.
    """

    plan: Plan
    is_exact: bool
    origins: set[int] = field(default_factory=lambda: {0})
    lost: set[int] = field(default_factory=set)
    outputs: dict[int, Message] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    is_group_lost: bool = False
    replaced: int | None = None

    def require(self, *, fact: bool, otherwise: str) -> None:
        """Record a violation unless a fact is true; ``check`` raises it later, in the test."""
        if not fact:
            self.violations.append(otherwise)

    def note_start(self, facts: Facts, start: Start) -> None:
        """Record the origin of a fold that begins again, and the offsets that this loses."""
        if start.lost or start.row == 4:
            c = known_group_offset(facts)
            self.origins.add(start.origin)
            self.lost |= set(range(c.offset if c else 0, start.position))

    def note_replaced(self, offset: GroupOffset | None) -> None:
        """Record a group offset that a foreign one replaces; it still proves what is published."""
        known = 0 if offset is None or offset.is_foreign else offset.offset
        self.replaced = max(self.replaced or 0, known)

    def check_output(self, message: Message) -> None:
        """Check a prediction or a dead letter that is visible or certain to become visible."""
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

    def check_group_offset(
        self, before: GroupOffset | None, after: GroupOffset, log_end: int
    ) -> None:
        """Check a group offset when it is written."""
        if before is not None and not before.is_foreign:
            back = after.offset < before.offset
            self.require(fact=not back, otherwise=f"C moved back to {after.offset}")
        self.require(fact=after.offset <= log_end, otherwise=f"C={after.offset} is above E")
        self._require_outputs_below(after.offset)

    def check_redis(self, store: MemoryStore, c: GroupOffset | None, log_end: int) -> None:
        """Check that Redis, unless torn, equals the fold and is not ahead of the group offset."""
        stored = store._read_position()
        if stored.position is None or stored.is_torn:
            return
        here = f"P={stored.position}, origin={stored.origin}"
        self.require(
            fact=stored.origin in self.origins,
            otherwise=f"{here}: no recovery announced this origin",
        )
        self.require(
            fact=stored.origin <= stored.position <= log_end, otherwise=f"{here}, E={log_end}"
        )
        if c is None:
            self.require(fact=self.is_group_lost, otherwise=f"{here}, without a C")
        else:
            published = max(0 if c.is_foreign else c.offset, self.replaced or 0)
            fits = stored.position <= published or (c.is_foreign and self.is_group_lost)
            self.require(fact=fits, otherwise=f"{here} is above C={c}")
        states = {key: oracle.stored(value) for key, value in store.states.items()}
        right = truth(self.plan, stored.origin, stored.position).states
        self.require(fact=states == right, otherwise=f"{here}: Redis is not the fold")

    def check_finished(self, position: int | None, c: GroupOffset | None) -> None:
        """Check that everything is folded and published."""
        end = len(self.plan)
        done = c is not None and position == end == c.offset
        self.require(fact=done, otherwise=f"no progress: P={position}, C={c}, E={end}")
        self._require_outputs_below(end)

    def _require_outputs_below(self, position: int) -> None:
        for offset, (kind, _) in enumerate(self.plan.kinds[:position]):
            there = kind not in "es" or offset in self.outputs or offset in self.lost
            self.require(fact=there, otherwise=f"C={position}, nothing is published for {offset}")

    def check(self) -> None:
        """Raise the first violation."""
        assert not self.violations, self.violations[0]
