"""The topics of one fold, as the driver sees them: past the proxies, patient with dead brokers."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NotCoordinatorForGroupError
from aiokafka.protocol.admin import DeleteGroupsRequest

from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import Settings

PATIENCE_S = 90
PASSING = (StreamRNNError, KafkaError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Output:
    """A prediction or a dead letter."""

    offset: int
    headers: dict[str, str]
    value: bytes | None

    @property
    def source_offset(self) -> int:
        """Offset of the source record that it is about."""
        return int(self.headers["sr-offset"])


@dataclass(slots=True)
class Topics:
    """Source, predictions and dead letters.

    Attributes:
        settings: names of the topics, the group, and the address of Kafka.
        partitions: of each.
        kept: source records that were deleted, by partition.
    """

    settings: Settings
    partitions: int
    kept: dict[int, list[LogRecord]] = field(default_factory=dict)

    async def create(self, replication: int) -> None:
        """Make the source; the workers make the others."""
        config = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
        topic = NewTopic(self.settings.source, self.partitions, replication, topic_configs=config)
        async with self._admin() as admin:
            response = await admin.create_topics([topic])
            assert not any(code for _, code, *_ in response.topic_errors), response
            while True:
                (found,) = await admin.describe_topics([self.settings.source])
                if len(found["partitions"]) == self.partitions:
                    return
                await asyncio.sleep(0.1)

    async def delete(self) -> None:
        """Remove them all."""
        names = [self.settings.source, self.settings.predictions, self.settings.dead_letters_topic]
        await self._insist(lambda admin: admin.delete_topics(names))

    async def until_published(self, timeout_s: float) -> dict[int, int]:
        """Wait until C has reached the last stable offset everywhere; return C."""
        deadline, seen = time.monotonic() + timeout_s, {}
        for partition in range(self.partitions):
            while True:
                seen[partition] = await self._patiently(self._lag, partition)
                c, end = seen[partition]
                if c == end:
                    break
                if time.monotonic() > deadline:
                    raise AssertionError(f"partition {partition}: C={c}, E={end}, {seen}")
                await asyncio.sleep(0.25)
        return {partition: c for partition, (c, _) in seen.items()}

    async def _lag(self, facts: KafkaCluster, partition: int) -> tuple[int, int]:
        log = KafkaLog(facts, self.settings, partition)
        offset = await log.group_offset()
        return (offset.offset if offset else 0), await log.log_end()

    async def group_offsets(self) -> dict[int, int]:
        """Return C of each partition."""
        return {
            partition: (await self._patiently(self._lag, partition))[0]
            for partition in range(self.partitions)
        }

    async def source(self, partition: int) -> list[LogRecord]:
        """Return the committed records, those that were deleted meanwhile too."""
        kept = self.kept.get(partition, [])
        found = await self._patiently(self._read, self.settings.source, partition)
        last = kept[-1].offset if kept else -1
        return kept + [
            LogRecord(r.offset, r.timestamp, r.key, r.value) for r in found if r.offset > last
        ]

    async def outputs(self, topic: str, partition: int) -> list[Output]:
        """Return the committed records of an output."""
        found = await self._patiently(self._read, topic, partition)
        return [
            Output(r.offset, {name: value.decode() for name, value in r.headers if name[:3] == "sr-"}, r.value)
            for r in found
        ]  # fmt: skip

    async def _read(self, facts: KafkaCluster, topic: str, partition: int) -> list:
        tp = TopicPartition(topic, partition)
        start, end = await facts.log_start(tp), await facts.log_end(tp)
        return [record async for batch in facts.batches(tp, start, end) for record in batch]

    async def delete_records(self, below: dict[int, int]) -> None:
        """Delete source records, after they were read: the oracle needs them."""
        for partition, offset in below.items():
            found = await self.source(partition)
            self.kept[partition] = [record for record in found if record.offset < offset]
        wanted = {
            TopicPartition(self.settings.source, partition): RecordsToDelete(before_offset=offset)
            for partition, offset in below.items()
        }
        await self._insist(lambda admin: admin.delete_records(wanted))

    async def limit_predictions(self, bytes_max: int) -> None:
        """Set max.message.bytes of the predictions topic."""
        config = {
            "cleanup.policy": "delete",
            "message.timestamp.type": "CreateTime",
            "retention.ms": "-1",
            "max.message.bytes": str(bytes_max),
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, self.settings.predictions, config)
        await self._insist(lambda admin: admin.alter_configs([resource]))

    async def delete_group_offsets(self) -> None:
        """Delete the group, which nobody is in."""
        group, deadline = self.settings.app, time.monotonic() + 40
        async with self._admin() as admin:
            while True:
                node = await admin.find_coordinator(group)
                response = await admin._send_request(DeleteGroupsRequest([group]), node)
                ((_, code),) = response.results
                if code in (0, 69):  # 69: there is no such group
                    return
                assert time.monotonic() < deadline, f"the group is not deleted: error {code}"
                assert code in (15, 16, 68), NotCoordinatorForGroupError(str(code))
                await asyncio.sleep(0.5)

    async def _patiently(self, call, *arguments):
        """Ask anew while brokers are away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with self._facts() as facts:
                    return await call(facts, *arguments)
            except PASSING:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)

    async def _insist(self, call) -> None:
        """Have something done that may be done twice, anew while brokers are away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with self._admin() as admin:
                    await call(admin)
            except PASSING:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    def _facts(self) -> KafkaCluster:
        settings = self.settings.replace(kafka_timeout_s=15)
        return KafkaCluster({"bootstrap_servers": self.settings.bootstrap_servers}, settings)

    @asynccontextmanager
    async def _admin(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()
