"""State machines that draw the events of a :class:`World` at random.

If a rule needs a running worker or a pending effect that does not exist, it first creates one
instead of doing nothing, so that few steps are wasted.
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
from tests.property.invariants import PLANS
from tests.property.protocol import Components, World, build_settings

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
    """Two workers of one partition, with all faults of the model."""

    delivery: ClassVar[str] = "exactly_once"
    components: ClassVar[Components] = Components()
    world: World

    @initialize(
        plan=st.sampled_from(PLANS),
        shown=st.integers(1, 8),
        lost=st.sampled_from(["stop", "accept"]),
    )
    def begin(self, plan, shown, lost):
        """Begin with an empty Redis, no group offset and one worker."""
        self.world = World(plan, shown, build_settings(self.delivery, lost), self.components)
        self.world.assign(0)

    def awake(self, slot):
        """Return a slot with a worker; start one in the slot if necessary."""
        world = self.world
        if world.workers[slot] is not None:
            return slot
        if world.workers[1 - slot] is not None and world.owner != slot:
            return 1 - slot
        world.assign(slot)
        return slot

    @rule(slot=slots, gates=gate_counts)
    def pass_gates(self, slot, gates):
        """Let a worker pass some gates."""
        self.world.advance(self.awake(slot), gates)

    @rule(slot=slots, call=calls)
    def pass_until(self, slot, call):
        """Let a worker continue to the gate before a call."""
        self.world.advance(self.awake(slot), 60, until=call)

    @rule(slot=slots, gates=st.integers(1, 40))
    def pass_more(self, slot, gates):
        """Let a worker pass gates, so that progress is more frequent than faults."""
        self.world.advance(self.awake(slot), gates)

    @rule(slot=slots)
    def lose_an_answer(self, slot):
        """Let a call take effect, and lose its answer."""
        self.world.lose_answer(self.awake(slot))

    @rule(slot=slots, call=st.sampled_from(["store.start", "store.commit", "publisher.commit"]))
    def delay_a_write(self, slot, call):
        """Delay the effect of a write."""
        slot = self.awake(slot)
        self.world.advance(slot, 40, until=call)
        self.world.delay_write(slot)

    @precondition(lambda self: self.world.late)
    @rule()
    def land_write(self):
        """Let the oldest delayed write take effect."""
        self.world.land_write()

    @rule(slot=slots)
    def reassign(self, slot):
        """Assign the partition to a slot; the worker of the other slot becomes a zombie."""
        self.world.assign(slot)

    @rule(slot=slots, is_restarted=st.booleans())
    def crash(self, slot, is_restarted):
        """End a worker at its gate."""
        self.world.crash(slot)
        if is_restarted:
            self.awake(slot)

    @rule(what=st.sampled_from(["all", "position", "state", "backup"]))
    def lose_states(self, what):
        """Delete or damage the content of Redis."""
        self.world.lose_states(what)

    @rule(
        slot=slots,
        call=st.sampled_from(["store.load", "store.commit"]),
        what=st.sampled_from(["all", "backup"]),
    )
    def lose_states_before(self, slot, call, what):
        """Delete the content of Redis in the middle of a micro-batch."""
        slot = self.awake(slot)
        self.world.advance(slot, 40, until=call)
        self.world.lose_states(what)
        self.world.advance(slot, 12)

    @rule()
    def back_up(self):
        """Copy the content of Redis, which a later fault may restore."""
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
        """Let Kafka forget the producers of the partition, as after a long idle time."""
        self.world.broker.forget()

    @rule(offsets=st.integers(1, 3))
    def append(self, offsets):
        """Append records."""
        self.world.append(offsets)

    @rule(beyond=st.integers(-1, 2))
    def retain(self, beyond):
        """Remove records below the position, or beyond it if ``on_lost_history`` is ``accept``."""
        world = self.world
        position = world.store.stored.position
        c = world.broker.decided
        base = position if position is not None else c.offset if c else 0
        if world.options.on_lost_history == "stop":
            beyond = min(beyond, 0)
        world.retain(max(base + beyond, 0))

    @precondition(lambda self: self.world.options.on_lost_history == "accept")
    @rule(slot=slots, beyond=st.integers(0, 1), is_back=st.booleans())
    def lose_history(self, slot, beyond, is_back):
        """Lose states and history before a worker commits; the other worker accepts the loss."""
        slot, world = self.awake(slot), self.world
        world.advance(slot, 40, until="store.commit")
        world.retain((world.store.stored.position or 0) + beyond)
        world.lose_states("all")
        world.assign(1 - slot)
        world.advance(1 - slot, 40, until="source.take")
        if is_back:  # the zombie commits before the owner folds anything
            world.advance(slot, 2)

    @rule()
    def lose_group_offset(self):
        """Let the group offset expire while no worker runs."""
        self.world.lose_group_offset()

    @invariant()
    def holds(self):
        """Check that no invariant is violated."""
        if hasattr(self, "world"):
            self.world.check_redis()
            self.world.checker.check()

    def teardown(self):
        """Check that a new worker can still fold and publish everything."""
        if not hasattr(self, "world"):
            return
        if not self.world.checker.violations:
            self.world.finish()
        self.world.close()
        self.world.checker.check()


class TimerMachine(Machine):
    """A machine in which Faust's timer commits the position of a worker as the group offset."""

    @rule(slot=slots)
    def commit_by_timer(self, slot):
        """Commit the position of a worker, although its outputs may not be published."""
        worker, world = self.world.workers[slot], self.world
        if worker is not None and worker.processor.position >= 0:
            offset = GroupOffset(worker.processor.position, world.fold_id, worker.processor.origin)
            world.broker.set_offset(offset)


class ForeignOffsetMachine(Machine):
    """A machine in which another consumer of the group commits offsets.

    A worker may stop for a person, who then deletes the group offset.
    """

    @rule(offset=st.integers(0, 10))
    def commit_foreign_offset(self, offset):
        """Commit any offset, at any moment."""
        self.world.commit_foreign_offset(offset)

    @rule(slot=slots, offset=st.integers(0, 10), what=st.sampled_from(["all", "backup", "none"]))
    def commit_foreign_offset_while_no_worker_runs(self, slot, offset, what):
        """Commit any offset after the workers have died, and lose states or not."""
        world = self.world
        world.crash(0)
        world.crash(1)
        world.commit_foreign_offset(offset)
        world.lose_states(what)
        self.awake(slot)

    @precondition(lambda self: self.world.has_stopped)
    @rule(slot=slots)
    def follow_the_remedy(self, slot):
        """Delete the group offset while no worker runs."""
        self.world.lose_group_offset()
        self.world.has_stopped = False
        self.awake(slot)


def search(machine: type[Machine], examples: int, *, shrink: bool = True, **parts) -> None:
    """Run a machine for a number of examples, which are the same in each run.

    Args:
        machine: Class of the machine.
        examples: Maximum number of examples.
        shrink: Whether to look for the shortest trace of a violation.
        parts: Attributes of the machine: ``delivery``, ``components``.
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
