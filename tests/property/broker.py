"""What Kafka does for one partition: transactions, fencing, generations; and the two publishers.

A committed transaction is *decided* first and visible later, when its markers are written, as in
Kafka.  Each method is one call that takes effect at once; :mod:`tests.property.protocol` decides when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream_rnn.errors import FencedError, ForgottenError, StreamRNNError
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.testing import MemoryLog
from tests.property.judge import Judge

MARKERS_S = 1.0  # after which a decided transaction is visible, whatever else happens


@dataclass
class Transaction:
    """What a transaction holds; ``decided_s`` is when it was committed."""

    predictions: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    offset: GroupOffset | None = None
    decided_s: float | None = None


@dataclass
class Broker:
    """The group offset and the outputs of one partition.

    Attributes:
        log: what is visible.
        judge: is told what is decided.
        clock: virtual seconds.
        generation: of the group.
        epoch: of the partition's transactional id.
        transaction: open or decided.
        forgotten: the last epoch that Kafka knows nothing of any more.
    """

    log: MemoryLog
    judge: Judge
    clock: Callable[[], float]
    generation: int = 0
    epoch: int = 0
    transaction: Transaction | None = None
    forgotten: int = 0

    @property
    def decided(self) -> GroupOffset | None:
        """C, visible or not yet."""
        pending = self.transaction
        if pending is not None and pending.decided_s is not None and pending.offset is not None:
            return pending.offset
        return self.log.group

    @property
    def log_end(self) -> int:
        """E."""
        return self.log.end_offset or 0

    def tick(self) -> None:
        """Write the markers that are due."""
        pending = self.transaction
        if pending is None or pending.decided_s is None:
            return
        if self.clock() >= pending.decided_s + MARKERS_S:
            self.complete()

    def complete(self) -> None:
        """Write the markers: a decided transaction becomes visible."""
        pending = self.transaction
        if pending is None or pending.decided_s is None:
            return
        self.log.predictions.extend(pending.predictions)
        self.log.dead_letters.extend(pending.dead_letters)
        self.log.group = pending.offset or self.log.group
        self.transaction = None

    def time_out(self) -> None:
        """Abort an open transaction; its producer is fenced."""
        if self.transaction is not None and self.transaction.decided_s is None:
            self.transaction = None
            self.epoch += 1

    def forget(self) -> None:
        """Forget a producer that was idle for long, as soon as its last transaction is complete."""
        self.complete()
        if self.transaction is None:
            self.forgotten = self.epoch

    def check_generation(self, generation: int) -> None:
        """Answer whether a generation of the group still counts."""
        if generation != self.generation:
            raise FencedError(f"generation {generation} is over, it is {self.generation} now")

    def start(self, *, has_asked: bool, generation: int) -> int:
        """Fence the last owner; its transaction is aborted, or completed if it was decided.

        A worker may lose the partition after it has asked; that does no harm but to the owner.
        """
        zombie = generation < self.generation and not has_asked
        self.judge.require(fact=not zombie, otherwise="a zombie fenced the owner")
        self.complete()
        self.transaction = None
        self.epoch += 1
        return self.epoch

    def begin(self, epoch: int) -> None:
        """Begin a transaction, after the last one is complete."""
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
        self._open(epoch).offset = offset

    def commit(self, epoch: int) -> None:
        """Decide the transaction."""
        pending = self._open(epoch)
        before = self.log.group
        pending.decided_s = self.clock()
        for message in (*pending.predictions, *pending.dead_letters):
            self.judge.published(message)
        if pending.offset is not None:
            self.judge.moved(before, pending.offset, self.log_end)

    def identify(self) -> int:
        """Give a producer without transactions a number of its own."""
        self.epoch += 1
        return self.epoch

    def append(self, producer: int, message: Message, *, is_dead_letter: bool) -> None:
        """Append an output outside of any transaction."""
        if producer <= self.forgotten:
            raise ForgottenError(f"producer {producer} is forgotten")
        (self.log.dead_letters if is_dead_letter else self.log.predictions).append(message)
        self.judge.published(message)

    def commit_offset(self, generation: int, offset: GroupOffset) -> None:
        """Move C outside of any transaction, for a member of the group's generation."""
        self.check_generation(generation)
        self.set_offset(offset)

    def set_offset(self, offset: GroupOffset) -> None:
        """Write C, unasked."""
        self.judge.moved(self.decided, offset, self.log_end)
        self.log.group = offset

    def _check(self, epoch: int) -> None:
        if epoch <= self.forgotten:  # also of a zombie: its id has another producer now
            raise ForgottenError(f"epoch {epoch} is forgotten")
        if epoch != self.epoch:
            raise FencedError(f"epoch {epoch} is fenced by {self.epoch}")

    def _open(self, epoch: int) -> Transaction:
        self._check(epoch)
        if self.transaction is None or self.transaction.decided_s is not None:
            raise FencedError("the transaction is over")
        return self.transaction


class TransactionalPublisher:
    """``exactly_once``: begin, send, send the group offset and commit are calls of their own.

    Args:
        worker: whose calls these are.
        broker: what they reach.
    """

    def __init__(self, worker, broker: Broker) -> None:
        self._worker = worker
        self._broker = broker
        self._epoch = 0
        self._has_asked = False

    async def start(self) -> None:
        """Ask whether the partition is still ours, and fence the last owner."""
        await self._call("ask", self._ask)
        await self._call("start", self._start)

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish all of it in one transaction."""
        broker, epoch = self._broker, self._epoch
        await self._call("begin", lambda: broker.begin(epoch))
        await self._call("send", lambda: broker.send(epoch, [*predictions], [*dead_letters]))
        await self._call("offset", lambda: broker.send_offset(epoch, group_offset))
        await self._call("commit", lambda: broker.commit(epoch))

    async def close(self) -> None:
        """Do nothing."""

    def _ask(self) -> None:
        self._broker.check_generation(self._worker.generation)
        self._has_asked = True

    def _start(self) -> None:
        has_asked, self._has_asked = self._has_asked, False
        generation = self._worker.generation
        self._epoch = self._broker.start(has_asked=has_asked, generation=generation)

    async def _call(self, name: str, act: Callable[[], None]) -> None:
        async def effect() -> None:
            act()

        await self._worker.call(f"publisher.{name}", effect, self._unanswered)

    def _unanswered(self, message: str) -> StreamRNNError:
        """Return what the client says without an answer: it asks again, until it is forgotten."""
        is_forgotten = 0 < self._epoch <= self._broker.forgotten
        return ForgottenError(message) if is_forgotten else FencedError(message)


class IdempotentPublisher(TransactionalPublisher):
    """``at_least_once``: outputs one by one, then the group offset in the worker's generation."""

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish, then move the group offset."""
        broker, generation = self._broker, self._worker.generation
        for messages, is_dead_letter in ((dead_letters, True), (predictions, False)):
            for message in messages:
                await self._append(message, is_dead_letter=is_dead_letter)
        await self._call("commit", lambda: broker.commit_offset(generation, group_offset))

    async def start(self) -> None:
        """Get a producer; it fences nobody."""
        await self._call("start", self._start)

    async def _append(self, message: Message, *, is_dead_letter: bool) -> None:
        broker, epoch = self._broker, self._epoch
        act = partial(broker.append, epoch, message, is_dead_letter=is_dead_letter)
        await self._call("send", act)

    def _start(self) -> None:
        self._epoch = self._broker.identify()
