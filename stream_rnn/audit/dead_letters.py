"""What a partition of the dead letters says about a range of source offsets, in bounded memory.

5 bytes an offset and 45 a dead letter; the bytes themselves stay in Kafka.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.contents import digest_of, is_origin
from stream_rnn.audit.dead_letter_table import HEADERS, KEY, VALUE, Letter, LetterTable
from stream_rnn.audit.places import record_at, records_at
from stream_rnn.audit.published import (
    AHEAD_MAX,
    COPIES_MAX,
    COPIES_OF_ONE_MAX,
    UNLIKE_MAX,
    Bounds,
    OutputOwner,
)
from stream_rnn.fold.dead_letters import own_name
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.cluster import KafkaCluster

CHANGING = {"sr-reason", "sr-app", "sr-fold", "sr-origin", "sr-truncated"}
"""Headers that may differ though the record and what is wrong with it are the same."""

NAMES = ("sr-app", "sr-fold", "sr-origin")
"""A letter that left in a transaction has all of them, another one none."""

PARTS = {"key": KEY, "value": VALUE, "headers": HEADERS}
"""What may be cut, as ``sr-truncated`` names it."""

Headers = Sequence[tuple[str, bytes | None]]


class DeadLetters:
    """Dead letters of one source partition, by source offset.

    Where ``delivery`` was ``at_least_once`` a letter has no names, and a log may have been folded
    in either way, one after the other.  But a record has one letter, so that one without names
    beside one with them is a second one.

    Args:
        cluster: the clients.
        topic: of the dead letters.
        who: whose source.
        bounds: which source offsets.
        takes: tells whether a key is compared.

    Attributes:
        letters: offset -> the first one; one that names this fold is put before one of nobody.
        unlike: offset -> place of a copy that says something else.
        copies: offset -> digest -> place of copies that keep another share of the record.
        copies_left_out: how many of those there were beside ``COPIES_MAX``.
        origin: the least that this fold's name.
        misplaced: (source partition, offset) of what stands in a wrong partition.
        beyond: offsets from the log end on, and below 0.
        last: greatest offset.
        first_kept: least source offset that the topic still holds, where it lost its beginning.
    """

    def __init__(
        self, cluster: KafkaCluster, topic: str, who: OutputOwner, bounds: Bounds, takes: Any
    ) -> None:
        self.letters = LetterTable(bounds.start, bounds.end)
        self.unlike: dict[int, int] = {}
        self.copies: dict[int, dict[int, int]] = {}
        self.copies_left_out = self._copies = 0
        self.origin: int | None = None
        self.misplaced: list[tuple[int, int]] = []
        self.beyond: list[int] = []
        self.last = -1
        self.first_kept: int | None = None
        self._cluster, self._who, self._bounds, self._takes = cluster, who, bounds, takes
        self._tp = TopicPartition(topic, who.partition)
        self._read_to: int | None = None
        count = max(0, bounds.end - bounds.start)
        self._is_of_others: NDArray[np.bool_] = np.zeros(count, bool)

    @property
    def name(self) -> str:
        """How messages name the partition."""
        return f"{self._tp.topic}[{self._tp.partition}]"

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
        return await record_at(self._cluster, self._tp, place)

    def records(self, places: Iterable[int]) -> AsyncIterator[ConsumerRecord]:
        """Read some dead letters again, those that are still there."""
        return records_at(self._cluster, self._tp, places)

    async def read(self) -> None:
        """Read what has come since the last time."""
        first = self._read_to
        if first is None:
            first = await self._cluster.log_start(self._tp)
            self.first_kept = self._bounds.start if first == 0 else None
        end = await self._cluster.log_end(self._tp)
        async for records in self._cluster.batches(self._tp, first, end):
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
        is_named = all(headers.get(name) is not None for name in NAMES)
        if is_named and headers.get("sr-fold") != self._who.fold.encode():
            self._is_of_others[offset - self._bounds.start] = True
            return
        is_right = is_named_right(headers, offset)
        if is_named and is_right:
            origin = int(headers["sr-origin"])
            self.origin = origin if self.origin is None else min(self.origin, origin)
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        said = (code, record.key, record.value, timestamp, record.headers)
        is_chosen = self._takes(record.key)
        letter = letter_of(*said, is_named=is_named, is_chosen=is_chosen)
        letter.place, letter.is_unlike = record.offset, letter.is_unlike or not is_right
        self._keep(offset, letter)

    def _place_of(self, headers: Mapping[str, bytes | None]) -> tuple[int, int, str] | None:
        """Return partition, offset and code; ``None`` where it is not of this app's source."""
        app, topic = headers.get("sr-app"), headers.get("sr-topic")
        if topic != self._who.topic.encode() or app not in (None, self._who.app.encode()):
            return None
        try:
            place = int(headers["sr-partition"] or b""), int(headers["sr-offset"] or b"")
            return *place, (headers["sr-error"] or b"").decode()
        except (KeyError, ValueError):
            return None  # no worker wrote it

    def _keep(self, offset: int, letter: Letter) -> None:
        first = self.letters.get(offset)
        if first is None:
            self.letters.put(offset, letter)
            return
        kept, copy = (letter, first) if letter.is_named > first.is_named else (first, letter)
        kept.count = first.count + 1
        is_like = kept.says(copy)
        if not (is_like or kept.is_cut_as(copy)) and kept.is_about_as(copy):
            is_like = True
            if copy.is_chosen or copy.cut & KEY:  # nobody can tell whose key was cut
                self._keep_copy(offset, copy)
        if not is_like or copy.is_unlike:
            kept.is_unlike = True
            if len(self.unlike) < UNLIKE_MAX:
                self.unlike[offset] = copy.place
        self.letters.put(offset, kept)

    def _keep_copy(self, offset: int, copy: Letter) -> None:
        """Keep where one stands that is to be read again, if there is room."""
        kept = self.copies.get(offset, {})
        said = copy.whole, copy.cut, copy.key_size, copy.value_size, copy.timestamp
        digest = digest_of(repr(said).encode())
        if digest in kept:
            return
        if self._copies >= COPIES_MAX or len(kept) >= COPIES_OF_ONE_MAX:
            self.copies_left_out += 1
            return
        self.copies[offset] = kept | {digest: copy.place}
        self._copies += 1


def cut_of(headers: Mapping[str, bytes | None]) -> int | None:
    """Return what a dead letter says was cut; ``None`` if no worker says so."""
    names = (headers.get("sr-truncated") or b"").decode("utf-8", "replace")
    cut = sum(PARTS.get(name, 0) for name in set(names.split(",")))
    return cut if names == ",".join(name for name, bit in PARTS.items() if cut & bit) else None


def is_named_right(headers: Mapping[str, bytes | None], offset: int) -> bool:
    """Tell whether a dead letter names app, fold and a possible origin, or none of them."""
    if all(headers.get(name) is None for name in NAMES):
        return True
    has_all = all(headers.get(name) is not None for name in NAMES)
    return has_all and is_origin(headers["sr-origin"], offset)


def cut_to(whole: bytes | None, size: int) -> bytes | None:
    """Return the beginning of what was cut; ``None`` if there was nothing to cut."""
    return whole[:size] if whole is not None and size < len(whole) else None


def of_worker(headers: Headers) -> Headers:
    """Return the headers that are not the record's."""
    return [(name, text) for name, text in headers if own_name(name) is None]


def letter_of(
    code: str,
    key: bytes | None,
    value: bytes | None,
    timestamp: int | None,
    headers: Headers,
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
    whole, cut = digest_of(repr((key, value, about)).encode()), cut_of(said)
    letter = Letter(
        code=code,
        facts=facts,
        timestamp=timestamp,
        whole=whole,
        is_named=is_named,
        is_chosen=is_chosen,
        cut=cut or 0,
    )
    letter.is_unlike = cut is None
    letter.key_size = len(key or b"") if letter.cut & KEY else 0
    letter.value_size = len(value or b"") if letter.cut & VALUE else 0
    return letter


def as_cut(message: Message, letter: Letter) -> Letter:
    """Return what a letter should be that keeps as much of its record as another one."""
    key, value = message.key, message.value
    headers: Headers = message.headers
    impossible = 0
    if letter.cut & KEY and (key := cut_to(key, letter.key_size)) is None:
        impossible |= KEY
    if letter.cut & VALUE and (value := cut_to(value, letter.value_size)) is None:
        impossible |= VALUE
    said, own = dict(headers), of_worker(headers)
    could_cut = HEADERS if len(own) < len(headers) or cut_of(said) == HEADERS else 0
    must_cut = cut_of(said) or 0
    if letter.cut & HEADERS:
        headers, impossible = own, impossible | HEADERS & ~could_cut
    code = (said["sr-error"] or b"").decode()
    about = code, key, value, message.timestamp, headers
    expected = letter_of(*about, is_named=letter.is_named, is_chosen=True)
    expected.cut = (letter.cut | must_cut) & ~impossible
    expected.key_size, expected.value_size = letter.key_size, letter.value_size
    return expected
