"""Published dead letters of a range of source offsets, in bounded memory.

They take 5 bytes for each offset and 45 for each dead letter; the records themselves stay in Kafka.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.dead_letter_table import (
    HEADERS,
    KEY,
    VALUE,
    DeadLetter,
    DeadLetterTable,
    is_code_for,
)
from stream_rnn.audit.digests import digest_of, is_origin
from stream_rnn.audit.output_owner import Bounds, OutputOwner
from stream_rnn.audit.published_predictions import (
    AHEAD_MAX,
    COPIES_MAX,
    COPIES_OF_ONE_MAX,
    UNLIKE_MAX,
    ObserveOutput,
    ignore_output,
)
from stream_rnn.audit.reread import record_at, records_at
from stream_rnn.fold.dead_letters import record_header_name
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER

VARIABLE_HEADERS = {
    *("sr-reason", "sr-app", "sr-fold", "sr-origin", "sr-truncated"),
    CUT_OVER_HEADER,
}
"""Headers that may differ between two dead letters of the same record and error."""

FOLD_HEADERS = ("sr-app", "sr-fold", "sr-origin")
"""Dead letters have all of these if they were published in a transaction, and none otherwise."""

CUT_PARTS = {"key": KEY, "value": VALUE, "headers": HEADERS}
"""Parts of a record that may be cut, as ``sr-truncated`` names them."""

Headers = Sequence[tuple[str, bytes | None]]


class DeadLetters:
    """Dead letters of one source partition, by source offset.

    Dead letters that were published with ``delivery="at_least_once"`` do not name their fold.  A
    log may contain both kinds, if the setting was changed.  A record has only one dead letter, so
    if there is one with and one without a fold, the second is a duplicate.

    Args:
        cluster: Clients of the cluster.
        topic: Dead letters topic.
        owner: App, fold and source partition to audit.
        bounds: Source offsets to audit.
        includes_key: Returns whether a key is compared.
        observe: Function that receives each dead letter of the partition that names its fold.

    Attributes:
        letters: First dead letter of each offset; one that names this fold precedes one without a
            fold.
        unlike: Offset -> output offset of a copy that differs.
        copies: Offset -> digest -> output offset of copies that contain different shares of the
            record.
        copies_skipped: Number of such copies beyond ``COPIES_MAX`` and ``COPIES_OF_ONE_MAX``.
        origin: Smallest origin that dead letters of this fold name.
        misplaced: (source partition, offset) of dead letters in a wrong partition.
        beyond: Offsets below 0, and from the log end on.
        last: Largest offset.
        first_available: Source offset of the first dead letter, if the topic lost its beginning.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        topic: str,
        owner: OutputOwner,
        bounds: Bounds,
        includes_key: Any,
        observe: ObserveOutput = ignore_output,
    ) -> None:
        self.letters = DeadLetterTable(bounds.start, bounds.end)
        self.unlike: dict[int, int] = {}
        self.copies: dict[int, dict[int, int]] = {}
        self.copies_skipped = self._copies = 0
        self.origin: int | None = None
        self.misplaced: list[tuple[int, int]] = []
        self.beyond: list[int] = []
        self.last = -1
        self.first_available: int | None = None
        self._cluster, self._owner, self._bounds, self._includes_key = (
            cluster,
            owner,
            bounds,
            includes_key,
        )
        self._tp = TopicPartition(topic, owner.partition)
        self._read_to: int | None = None
        count = max(0, bounds.end - bounds.start)
        self._is_of_others: NDArray[np.bool_] = np.zeros(count, bool)
        self._observe = observe

    @property
    def name(self) -> str:
        """Name of the partition in messages."""
        return f"{self._tp.topic}[{self._tp.partition}]"

    def is_of_others(self, offset: int) -> bool:
        """Return whether another fold of this app has a dead letter for an offset."""
        return bool(self._is_of_others[offset - self._bounds.start])

    def output_offsets_of(self, offset: int) -> tuple[int, ...]:
        """Return the output offsets of an offset's dead letter and of a copy that differs."""
        copy = self.unlike.get(offset)
        output_offset = self.letters[offset].output_offset
        return (output_offset,) if copy is None else (output_offset, copy)

    def is_unlike(self, offset: int) -> bool:
        """Return whether the dead letters of an offset differ."""
        return self.letters[offset].is_unlike

    async def record(self, output_offset: int) -> ConsumerRecord | None:
        """Read a dead letter again."""
        return await record_at(self._cluster, self._tp, output_offset)

    def records(self, output_offsets: Iterable[int]) -> AsyncGenerator[ConsumerRecord]:
        """Read dead letters again, as far as the topic still contains them."""
        return records_at(self._cluster, self._tp, output_offsets)

    async def read(self) -> None:
        """Read the dead letters that were added since the last call."""
        first = self._read_to
        if first is None:
            first = await self._cluster.log_start(self._tp)
            self.first_available = self._bounds.start if first == 0 else None
        end = await self._cluster.log_end(self._tp)
        async with aclosing(self._cluster.batches(self._tp, first, end)) as batches:
            async for records in batches:
                for record in records:
                    self._add(record)
        self._read_to = max(first, end)

    def _add(self, record: ConsumerRecord) -> None:
        headers, owner, bounds = dict(record.headers), self._owner, self._bounds
        place = self._parse_headers(headers)
        if place is None:
            return
        partition, offset, code = place
        fold = (headers.get("sr-fold") or b"").decode("utf-8", "replace")
        self._note_place(partition, offset, is_left_out=owner.leaves_out(fold))
        names_fold = all(headers.get(name) is not None for name in FOLD_HEADERS)
        if partition != owner.partition:
            return
        if names_fold:
            self._observe(record, offset, fold)
        is_of_partner = names_fold and fold in owner.partners
        if bounds.start <= offset < bounds.end and not is_of_partner:
            self._add_within(record, offset, code, names_fold=names_fold)

    def _note_place(self, partition: int, offset: int, *, is_left_out: bool) -> None:
        if partition != self._owner.partition:
            if len(self.misplaced) < AHEAD_MAX and not is_left_out:
                self.misplaced.append((partition, offset))
            return
        if self.first_available is None:
            self.first_available = offset
        if 0 <= offset < self._bounds.log_end:
            self.last = max(self.last, offset)
        elif len(self.beyond) < AHEAD_MAX and not is_left_out:
            self.beyond.append(offset)

    def _add_within(
        self, record: ConsumerRecord, offset: int, code: str, *, names_fold: bool
    ) -> None:
        headers = dict(record.headers)
        if names_fold and headers.get("sr-fold") != self._owner.fold.encode():
            self._is_of_others[offset - self._bounds.start] = True
            return
        is_right = has_valid_names(headers, offset)
        if names_fold and is_right:
            origin = int(headers["sr-origin"])
            self.origin = origin if self.origin is None else min(self.origin, origin)
        is_stamped = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped else record.timestamp
        contents = (code, record.key, record.value, timestamp, record.headers)
        is_chosen = self._includes_key(record.key)
        letter = letter_from(*contents, names_fold=names_fold, is_chosen=is_chosen)
        letter.output_offset, letter.is_unlike = record.offset, letter.is_unlike or not is_right
        self._merge(offset, letter)

    def _parse_headers(self, headers: Mapping[str, bytes | None]) -> tuple[int, int, str] | None:
        """Return partition, offset and code; ``None`` unless they belong to this app's source."""
        app, topic = headers.get("sr-app"), headers.get("sr-topic")
        if topic != self._owner.topic.encode() or app not in (None, self._owner.app.encode()):
            return None
        try:
            place = int(headers["sr-partition"] or b""), int(headers["sr-offset"] or b"")
            return *place, (headers["sr-error"] or b"").decode()
        except (KeyError, ValueError):
            return None  # no worker writes such headers

    def _merge(self, offset: int, letter: DeadLetter) -> None:
        first = self.letters.get(offset)
        if first is None:
            self.letters.put(offset, letter)
            return
        is_first = letter.names_fold <= first.names_fold
        stored, copy = (first, letter) if is_first else (letter, first)
        stored.count = first.count + 1
        if is_code_for(stored.code, copy.code):  # the later code is the one to compare
            stored.code = copy.code
        elif is_code_for(copy.code, stored.code):
            copy.code = stored.code
        is_same = stored.equals(copy)
        if not (is_same or stored.is_cut_like(copy)) and stored.has_same_facts(copy):
            is_same = True
            if copy.is_chosen or copy.cut & KEY:  # a cut key may be a chosen one
                self._add_copy(offset, copy)
        if not is_same or copy.is_unlike:
            stored.is_unlike = True
            if len(self.unlike) < UNLIKE_MAX:
                self.unlike[offset] = copy.output_offset
        self.letters.put(offset, stored)

    def _add_copy(self, offset: int, copy: DeadLetter) -> None:
        """Add a copy that must be read again to ``copies``, within the limits."""
        copies = self.copies.get(offset, {})
        contents = copy.whole, copy.cut, copy.key_size, copy.value_size, copy.timestamp
        digest = digest_of(repr(contents).encode())
        if digest in copies:
            return
        if self._copies >= COPIES_MAX or len(copies) >= COPIES_OF_ONE_MAX:
            self.copies_skipped += 1
            return
        self.copies[offset] = copies | {digest: copy.output_offset}
        self._copies += 1


def cut_parts(headers: Mapping[str, bytes | None]) -> int | None:
    """Return the parts that a dead letter names as cut; ``None`` for an invalid header."""
    names = (headers.get("sr-truncated") or b"").decode("utf-8", "replace")
    cut = sum(CUT_PARTS.get(name, 0) for name in set(names.split(",")))
    return cut if names == ",".join(name for name, bit in CUT_PARTS.items() if cut & bit) else None


def has_valid_names(headers: Mapping[str, bytes | None], offset: int) -> bool:
    """Return whether a dead letter names app, fold and a possible origin, or none of them."""
    if all(headers.get(name) is None for name in FOLD_HEADERS):
        return True
    has_all = all(headers.get(name) is not None for name in FOLD_HEADERS)
    return has_all and is_origin(headers["sr-origin"], offset)


def cut_to_size(whole: bytes | None, size: int) -> bytes | None:
    """Return the first bytes of a part; ``None`` if the part has no more than these."""
    return whole[:size] if whole is not None and size < len(whole) else None


def worker_headers(headers: Headers) -> Headers:
    """Return the headers that a worker adds, without those of the record."""
    return [(name, text) for name, text in headers if record_header_name(name) is None]


def letter_from(
    code: str,
    key: bytes | None,
    value: bytes | None,
    timestamp: int | None,
    headers: Headers,
    *,
    names_fold: bool,
    is_chosen: bool,
) -> DeadLetter:
    """Return the digests of a dead letter.

    Args:
        code: Error code.
        key: Key of the dead letter.
        value: Value of the dead letter.
        timestamp: Timestamp of the dead letter; ``None`` to leave it out of comparisons.
        headers: Headers of the dead letter.
        names_fold: Whether it names app and fold.
        is_chosen: Whether its key is compared.
    """
    contents = dict(headers)
    facts = digest_of(repr((contents.get("sr-timestamp"), contents.get("sr-size"))).encode())
    fields = [
        (name, None if name == "sr-error" else text)  # the code is compared by itself
        for name, text in headers
        if name not in VARIABLE_HEADERS
    ]
    whole, cut = digest_of(repr((key, value, fields)).encode()), cut_parts(contents)
    letter = DeadLetter(
        code=code,
        facts=facts,
        timestamp=timestamp,
        whole=whole,
        names_fold=names_fold,
        is_chosen=is_chosen,
        cut=cut or 0,
    )
    letter.is_unlike = cut is None
    letter.key_size = len(key or b"") if letter.cut & KEY else 0
    letter.value_size = len(value or b"") if letter.cut & VALUE else 0
    return letter


def expected_letter(message: Message, letter: DeadLetter) -> DeadLetter:
    """Return the expected dead letter, cut to the share of the record that another one contains."""
    key, value = message.key, message.value
    headers: Headers = message.headers
    impossible = 0
    if letter.cut & KEY and (key := cut_to_size(key, letter.key_size)) is None:
        impossible |= KEY
    if letter.cut & VALUE and (value := cut_to_size(value, letter.value_size)) is None:
        impossible |= VALUE
    texts, own_headers = dict(headers), worker_headers(headers)
    has_more = len(own_headers) < len(headers)
    could_cut = HEADERS if has_more or cut_parts(texts) == HEADERS else 0
    must_cut = cut_parts(texts) or 0
    if letter.cut & HEADERS:
        headers, impossible = own_headers, impossible | HEADERS & ~could_cut
    code = (texts["sr-error"] or b"").decode()
    fields = code, key, value, message.timestamp, headers
    expected = letter_from(*fields, names_fold=letter.names_fold, is_chosen=True)
    expected.cut = (letter.cut | must_cut) & ~impossible
    expected.key_size, expected.value_size = letter.key_size, letter.value_size
    return expected
