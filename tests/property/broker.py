"""A model of Kafka for one partition (transactions, fencing, generations), and the two publishers.

As in Kafka, a committed transaction is first *decided*, and becomes visible later, when its markers
are written.  Each method is one call that takes effect at once; :mod:`tests.property.protocol`
determines the order of the calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream_rnn.errors import FencedError, ForgottenError, StreamRNNError
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.testing import MemoryLog
from tests.property.invariants import InvariantChecker

MARKERS_S = 1.0  # seconds after which the markers of a decided transaction are written


@dataclass
class Transaction:
    """The content of a transaction.

    Attributes:
        predictions: Predictions that are sent.
        dead_letters: Dead letters that are sent.
        offset: Group offset that is sent, if any.
        is_replaced: Whether somebody has committed another group offset after that.
        decided_s: Virtual time of the commit, if it is committed.
    """

    predictions: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    offset: GroupOffset | None = None
    is_replaced: bool = False
    decided_s: float | None = None

    @property
    def visible_offset(self) -> GroupOffset | None:
        """Group offset that becomes visible with the markers, if any."""
        return None if self.is_replaced else self.offset


@dataclass
class Broker:
    """The group offset and the outputs of one partition.

    Attributes:
        log: Visible records, outputs and group offset.
        checker: Checker of everything that is decided.
        clock: Function that returns virtual seconds.
        generation: Generation of the group.
        epoch: Epoch of the partition's transactional id.
        transaction: Open or decided transaction.
        forgotten: Last epoch that Kafka has forgotten.
    """

    log: MemoryLog
    checker: InvariantChecker
    clock: Callable[[], float]
    generation: int = 0
    epoch: int = 0
    transaction: Transaction | None = None
    forgotten: int = 0

    @property
    def decided(self) -> GroupOffset | None:
        """Group offset, including one that is decided but not visible yet."""
        pending = self.transaction
        if pending is not None and pending.decided_s is not None:
            return pending.visible_offset or self.log.group
        return self.log.group

    @property
    def log_end(self) -> int:
        """Log end."""
        return self.log.end_offset or 0

    def tick(self) -> None:
        """Write the markers of a decided transaction once they are due."""
        pending = self.transaction
        if pending is None or pending.decided_s is None:
            return
        if self.clock() >= pending.decided_s + MARKERS_S:
            self.complete()

    def complete(self) -> None:
        """Write the markers of a decided transaction, which makes it visible."""
        pending = self.transaction
        if pending is None or pending.decided_s is None:
            return
        self.log.predictions.extend(pending.predictions)
        self.log.dead_letters.extend(pending.dead_letters)
        self.log.group = pending.visible_offset or self.log.group
        self.transaction = None

    def time_out(self) -> None:
        """Abort an open transaction and fence its producer."""
        if self.transaction is not None and self.transaction.decided_s is None:
            self.transaction = None
            self.epoch += 1

    def forget(self) -> None:
        """Forget an idle producer, unless it has an open transaction."""
        self.complete()
        if self.transaction is None:
            self.forgotten = self.epoch

    def check_generation(self, generation: int) -> None:
        """Raise ``FencedError`` unless a generation of the group is the current one."""
        if generation != self.generation:
            raise FencedError(
                f"generation {generation} is over: the current one is {self.generation}"
            )

    def start(self, *, has_checked: bool, generation: int) -> int:
        """Fence the previous owner; abort its transaction, or complete it if it is decided.

        A worker may lose the partition after its check; it then fences the owner, which only has
        to restart.
        """
        zombie = generation < self.generation and not has_checked
        self.checker.require(fact=not zombie, otherwise="a zombie fenced the owner")
        self.complete()
        self.transaction = None
        self.epoch += 1
        return self.epoch

    def begin(self, epoch: int) -> None:
        """Complete the last transaction, and begin one."""
        self._check(epoch)
        self.complete()
        self.transaction = Transaction()

    def send(self, epoch: int, predictions: list[Message], dead_letters: list[Message]) -> None:
        """Send outputs in the transaction."""
        pending = self._open(epoch)
        pending.predictions += predictions
        pending.dead_letters += dead_letters

    def send_offset(self, epoch: int, offset: GroupOffset) -> None:
        """Send the group offset in the transaction."""
        pending = self._open(epoch)
        pending.offset, pending.is_replaced = offset, False

    def commit(self, epoch: int) -> None:
        """Decide the transaction."""
        pending = self._open(epoch)
        before = self.log.group
        pending.decided_s = self.clock()
        for message in (*pending.predictions, *pending.dead_letters):
            self.checker.check_output(message)
        if pending.offset is not None:
            self.checker.check_group_offset(before, pending.offset, self.log_end)
            if pending.is_replaced:
                self.checker.note_replaced(pending.offset)

    def identify(self) -> int:
        """Return a new producer id for a producer without transactions."""
        self.epoch += 1
        return self.epoch

    def append(self, producer: int, message: Message, *, is_dead_letter: bool) -> None:
        """Append an output outside of any transaction."""
        if producer <= self.forgotten:
            raise ForgottenError(f"producer {producer} is forgotten")
        (self.log.dead_letters if is_dead_letter else self.log.predictions).append(message)
        self.checker.check_output(message)

    def commit_offset(self, generation: int, offset: GroupOffset) -> None:
        """Commit the group offset without a transaction, for a member of the current generation."""
        self.check_generation(generation)
        self.set_offset(offset)

    def set_offset(self, offset: GroupOffset) -> None:
        """Write the group offset without a check of the generation."""
        self.checker.check_group_offset(self.decided, offset, self.log_end)
        self.log.group = offset

    def commit_foreign_offset(self, offset: int) -> None:
        """Commit a group offset without metadata, as another consumer of the group does.

        Of two offsets Kafka keeps the one that was sent later, even if the earlier one is in a
        transaction whose markers are still to be written.
        """
        self.checker.note_replaced(self.log.group)
        pending = self.transaction
        if pending is not None and pending.offset is not None:
            if pending.decided_s is not None:
                self.checker.note_replaced(pending.offset)
            pending.is_replaced = True
        self.log.group = GroupOffset(offset)

    def _check(self, epoch: int) -> None:
        if epoch <= self.forgotten:  # also a zombie's epoch
            raise ForgottenError(f"epoch {epoch} is forgotten")
        if epoch != self.epoch:
            raise FencedError(f"epoch {epoch} is fenced by {self.epoch}")

    def _open(self, epoch: int) -> Transaction:
        self._check(epoch)
        if self.transaction is None or self.transaction.decided_s is not None:
            raise FencedError("the transaction is over")
        return self.transaction


class TransactionalPublisher:
    """Publisher of ``exactly_once``, in which each request to the broker is a call of its own.

    Args:
        worker: Worker that makes the calls.
        broker: Broker that executes the calls.
    """

    def __init__(self, worker, broker: Broker) -> None:
        self._worker = worker
        self._broker = broker
        self._epoch = 0
        self._has_checked = False

    async def start(self) -> None:
        """Check that the worker still owns the partition, and fence the previous owner."""
        await self._call("ask", self._check_ownership)
        await self._call("start", self._start)

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish the outputs and the group offset in one transaction."""
        broker, epoch = self._broker, self._epoch
        await self._call("begin", lambda: broker.begin(epoch))
        await self._call("send", lambda: broker.send(epoch, [*predictions], [*dead_letters]))
        await self._call("offset", lambda: broker.send_offset(epoch, group_offset))
        await self._call("commit", lambda: broker.commit(epoch))

    async def close(self) -> None:
        """Do nothing."""

    def _check_ownership(self) -> None:
        self._broker.check_generation(self._worker.generation)
        self._has_checked = True

    def _start(self) -> None:
        has_checked, self._has_checked = self._has_checked, False
        generation = self._worker.generation
        self._epoch = self._broker.start(has_checked=has_checked, generation=generation)

    async def _call(self, name: str, act: Callable[[], None]) -> None:
        async def effect() -> None:
            act()

        await self._worker.call(f"publisher.{name}", effect, self._error_without_answer)

    def _error_without_answer(self, message: str) -> StreamRNNError:
        """Return the error of a client without an answer: it retries until Kafka forgets it."""
        is_forgotten = 0 < self._epoch <= self._broker.forgotten
        return ForgottenError(message) if is_forgotten else FencedError(message)


class IdempotentPublisher(TransactionalPublisher):
    """Publisher of ``at_least_once``: single outputs, then the group offset for the generation."""

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish the outputs one by one, then commit the group offset."""
        broker, generation = self._broker, self._worker.generation
        for messages, is_dead_letter in ((dead_letters, True), (predictions, False)):
            for message in messages:
                await self._append(message, is_dead_letter=is_dead_letter)
        await self._call("commit", lambda: broker.commit_offset(generation, group_offset))

    async def start(self) -> None:
        """Create a producer, which fences no other one."""
        await self._call("start", self._start)

    async def _append(self, message: Message, *, is_dead_letter: bool) -> None:
        broker, epoch = self._broker, self._epoch
        act = partial(broker.append, epoch, message, is_dead_letter=is_dead_letter)
        await self._call("send", act)

    def _start(self) -> None:
        self._epoch = self._broker.identify()
