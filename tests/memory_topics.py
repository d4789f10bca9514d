"""Topics in memory for the audit, with the interface of ``KafkaCluster``."""

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from aiokafka.structs import ConsumerRecord, OffsetAndTimestamp

from stream_rnn.audit.audit import audit
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.kafka.topics import TopicFacts
from stream_rnn.predictions.writer import JSON
from stream_rnn.replay.logs import TopicLog
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryPublisher, MemoryStore, memory_processor


@dataclass
class Partition:
    """Records in offset order, and the log start."""

    records: list[ConsumerRecord] = field(default_factory=list)
    start: int = 0

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.records[-1].offset + 1 if self.records else self.start


@dataclass
class MemoryTopics:
    """A cluster with topics of one or more partitions, and the offsets of groups."""

    settings: Settings
    names: tuple[str, ...]
    partitions: dict[tuple[str, int], Partition] = field(default_factory=dict)
    groups: dict[tuple[str, int], GroupOffset] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    late: dict[str, list[ConsumerRecord]] = field(
        default_factory=dict
    )  # records that appear at the second request
    late_c: GroupOffset | None = None
    asked: Counter = field(default_factory=Counter)

    def of(self, tp) -> Partition:
        """Return a partition."""
        return self.partitions.setdefault((tp.topic, tp.partition), Partition())

    async def topics(self, *names):
        """Return the partition counts."""
        counts = {name: self.counts.get(name, 1 if name in self.names else 0) for name in names}
        return {name: TopicFacts(name, count) for name, count in counts.items()}

    async def log_start(self, tp) -> int:
        """Return the first available offset."""
        return self.of(tp).start

    async def log_end(self, tp) -> int:
        """Return the offset after the last record."""
        self.asked[tp.topic] += 1
        if self.asked[tp.topic] == 2:
            self.of(tp).records += self.late.get(tp.topic, [])
        return self.of(tp).end

    async def group_offset(self, group, tp):
        """Return the offset that the group has committed."""
        self.asked[group] += 1
        if self.asked[group] == 3 and self.late_c is not None:
            self.groups[group, tp.partition] = self.late_c
        return self.groups.get((group, tp.partition))

    @property
    def consumer(self):
        """The object that answers requests for offsets by time."""
        return self

    async def offsets_for_times(self, times):
        """Return the first offset of a partition with a timestamp at or after the requested one."""
        ((tp, time_ms),) = times.items()
        log = self.of(tp)
        later = [r for r in log.records if r.timestamp >= time_ms and r.offset >= log.start]
        return {tp: OffsetAndTimestamp(later[0].offset, later[0].timestamp) if later else None}

    async def await_answer(self, call, _what):
        """Await a call."""
        return await call

    async def batches(self, tp, first, end, records_max=None):
        """Yield the records of a range that retention has not removed, in batches of 50."""
        log, size = self.of(tp), records_max or 50
        records = [r for r in log.records if max(first, log.start) <= r.offset < end]
        for at in range(0, len(records), size):
            yield records[at : at + size]

    @asynccontextmanager
    async def reader(self, tp):
        """Yield a function that reads several ranges of a partition."""
        yield partial(self.batches, tp)


def consumed(topic, partition, offset, message: Message) -> ConsumerRecord:
    """Return the record that a consumer reads for a message."""
    key, value, timestamp, headers = message
    sizes = len(key or b""), len(value or b"")
    return ConsumerRecord(
        topic, partition, offset, timestamp, 0, key, value, None, *sizes, tuple(headers)
    )


class Folded:
    """The outputs of a folded log of one partition, which a test can damage.

    Attributes:
        predictions: Predictions in the order of their topic.
        letters: Dead letters in the order of their topic.
        c: Group offset.
        c_of_1: Group offset of partition 1.
        source_start: Log start of the source.
        starts: Log starts of the outputs by topic.
        other_partitions: Messages of further partitions by topic and number.
        counts: Partition counts of topics that have more than one partition.
        late: Messages that appear in an output at the second request for its log end.
        late_c: Group offset from the third request on.
    """

    def __init__(self, model, settings, log: MemoryLog) -> None:
        self.model, self.settings = model, settings
        self.records, self.c = list(log.records), log.group
        self.predictions, self.letters = list(log.predictions), list(log.dead_letters)
        self.source_start, self.starts = log.log_start_offset, {}
        self.other_partitions: dict[tuple[str, int], list[Message]] = {}
        self.counts: dict[str, int] = {}
        self.late: dict[str, list[Message]] = {}
        self.late_c: GroupOffset | None = None
        self.c_of_1: GroupOffset | None = None

    def topics(self) -> MemoryTopics:
        """Return the cluster with these topics."""
        settings = self.settings
        names = (settings.source, settings.predictions, settings.dead_letters_topic)
        made = MemoryTopics(settings, names, counts=self.counts, late_c=self.late_c)
        source = [
            consumed(names[0], 0, r.offset, Message(r.key, r.value, r.timestamp, r.headers))
            for r in self.records
        ]
        made.partitions[names[0], 0] = Partition(source, self.source_start)
        for name, messages in zip(names[1:], (self.predictions, self.letters), strict=True):
            records = [consumed(name, 0, i, m) for i, m in enumerate(messages)]
            made.partitions[name, 0] = Partition(records, self.starts.get(name, 0))
            late = enumerate(self.late.get(name, ()), len(messages))
            made.late[name] = [consumed(name, 0, i, m) for i, m in late]
        for (name, number), messages in self.other_partitions.items():
            records = [consumed(name, number, i, m) for i, m in enumerate(messages)]
            made.partitions[name, number] = Partition(records)
        if self.c is not None:
            made.groups[settings.app, 0] = self.c
        if self.c_of_1 is not None:
            made.groups[settings.app, 1] = self.c_of_1
        return made

    async def audit(
        self, options=None, first=None, last=None, partitions=(), **changed
    ) -> AuditResult:
        """Audit the topics."""
        model = changed.pop("model", self.model)
        settings = self.settings.model_copy(update=changed)
        log = TopicLog(settings, settings.source, first, last, self.topics())
        return await audit(log, model, settings, options or AuditOptions(), partitions)


def offset_of(message) -> int:
    """Return the source offset that an output names."""
    return int(dict(message.headers)["sr-offset"])


def with_header(message, name, text) -> Message:
    """Return a message with another value of one header."""
    headers = [(n, text if n == name else v) for n, v in message.headers]
    return message._replace(headers=headers)


async def fold(
    model, settings, records, *, log=None, store=None, sizes=(), partition=0, wire=JSON
) -> MemoryLog:
    """Fold records by the worker's own processor; continue a log if one is given."""
    log = MemoryLog(list(records)) if log is None else log
    publisher = MemoryPublisher(log, is_transactional=settings.delivery == "exactly_once")
    processor = memory_processor(
        model,
        log,
        store or MemoryStore(),
        settings,
        publisher=publisher,
        sizes=sizes,
        partition=partition,
        wire=wire,
    )
    await processor.run()
    return log
