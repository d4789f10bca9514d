"""The candidate: the fold that is not in charge of a partition, folded beside the one that is.

It is an ordinary processor with another recovery, source and publisher.  It folds only records
below the group offset, so its position never passes it, and it never writes the group offset.
While it warms it is silent.  Later its predictions go to the shadow topic, as they would be if it
were in charge, and its dead letters go nowhere.
Nothing fences it: a candidate of a worker that has lost the partition computes the same states, and
the store compares position and origin at each commit.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stream_rnn.errors import JumpedError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.facts import Facts
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.recovery import Start
from stream_rnn.fold.recovery_facts import Log
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import Store

NEVER = sys.maxsize  # the offset from which a silent candidate publishes
LOOK_FIRST_S = 0.02  # after a candidate has folded all that is published
LOOK_LAST_S = 0.25  # after it has had nothing to fold for a while


class InChargeUpTo(NamedTuple):
    """The group offset as the owner of a partition knows it.

    Attributes:
        offset: Offset below which the fold in charge has published; -1 before it is known.
        number: Number of the last cut-over.
        since: Offset at which the owner has put the fold in charge; ``None`` if it has not.
    """

    offset: int
    number: int = 0
    since: int | None = None


Published = Callable[[], InChargeUpTo]
"""Returns the group offset as the owner knows it."""


class Turn(Protocol):
    """The turn of one candidate to work, which the folds in charge of the worker leave to it."""

    async def begin(self) -> None:
        """Wait until the candidate may read and fold, or until :meth:`end` is called."""

    def end(self) -> None:
        """Leave the turn to other candidates; called before each wait, and at the end."""


class FreeTurn:
    """The turn of a candidate that gives way to nobody."""

    async def begin(self) -> None:
        """Do nothing: the candidate may read at once."""

    def end(self) -> None:
        """Do nothing."""


class RangeReader(Protocol):
    """Reads committed records of one partition, for one candidate."""

    async def read(self, first: int, end: int) -> Sequence[Record]:
        """Return the first records of [first, end), in offset order; none if the range has none.

        Raises:
            FencedError: Kafka does not answer within its deadline.
        """

    async def close(self) -> None:
        """Close the connections; nothing is read afterwards."""


@dataclass(slots=True)
class CandidateRecovery:
    """Finds where a candidate goes on; it begins again at the log start without its states.

    Attributes:
        place: Name of the partition in messages.
        fold_id: Fold id of the candidate.
        store: Store of the candidate's hidden states.
        log: Records and offsets of the partition.
        published: Function that returns the group offset.
        is_silent: Whether the candidate publishes nothing.
    """

    place: str
    fold_id: str
    store: Store
    log: Log
    published: Published
    is_silent: bool = True
    _publish_from: int | None = None

    async def find(
        self,
        acknowledged: GroupOffset | None = None,  # noqa: ARG002  # a candidate publishes nothing
        *,
        is_corrupt: bool = False,
    ) -> tuple[Facts, Start]:
        """Read the log start and Redis, and decide.

        The candidate publishes from the group offset on, as it stands now; the fold that has just
        been in charge goes on at the cut-over, without a gap.  A candidate that is positioned again
        goes on publishing where it has begun, unless it has lost its states.

        Raises:
            JumpedError: Position or log start is beyond the group offset: the candidate must wait.
        """
        log_start = await self.log.log_start()
        stored = await self.store.read()
        topics = await self.log.topics()
        published, number, since = self.published()
        facts = Facts(
            place=self.place,
            fold_id=self.fold_id,
            log_start=log_start,
            log_end=published,
            stored=stored,
            source_partitions=topics.source_partitions,
        )
        position, origin = stored.position, stored.origin
        is_usable = not is_corrupt and not stored.is_torn and position is not None
        is_usable = is_usable and stored.partitions == topics.source_partitions
        if is_usable and position is not None and position >= log_start:
            assert origin is not None, "a position is written together with its origin"
            self._check(position, published, "its position")
            first = position if since is not None and since <= position else published
            publish_from = first if self._publish_from is None else self._publish_from
            return facts, self._start(11, position, origin, publish_from, number)
        self._check(log_start, published, "the log start")
        return facts, self._start(8, log_start, log_start, published, number)

    def _start(self, row: int, position: int, origin: int, publish_from: int, number: int) -> Start:
        self._publish_from = publish_from
        return Start(
            row=row,
            position=position,
            origin=origin,
            publish_from=NEVER if self.is_silent else publish_from,
            write_first_position=row == 8,
            number=number,
        )

    def _check(self, position: int, published: int, name: str) -> None:
        if position > published:
            raise JumpedError(
                f"the candidate {self.fold_id} waits: {name} {position} is beyond the group offset "
                f"{published}"
            )

    def read_outputs_again(self) -> None:
        """Do nothing: outputs say nothing about a candidate."""

    async def check_first_offset(self, position: int, offset: int) -> None:
        """Check that retention has not passed a position; see :class:`FindStart`."""
        if offset < position:
            raise JumpedError(f"received offset {offset} below the position {position}")
        if offset > position and await self.log.log_start() > position:
            raise JumpedError(f"the log start has passed the position {position}")


class CandidateSource:
    """The records below the group offset; a :class:`stream_rnn.fold.source.Source`.

    Args:
        reader: Reader of the partition.
        published: Function that returns the group offset.
        turn: Turn of the candidate, which lasts from each read to the next call of ``take``.
    """

    def __init__(self, reader: RangeReader, published: Published, turn: Turn) -> None:
        self._reader = reader
        self._published = published
        self._turn = turn
        self._woken = asyncio.Event()
        self._position = 0
        self._has_ended = False

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on."""
        self._position = position

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return the next records below the group offset; ``None`` after ``end``."""
        self._turn.end()
        left_s, look_s = timeout_s, LOOK_FIRST_S
        while not self._has_ended and self._published().offset <= self._position:
            if left_s <= 0:
                return Fetch([], self._position)
            await self._wait(look_s)
            left_s, look_s = left_s - look_s, min(2 * look_s, LOOK_LAST_S)
        if not self._has_ended:
            await self._turn.begin()
        if self._has_ended:
            return None
        end = self._published().offset
        if end <= self._position:  # another processor writes the group offset meanwhile
            return Fetch([], self._position)
        records = await self._reader.read(self._position, end)
        self._position = records[-1].offset + 1 if records else end
        return Fetch(records, self._position)

    async def _wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the candidate is woken."""
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def wake(self) -> None:
        """Look at the group offset now: a cut-over waits for the candidate."""
        self._woken.set()

    def end(self) -> None:
        """Stop delivering; the micro-batch in progress is the last one."""
        self._has_ended = True
        self._woken.set()
        self._turn.end()

    async def close(self) -> None:
        """Close the reader, after the processor has ended."""
        await self._reader.close()


@dataclass(slots=True)
class SilentPublisher:
    """The publisher of a candidate, which publishes nothing."""

    async def start(self) -> None:
        """Do nothing: a candidate fences nobody."""

    async def publish(
        self,
        predictions: Sequence[Message],  # noqa: ARG002  # the signature of a publisher
        dead_letters: Sequence[Message],  # noqa: ARG002  # see above
        group_offset: GroupOffset,  # noqa: ARG002  # see above
    ) -> None:
        """Refuse: only the fold in charge publishes."""
        raise AssertionError("a candidate folds silently")

    async def close(self) -> None:
        """Do nothing."""
