"""What a partition of the dead letters says about a range of source offsets, in bounded memory.

5 bytes an offset and 37 a dead letter; the bytes themselves stay in Kafka.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.fold.kafka_log import LOG_APPEND_TIME, KafkaFacts
from stream_rnn.replay.letter_table import Letter, LetterTable
from stream_rnn.replay.published import AHEAD_MAX, UNLIKE_MAX, Bounds, Who, digest_of, record_at

CHANGING = {"sr-reason", "sr-app", "sr-fold", "sr-origin", "sr-truncated"}
"""Headers that may differ though the record and what is wrong with it are the same."""


ALWAYS_KEPT = {"sr-error", "sr-timestamp", "sr-size"}
"""Headers that are compared even where the record was cut."""


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
        unlike: offset -> place of a copy that says something else.
        origin: the least that this fold's name.
        misplaced: (source partition, offset) of what stands in a wrong partition.
        beyond: offsets from the log end on, and below 0.
        last: greatest offset.
        first_kept: least source offset that the topic still holds, where it lost its beginning.
    """

    def __init__(self, facts: KafkaFacts, topic: str, who: Who, bounds: Bounds, takes: Any) -> None:
        self.letters = LetterTable(bounds.start, bounds.end)
        self.unlike: dict[int, int] = {}
        self.origin: int | None = None
        self.misplaced: list[tuple[int, int]] = []
        self.beyond: list[int] = []
        self.last = -1
        self.first_kept: int | None = None
        self._facts, self._who, self._bounds, self._takes = facts, who, bounds, takes
        self._tp = TopicPartition(topic, who.partition)
        self._read_to: int | None = None
        count = max(0, bounds.end - bounds.start)
        self._is_of_others: NDArray[np.bool_] = np.zeros(count, bool)

    def is_of_others(self, offset: int) -> bool:
        """Tell whether another fold of this app has one for an offset."""
        return bool(self._is_of_others[offset - self._bounds.start])

    def places_of(self, offset: int) -> tuple[int, ...]:
        """Return where the letter of an offset stands, and a copy that says something else."""
        copy = self.unlike.get(offset)
        place = self.letters[offset].place
        return (place,) if copy is None else (place, copy)

    def is_unlike(self, offset: int) -> bool:
        """Tell whether the letters of an offset are not the same."""
        return self.letters[offset].is_unlike

    async def record(self, place: int) -> ConsumerRecord | None:
        """Read a dead letter again."""
        return await record_at(self._facts, self._tp, place)

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
            self._is_of_others[offset - self._bounds.start] = True
            return
        if is_named:
            origin = int(headers["sr-origin"])
            self.origin = origin if self.origin is None else min(self.origin, origin)
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        said = (code, record.key, record.value, timestamp, record.headers)
        is_chosen = self._takes(record.key)
        letter = letter_of(*said, is_named=is_named, is_chosen=is_chosen)
        letter.place = record.offset
        self._keep(offset, letter)

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
            self.letters.put(offset, letter)
            self.unlike.pop(offset, None)
        elif letter.is_named == first.is_named:
            first.count += 1
            if not first.says(letter):
                first.is_unlike = True
                if len(self.unlike) < UNLIKE_MAX and first.is_chosen:
                    self.unlike[offset] = letter.place
            self.letters.put(offset, first)


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
