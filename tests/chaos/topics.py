"""The topics of one fold, as the driver reads them: without proxies, with retries."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NotCoordinatorForGroupError
from aiokafka.protocol.admin import DeleteGroupsRequest

from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.outputs import CUT_OVER_HEADER
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings

RETRY_S = 90
TRANSIENT = (StreamRNNError, KafkaError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Output:
    """A prediction or a dead letter."""

    offset: int
    headers: dict[str, str]
    value: bytes | None

    @property
    def source_offset(self) -> int:
        """Offset of its source record."""
        return int(self.headers["sr-offset"])

    @property
    def number(self) -> int:
        """Number of the last cut-over before it; 0 before the first one."""
        return int(self.headers.get(CUT_OVER_HEADER, 0))

    @property
    def origin(self) -> int:
        """Origin of its fold."""
        return int(self.headers.get("sr-origin", 0))


@dataclass(slots=True)
class Topics:
    """The source, predictions and dead letters of a fold.

    Attributes:
        settings: Settings with the names of the topics and the group, and the address of Kafka.
        partitions: Number of partitions of each topic.
        deleted: Deleted source records by partition.
    """

    settings: Settings
    partitions: int
    deleted: dict[int, list[LogRecord]] = field(default_factory=dict)

    async def create(self, replication: int) -> None:
        """Create the source topic; the workers create the others."""
        config = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
        topic = NewTopic(self.settings.source, self.partitions, replication, topic_configs=config)
        async with self._admin() as admin:
            response = await admin.create_topics([topic])
            assert not any(code for _, code, *_ in response.topic_errors), response
            while True:
                (description,) = await admin.describe_topics([self.settings.source])
                if len(description["partitions"]) == self.partitions:
                    return
                await asyncio.sleep(0.1)

    async def delete(self) -> None:
        """Delete all topics."""
        names = [self.settings.source, self.settings.predictions, self.settings.dead_letters_topic]
        await self._do_with_retries(lambda admin: admin.delete_topics(names))

    async def until_published(self, timeout_s: float) -> dict[int, int]:
        """Wait until each group offset has reached the log end; return the group offsets."""
        deadline, seen = time.monotonic() + timeout_s, {}
        for partition in range(self.partitions):
            while True:
                seen[partition] = await self._ask_with_retries(
                    self._group_offset_and_log_end, partition
                )
                c, end = seen[partition]
                if c == end:
                    break
                if time.monotonic() > deadline:
                    raise AssertionError(
                        f"partition {partition}: group offset {c}, log end {end}, {seen}"
                    )
                await asyncio.sleep(0.25)
        return {partition: c for partition, (c, _) in seen.items()}

    async def _group_offset_and_log_end(
        self, cluster: KafkaCluster, partition: int
    ) -> tuple[int, int]:
        log = KafkaLog(cluster, self.settings, partition)
        offset = await log.group_offset()
        return (offset.offset if offset else 0), await log.log_end()

    async def group_offsets_and_log_ends(self) -> dict[int, tuple[int, int]]:
        """Return the group offset and the log end of each partition."""
        return {
            partition: await self._ask_with_retries(self._group_offset_and_log_end, partition)
            for partition in range(self.partitions)
        }

    async def group_offsets(self) -> dict[int, int]:
        """Return the group offset of each partition."""
        return {p: c for p, (c, _) in (await self.group_offsets_and_log_ends()).items()}

    async def known(self, partition: int) -> GroupOffset | None:
        """Return the group offset of a partition, which names the fold in charge."""
        return await self._ask_with_retries(self._known, partition)

    async def _known(self, cluster: KafkaCluster, partition: int) -> GroupOffset | None:
        return await KafkaLog(cluster, self.settings, partition).group_offset()

    async def source(self, partition: int) -> list[LogRecord]:
        """Return the committed records of a partition, including those that were deleted."""
        deleted = self.deleted.get(partition, [])
        records = await self._ask_with_retries(self._read, self.settings.source, partition)
        last = deleted[-1].offset if deleted else -1
        return deleted + [
            LogRecord(r.offset, r.timestamp, r.key, r.value) for r in records if r.offset > last
        ]

    async def outputs(self, topic: str, partition: int) -> list[Output]:
        """Return the committed records of an output topic's partition."""
        records = await self._ask_with_retries(self._read, topic, partition)
        return [
            Output(r.offset, {name: value.decode() for name, value in r.headers if name[:3] == "sr-"}, r.value)
            for r in records
        ]  # fmt: skip

    async def _read(self, cluster: KafkaCluster, topic: str, partition: int) -> list:
        tp = TopicPartition(topic, partition)
        start, end = await cluster.log_start(tp), await cluster.log_end(tp)
        return [record async for batch in cluster.batches(tp, start, end) for record in batch]

    async def delete_records(self, below: dict[int, int]) -> None:
        """Delete source records below offsets, after reading them for the oracle."""
        for partition, offset in below.items():
            records = await self.source(partition)
            self.deleted[partition] = [record for record in records if record.offset < offset]
        requests = {
            TopicPartition(self.settings.source, partition): RecordsToDelete(before_offset=offset)
            for partition, offset in below.items()
        }
        await self._do_with_retries(lambda admin: admin.delete_records(requests))

    async def limit_predictions(self, bytes_max: int) -> None:
        """Set ``max.message.bytes`` of the predictions topic."""
        config = {
            "cleanup.policy": "delete",
            "message.timestamp.type": "CreateTime",
            "retention.ms": "-1",
            "max.message.bytes": str(bytes_max),
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, self.settings.predictions, config)
        await self._do_with_retries(lambda admin: admin.alter_configs([resource]))

    async def consume_in_the_group(self) -> dict[int, int]:
        """Consume some records as a member of the workers' group; return what it has committed."""
        consumer = AIOKafkaConsumer(
            self.settings.source,
            bootstrap_servers=self.settings.bootstrap_servers,
            group_id=self.settings.app,
            auto_commit_interval_ms=100,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            async with asyncio.timeout(RETRY_S):
                await consumer.getone()
        finally:
            await consumer.stop()  # this commits
        return await self.group_offsets()

    async def delete_group_offsets(self) -> None:
        """Delete the group, which must have no members."""
        group, deadline = self.settings.app, time.monotonic() + 40
        async with self._admin() as admin:
            while True:
                node = await admin.find_coordinator(group)
                response = await admin._send_request(DeleteGroupsRequest([group]), node)
                ((_, code),) = response.results
                if code in (0, 69):  # 69: the group does not exist
                    return
                assert time.monotonic() < deadline, f"the group is not deleted: error {code}"
                assert code in (15, 16, 68), NotCoordinatorForGroupError(str(code))
                await asyncio.sleep(0.5)

    async def _ask_with_retries(self, call, *arguments):
        """Call a coroutine, with retries while brokers are down."""
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                async with self._cluster() as cluster:
                    return await call(cluster, *arguments)
            except TRANSIENT:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)

    async def _do_with_retries(self, call) -> None:
        """Call an idempotent admin request, with retries while brokers are down."""
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                async with self._admin() as admin:
                    await call(admin)
            except TRANSIENT:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    def _cluster(self) -> KafkaCluster:
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
