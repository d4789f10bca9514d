"""What a partition of the dead letters says about a range of source offsets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.fold.kafka_log import LOG_APPEND_TIME, KafkaFacts
from stream_rnn.replay.published import AHEAD_MAX, Bounds, Who, digest_of

CHANGING = {"sr-reason", "sr-app", "sr-fold", "sr-origin", "sr-truncated"}
"""Headers that may differ though the record and what is wrong with it are the same."""


@dataclass(slots=True)
class Letter:
    """One dead letter.

    Attributes:
        code: what is wrong with the record.
        facts: digest of what it says of the record's time and size.
        timestamp: its own; ``None`` if that is the broker's.
        whole: digest of all that is kept of the record; ``None`` where it was cut.
        is_named: it names app and fold, as in one transaction with predictions.
        is_chosen: its key is compared.
        count: how many there are.
        is_unlike: not all of them say the same.
    """

    code: str
    facts: int
    timestamp: int | None
    whole: int | None
    is_named: bool
    is_chosen: bool
    count: int = 1
    is_unlike: bool = False

    def says(self, other: "Letter") -> bool:
        """Tell whether another one is about the same record, as far as both were kept."""
        if (self.code, self.facts) != (other.code, other.facts):
            return False
        pairs = (self.timestamp, other.timestamp), (self.whole, other.whole)
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


class DeadLetters:
    """Dead letters of one source partition, by source offset.

    Args:
        facts: the clients.
        topic: of the dead letters.
        who: whose source.
        bounds: which source offsets.
        takes: tells whether a key is compared.

    Attributes:
        letters: offset -> the first one; one that names this fold is put before one of nobody.
        others: offsets for which another fold of this app has one.
        origins: that this fold's name.
        misplaced: (source partition, offset) of what stands in a wrong partition.
        beyond: offsets from the log end on, and below 0.
        last: greatest offset.
        first_kept: least source offset that the topic still holds, where it lost its beginning.
    """

    def __init__(self, facts: KafkaFacts, topic: str, who: Who, bounds: Bounds, takes: Any) -> None:
        self.letters: dict[int, Letter] = {}
        self.others: set[int] = set()
        self.origins: set[int] = set()
        self.misplaced: list[tuple[int, int]] = []
        self.beyond: list[int] = []
        self.last = -1
        self.first_kept: int | None = None
        self._facts, self._who, self._bounds, self._takes = facts, who, bounds, takes
        self._tp = TopicPartition(topic, who.partition)
        self._read_to: int | None = None

    async def read(self) -> None:
        """Read what has come since the last time."""
        first = self._read_to
        if first is None:
            first = await self._facts.log_start(self._tp)
            self.first_kept = self._bounds.start if first == 0 else None
        end = await self._facts.log_end(self._tp)
        async for records in self._facts.batches(self._tp, first, end):
            for record in records:
                self._take(record)
        self._read_to = max(first, end)

    def _take(self, record: ConsumerRecord) -> None:
        headers, who, bounds = dict(record.headers), self._who, self._bounds
        place = self._place_of(headers)
        if place is None:
            return
        partition, offset, code = place
        if partition != who.partition:
            if len(self.misplaced) < AHEAD_MAX:
                self.misplaced.append((partition, offset))
            return
        if self.first_kept is None:
            self.first_kept = offset
        if 0 <= offset < bounds.log_end:
            self.last = max(self.last, offset)
        elif len(self.beyond) < AHEAD_MAX:
            self.beyond.append(offset)
        if bounds.start <= offset < bounds.end:
            self._take_within(record, offset, code)

    def _take_within(self, record: ConsumerRecord, offset: int, code: str) -> None:
        headers = dict(record.headers)
        is_named = headers.get("sr-app") is not None
        if is_named and headers.get("sr-fold") != self._who.fold.encode():
            self.others.add(offset)
            return
        if is_named:
            self.origins.add(int(headers["sr-origin"]))
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        said = (code, record.key, record.value, timestamp, record.headers)
        is_chosen = self._takes(record.key)
        self._keep(offset, letter_of(*said, is_named=is_named, is_chosen=is_chosen))

    def _place_of(self, headers: Mapping[str, bytes | None]) -> tuple[int, int, str] | None:
        """Return partition, offset and code; ``None`` where it is not of this app's source."""
        app, topic = headers.get("sr-app"), headers.get("sr-topic")
        if topic != self._who.topic.encode() or app not in (None, self._who.app.encode()):
            return None
        try:
            if app is not None:
                int(headers["sr-origin"] or b"")
            place = int(headers["sr-partition"] or b""), int(headers["sr-offset"] or b"")
            return *place, (headers["sr-error"] or b"").decode()
        except (KeyError, ValueError):
            return None  # no worker wrote it

    def _keep(self, offset: int, letter: Letter) -> None:
        first = self.letters.get(offset)
        if first is None or letter.is_named > first.is_named:
            self.letters[offset] = letter
        elif letter.is_named == first.is_named:
            first.count += 1
            first.is_unlike |= not first.says(letter)


def letter_of(
    code: str,
    key: bytes | None,
    value: bytes | None,
    timestamp: int | None,
    headers: Iterable[tuple[str, bytes]],
    *,
    is_named: bool,
    is_chosen: bool,
) -> Letter:
    """Return what is kept of a dead letter.

    Args:
        code: what is wrong.
        key: of the dead letter.
        value: of the dead letter.
        timestamp: of the dead letter; ``None``: not compared.
        headers: of the dead letter.
        is_named: it names app and fold.
        is_chosen: its key is compared.
    """
    said = dict(headers)
    facts = digest_of(repr((said.get("sr-timestamp"), said.get("sr-size"))).encode())
    about = [(name, text) for name, text in headers if name not in CHANGING]
    is_whole = not said.get("sr-truncated")
    whole = digest_of(repr((key, value, about)).encode()) if is_whole else None
    return Letter(code, facts, timestamp, whole, is_named, is_chosen)
