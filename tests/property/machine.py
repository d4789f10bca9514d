"""What may happen to the :class:`World`, drawn at random; no test in it.

The rules are weighted by what they do with a worker that is down or an effect that is not there:
they make it so, instead of doing nothing.
"""

from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stream_rnn.kafka.group_offsets import GroupOffset
from tests.property.judge import PLANS
from tests.property.protocol import Kit, World, build_settings

slots = st.integers(0, 1)
gate_counts = st.sampled_from([1, 2, 3, 5, 9, 20, 60])
calls = st.sampled_from(
    [
        "publisher.ask",
        "publisher.start",
        "log.log_start",
        "store.read",
        "log.group_offset",
        "log.log_end",
        "store.start",
        "source.take",
        "store.load",
        "publisher.begin",
        "publisher.send",
        "publisher.commit",
        "store.commit",
    ]
)


class Machine(RuleBasedStateMachine):
    """Two workers of one partition, and every fault of the protocol's model."""

    delivery: ClassVar[str] = "exactly_once"
    kit: ClassVar[Kit] = Kit()
    world: World

    @initialize(
        plan=st.sampled_from(PLANS),
        shown=st.integers(1, 8),
        lost=st.sampled_from(["stop", "accept"]),
    )
    def begin(self, plan, shown, lost):
        """Begin with an empty Redis, no group offset and one worker."""
        self.world = World(plan, shown, build_settings(self.delivery, lost), self.kit)
        self.world.assign(0)

    def awake(self, slot):
        """Return a slot with a worker; one that was ended is started again."""
        world = self.world
        if world.workers[slot] is not None:
            return slot
        if world.workers[1 - slot] is not None and world.owner != slot:
            return 1 - slot
        world.assign(slot)
        return slot

    @rule(slot=slots, gates=gate_counts)
    def pass_gates(self, slot, gates):
        """Let a worker go on for some gates."""
        self.world.advance(self.awake(slot), gates)

    @rule(slot=slots, call=calls)
    def pass_until(self, slot, call):
        """Let a worker go on to the gate before a call."""
        self.world.advance(self.awake(slot), 60, until=call)

    @rule(slot=slots, gates=st.integers(1, 40))
    def pass_more(self, slot, gates):
        """Let a worker go on; more of what is no fault."""
        self.world.advance(self.awake(slot), gates)

    @rule(slot=slots)
    def lose_an_answer(self, slot):
        """Let a call take effect, without an answer."""
        self.world.lose(self.awake(slot))

    @rule(slot=slots, call=st.sampled_from(["store.start", "store.commit", "publisher.commit"]))
    def delay_a_write(self, slot, call):
        """Let a write stay on its way."""
        slot = self.awake(slot)
        self.world.advance(slot, 40, until=call)
        self.world.delay(slot)

    @precondition(lambda self: self.world.late)
    @rule()
    def land(self):
        """Let the oldest late write arrive."""
        self.world.land()

    @rule(slot=slots)
    def reassign(self, slot):
        """Give the partition to a slot; the other one's worker is a zombie."""
        self.world.assign(slot)

    @rule(slot=slots, is_restarted=st.booleans())
    def crash(self, slot, is_restarted):
        """End a worker where it is."""
        self.world.crash(slot)
        if is_restarted:
            self.awake(slot)

    @rule(what=st.sampled_from(["all", "position", "state", "backup"]))
    def lose_states(self, what):
        """Take away what Redis holds."""
        self.world.lose_states(what)

    @rule(
        slot=slots,
        call=st.sampled_from(["store.load", "store.commit"]),
        what=st.sampled_from(["all", "backup"]),
    )
    def lose_states_before(self, slot, call, what):
        """Take away what Redis holds while a micro-batch is in hand."""
        slot = self.awake(slot)
        self.world.advance(slot, 40, until=call)
        self.world.lose_states(what)
        self.world.advance(slot, 12)

    @rule()
    def back_up(self):
        """Remember what Redis holds: it may fall back to it."""
        self.world.backup = self.world.store.copy()

    @precondition(lambda self: self.world.broker.transaction)
    @rule(is_decided=st.booleans())
    def end_a_transaction(self, is_decided):
        """Write the markers of a decided transaction, or let an open one time out."""
        if is_decided:
            self.world.broker.complete()
        else:
            self.world.broker.time_out()

    @rule()
    def forget_the_producer(self):
        """Let Kafka forget the partition's producers: they were idle for too long."""
        self.world.broker.forget()

    @rule(offsets=st.integers(1, 3))
    def append(self, offsets):
        """Append records."""
        self.world.append(offsets)

    @rule(beyond=st.integers(-1, 2))
    def retain(self, beyond):
        """Remove records below the position, or beyond it where that may be accepted."""
        world = self.world
        position = world.store.stored.position
        c = world.broker.decided
        base = position if position is not None else c.offset if c else 0
        if world.choices.on_lost_history == "stop":
            beyond = min(beyond, 0)
        world.retain(max(base + beyond, 0))

    @precondition(lambda self: self.world.choices.on_lost_history == "accept")
    @rule(slot=slots, beyond=st.integers(0, 1), is_back=st.booleans())
    def lose_history(self, slot, beyond, is_back):
        """Lose states and history under a worker that is about to commit; the other one accepts it."""
        slot, world = self.awake(slot), self.world
        world.advance(slot, 40, until="store.commit")
        world.retain((world.store.stored.position or 0) + beyond)
        world.lose_states("all")
        world.assign(1 - slot)
        world.advance(1 - slot, 40, until="source.take")
        if is_back:  # a zombie, before the owner folds anything
            world.advance(slot, 2)

    @rule()
    def lose_group_offset(self):
        """Let the offset of the group expire while nobody runs."""
        self.world.lose_group_offset()

    @invariant()
    def holds(self):
        """Nothing was violated."""
        if hasattr(self, "world"):
            self.world.look()
            self.world.judge.check()

    def teardown(self):
        """Everything can still be folded and published."""
        if not hasattr(self, "world"):
            return
        if not self.world.judge.violations:
            self.world.finish()
        self.world.close()
        self.world.judge.check()


class TimerMachine(Machine):
    """Faust's timer commits the position of a worker, whatever has been committed since."""

    @rule(slot=slots)
    def commit_by_timer(self, slot):
        """Commit what is folded, not what is published."""
        worker, world = self.world.workers[slot], self.world
        if worker is not None and worker.processor.position >= 0:
            offset = GroupOffset(worker.processor.position, world.fold_id, worker.processor.origin)
            world.broker.set_offset(offset)


def search(machine: type[Machine], examples: int, *, shrink: bool = True, **parts) -> None:
    """Run a machine for a number of examples, the same ones each time.

    Args:
        machine: what may happen.
        examples: how many at most.
        shrink: look for the shortest trace.
        parts: attributes of the machine: ``delivery``, ``kit``.
    """
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    configured = settings(
        max_examples=examples,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    named = type("Found", (machine,), parts)
    run_state_machine_as_test(named, settings=configured)
