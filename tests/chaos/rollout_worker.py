"""Runs the command line with crash points that count only in one part of a roll-out.

    python rollout_worker.py ROLE worker ...

Micro-batches of both folds pass the same crash points.  A role says where they count:

    promote, back    while the worker carries out such a request, and then in the fold in charge
    finish           while it carries out a finish
    start            while it starts with a fold in charge that is not of its own bundle
    candidate        in the candidate
    plan:CALL        the process exits after the first answer to a call of the plan's store
    bug:NAME         no crash: the worker has a bug that the comparison must find
"""

import logging
import os
import sys
from contextvars import ContextVar

from stream_rnn.rollout import partition as partition_module
from stream_rnn.rollout.candidate import CandidateRecovery
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.worker.build_processor import ProcessorBuilder
from stream_rnn.worker.fault_injection import EXIT_STATUS

logger = logging.getLogger("tests.chaos.rollout_worker")
Processor = partition_module.Processor
_role: ContextVar[str] = ContextVar("role", default="")


def confine(role: str) -> None:
    """Let the crash points count only in a role."""
    build, run = ProcessorBuilder.__post_init__, Processor.run
    run_active = PartitionFolds._run_active

    def confined_build(self) -> None:
        inject = self.at_crash_point

        def at_crash_point(point) -> None:
            if _role.get() == role:
                inject(point)

        self.at_crash_point = at_crash_point
        build(self)

    async def named_run(self) -> None:
        if isinstance(self.recovery, CandidateRecovery):
            _role.set("candidate")
        await run(self)

    async def named_run_active(self, processor) -> None:
        if processor.fold_id != self.folds.own and not processor.is_positioned:
            _role.set("start")
        await run_active(self, processor)

    ProcessorBuilder.__post_init__ = confined_build
    Processor.run = named_run
    PartitionFolds._run_active = named_run_active
    name_cut_overs()


def name_cut_overs() -> None:
    """Set the role while a request is carried out, and then in the fold that it puts in charge."""
    cut_over = PartitionFolds._cut_over

    async def named_cut_over(self, processor):
        plan, offset = self.folds.plan, None
        request = plan.pending(self.partition, processor.number) if plan is not None else None
        if request is not None:
            is_back = request.kind == "promote" and request.fold_id == self.folds.own
            _role.set("back" if is_back else request.kind)
        try:
            offset = await cut_over(self, processor)
        finally:
            if offset is None:
                _role.set("")
        return offset

    PartitionFolds._cut_over = named_cut_over


def exit_after(name: str) -> None:
    """Exit after the first answer to a call of the plan's store."""
    call = getattr(RedisPlanStore, name)

    async def call_and_exit(self, *arguments, **options):
        await call(self, *arguments, **options)
        logger.warning("fault injected point=%s exit", name)
        os._exit(EXIT_STATUS)

    setattr(RedisPlanStore, name, call_and_exit)


def break_rule(name: str) -> None:
    """Give the worker a bug, so that the comparison can be seen to find it."""
    BUGS[name]()


def _cuts_over_early() -> None:
    """Put the candidate in charge before it has reached the group offset."""
    PartitionFolds._can_carry_out = lambda self, request, processor, **_: (
        (self._candidate is not None and self._candidate.is_positioned)
        or request.fold_id == processor.fold_id
    )
    place = PartitionFolds._cut_over

    async def at_its_position(self, processor):
        candidate = self._candidate
        if candidate is not None and candidate.is_positioned:
            position = candidate.processor.position
            published = PartitionFolds.published
            PartitionFolds.published = property(lambda _: position)
            try:
                return await place(self, processor)
            finally:
                PartitionFolds.published = published
        return await place(self, processor)

    PartitionFolds._cut_over = at_its_position


def _forgets_the_number() -> None:
    """Publish without the number of the cut-over."""
    run = Processor.process

    async def without_number(self, records, next_position):
        self.number = max(self.number - 1, 0)
        await run(self, records, next_position)

    Processor.process = without_number


def _uses_the_other_states() -> None:
    """Step with the model of the other fold."""
    from stream_rnn.worker.rollout_folds import WorkerFolds

    active = WorkerFolds.active

    def of_the_other(self, fold, *arguments):
        processor = active(self, fold, *arguments)
        if fold != self.own:
            with_bug = processor.model
            head = next(iter(with_bug.network.parameters()))
            head.data += 1e-4
        return processor

    WorkerFolds.active = of_the_other


BUGS = {
    "cuts-over-early": _cuts_over_early,
    "forgets-the-number": _forgets_the_number,
    "uses-other-weights": _uses_the_other_states,
}


def main() -> int:
    """Prepare the role, and run the command line."""
    role = sys.argv.pop(1)
    kind, _, name = role.partition(":")
    if kind == "plan":
        exit_after(name)
    elif kind == "bug":
        break_rule(name)
    else:
        confine(role)
    from stream_rnn.cli import main as run_command

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
