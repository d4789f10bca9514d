"""Audit: a range of the source is folded again and held against what production published.

For each partition

1  the range ends at C, the group offset, read first: all below it has been published
2  the predictions of the range are read, wherever they stand in their topic
3  the range is folded by the worker's own processor, from each origin that the predictions name
4  offset by offset: missing, duplicated, different, unexpected; and dead letters likewise
5  what seems missing is looked for again: a transaction's marker can be a little late

A prediction is compared where its memory lies wholly in the range: production's ``steps`` equals
the replay's.  Where the range begins after the origin, the others cannot be compared.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import orjson

from stream_rnn.errors import ConfigError
from stream_rnn.fold.events import Record
from stream_rnn.fold.identity import fold_id
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.publisher import Message
from stream_rnn.fold.recovery import GroupOffset
from stream_rnn.model.model import Model
from stream_rnn.replay.findings import Audit, Choice, Finding, is_close
from stream_rnn.replay.keys import describe_key
from stream_rnn.replay.logs import Range, TopicLog
from stream_rnn.replay.published import DeadLetters, Published, Who, digest_of
from stream_rnn.replay.replay import replay_partition
from stream_rnn.settings import Settings

SHOWN_BYTES = 2000

Told = Callable[[str, int, int | None], None]


async def audit(
    log: TopicLog,
    model: Model,
    settings: Settings,
    choice: Choice,
    partitions: Sequence[int] = (),
    told: Told = lambda _name, _records, _total: None,
) -> Audit:
    """Audit a range of the source topic.

    Args:
        log: the range, opened.
        model: the bundle that production has.
        settings: app, source, predictions and all that is in the fold id.
        choice: which keys.
        partitions: these alone; all if there is none.
        told: what is read, how many records more, and how many there may be.

    Raises:
        ConfigError: a topic or a partition does not exist, or nothing was published.
    """
    found = Audit()
    ranges = await log.ranges()
    topics = await log.facts.topics(settings.predictions or "", settings.dead_letters_topic)
    for name in (settings.predictions or "", settings.dead_letters_topic):
        if topics[name].partitions < len(ranges):
            raise ConfigError(
                f"topic {name} has {topics[name].partitions} partitions, {log.topic} has "
                f"{len(ranges)}; check --predictions and --dead-letters"
            )
    for wanted in ranges:
        if not partitions or wanted.partition in partitions:
            await _Partition(log, model, settings, choice, found, wanted, told).audit()
    return found


class _Partition:
    """The audit of one partition."""

    def __init__(
        self,
        log: TopicLog,
        model: Model,
        settings: Settings,
        choice: Choice,
        found: Audit,
        wanted: Range,
        told: Told,
    ) -> None:
        self.log, self.model, self.settings, self.choice = log, model, settings, choice
        self.found, self.wanted, self.told = found, wanted, told
        self.name = f"{log.topic}[{wanted.partition}]"
        identity = fold_id(model.fingerprint, settings)
        self.who = Who(settings.app or "", identity, log.topic, wanted.partition)
        self.absent: dict[int, tuple[bytes | None, bytes]] = {}
        self.shown: dict[str, int] = {}
        self.c: GroupOffset | None = None

    async def audit(self) -> None:
        # 1 the range ends at C
        facts, settings = self.log.facts, self.settings
        c = self.c = await KafkaLog(facts, settings, self.wanted.partition).group_offset()
        start = self.wanted.start
        end = min(self.wanted.end or 0, c.offset if c else 0)
        if end <= start:
            self.found.ranges[self.wanted.partition] = (start, start)
            return
        self.found.ranges[self.wanted.partition] = (start, end)
        # 2 what was published
        self.published = Published(
            facts, settings.predictions or "", self.who, start, end, self.model.numerics()
        )
        await self._read_published()
        self.dead = DeadLetters()
        await self.dead.read(facts, settings.dead_letters_topic, self.who, start, end)
        # 3 fold again, from each origin
        seen = np.zeros(end - start, bool)
        for segment, is_whole in self._segments(start, end):
            await self._fold(segment, seen, is_whole=is_whole)
        # 4 what nobody should have published
        if self.choice.is_all:
            for at in np.flatnonzero((self.published.count > 0) & ~seen).tolist():
                await self._tell("unexpected", start + at, None, None)
        self._count_duplicated(seen)
        # 5 what seems missing is looked for again
        await self._look_again()
        self.found.other_folds += self.published.other_folds
        self.found.other_numerics += len(self.published.elsewhere)

    async def _read_published(self) -> None:
        async for records in self.published.read():
            self.told(f"{self.settings.predictions}[{self.wanted.partition}]", records, None)

    def _segments(self, start: int, end: int) -> list[tuple[Range, bool]]:
        """Return the parts of the range, and whether each begins where its fold began."""
        begins = sorted({max(origin, start): origin for origin in self._origins()}.items())
        begins = begins or [(start, -1)]
        ends = [begin for begin, _ in begins[1:]] + [end]
        return [
            (Range(self.wanted.partition, begin, until), origin == begin)
            for (begin, origin), until in zip(begins, ends, strict=True)
            if until > begin
        ]

    def _origins(self) -> set[int]:
        """Return the origins of this fold: below the first one it has folded nothing."""
        is_ours = self.c is not None and self.c.fold_id == self.who.fold
        held = {self.c.origin} if self.c is not None and is_ours else set()
        return {*self.published.origins, *(o for o in held if o is not None)}

    async def _fold(self, segment: Range, seen: Any, *, is_whole: bool) -> None:
        waiting: list[tuple[Message, Sequence[Message]]] = []

        def emit(predictions: Sequence[Message], dead_letters: Sequence[Message]) -> None:
            waiting.extend((message, ()) for message in predictions)
            waiting.extend((message, (message,)) for message in dead_letters)

        async def batches() -> AsyncIterator[Sequence[Record]]:
            async for records in self.log.batches(segment):
                yield self._needed(records)
                await self._compare_all(waiting, seen, is_whole=is_whole)
                self.told(self.name, len(records), (segment.end or 0) - segment.start)

        place = segment.partition, segment.start
        await replay_partition(self.model, self.settings, *place, batches(), emit)
        await self._compare_all(waiting, seen, is_whole=is_whole)

    def _needed(self, records: Sequence[Record]) -> Sequence[Record]:
        """Leave out what changes nothing: other keys' records, where they expire nobody."""
        if self.choice.is_all or self.settings.state_ttl is not None:
            return records
        return [record for record in records if self.choice.takes(record.key)]

    async def _compare_all(
        self, waiting: list[tuple[Message, Sequence[Message]]], seen: Any, *, is_whole: bool
    ) -> None:
        for message, dead in waiting:
            offset = int(dict(message.headers)["sr-offset"])
            if not self.choice.takes(message.key):
                continue
            if dead:
                await self._compare_dead(offset, message)
            else:
                seen[offset - self.published.start] = True
                await self._compare(offset, message, is_whole=is_whole)
        waiting.clear()

    async def _compare(self, offset: int, message: Message, *, is_whole: bool) -> None:
        published, at = self.published, offset - self.published.start
        value = message.value or b""
        if not published.count[at]:
            if published.others[at]:  # before an upgrade, or after it was taken back
                self.found.counts["not_comparable"] += 1
            elif published.first_kept is None or offset < published.first_kept:
                self.found.counts["not_comparable"] += 1  # retention removed it from the output
            else:
                self.absent[offset] = (message.key, value)
            return
        steps = int(orjson.loads(value)["steps"])
        if not is_whole and steps != published.steps[at]:
            self.found.counts["not_comparable"] += 1
            return
        self.found.counts["compared"] += 1
        if offset in published.elsewhere:
            if not is_close(published.elsewhere[offset], value):
                await self._tell("different", offset, message.key, value)
        elif int(published.digest[at]) != digest_of(value) or not published.same[at]:
            await self._tell("different", offset, message.key, value)

    async def _compare_dead(self, offset: int, message: Message) -> None:
        self.found.counts["dead_letters"] += 1
        code = dict(message.headers)["sr-error"].decode()
        said = self.dead.codes.get(offset)
        if said is None:
            if self.dead.first_kept is not None and offset >= self.dead.first_kept:
                await self._tell("dead_letters_missing", offset, message.key, code.encode())
            else:
                self.found.counts["not_comparable"] += 1
        elif said != code:
            await self._tell("dead_letters_different", offset, message.key, code.encode())

    def _count_duplicated(self, seen: Any) -> None:
        counts = self.published.count.astype(np.int64) + self.published.others
        more = np.flatnonzero(seen & (counts > 1))
        self.found.counts["duplicated"] += int((counts[more] - 1).sum())
        for at in more[: self.choice.examples].tolist():
            self._show("duplicated", at + self.published.start, None, None, None)

    async def _look_again(self) -> None:
        """Read the output's end again until nothing is missing, or markers cannot be late."""
        deadline = time.monotonic() + self.settings.transaction_timeout_ms / 1000
        while self.absent and time.monotonic() < deadline:
            await asyncio.sleep(0.25)
            await self._read_published()
            for offset in [
                o for o in self.absent if self.published.count[o - self.published.start]
            ]:
                key, value = self.absent.pop(offset)
                await self._compare(offset, Message(key, value, 0, []), is_whole=False)
        for offset, (key, value) in sorted(self.absent.items()):
            await self._tell("missing", offset, key, value)

    async def _tell(self, kind: str, offset: int, key: bytes | None, value: bytes | None) -> None:
        self.found.counts[kind] += 1
        if self.shown.get(kind, 0) < self.choice.examples:
            published = None
            if kind in ("different", "unexpected"):
                published = await self.published.value(offset)
            elif kind == "dead_letters_different":
                published = self.dead.codes[offset].encode()
            self._show(kind, offset, key, published, value)

    def _show(
        self,
        kind: str,
        offset: int,
        key: bytes | None,
        published: bytes | None,
        replayed: bytes | None,
    ) -> None:
        self.shown[kind] = self.shown.get(kind, 0) + 1
        name = "" if key is None else describe_key(key)
        place = self.wanted.partition, offset
        self.found.examples.append(Finding(kind, *place, name, _text(published), _text(replayed)))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value[:SHOWN_BYTES].decode("utf-8", "replace")
