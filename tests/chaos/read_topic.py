"""The predictions topic of a group of readers, to which one program publishes while the broker dies."""

import asyncio
import random
import time
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from stream_rnn.local.kafka import LocalKafka
from tests.integration.predicted import written

PARTITIONS = 3


class ReadTopic:
    """A topic, and what was published to it.

    Args:
        name: Name of the topic.
        kafka: The broker.
        draw: Source of random numbers.

    Attributes:
        sent: Monotonic time at which each prediction was first sent, by partition and offset.
    """

    def __init__(self, name: str, kafka: LocalKafka, draw: random.Random) -> None:
        self.name = name
        self.sent: dict[tuple[int, int], float] = {}
        self._kafka, self._draw = kafka, draw

    async def admin(self, ask):
        """Return what a function returns for a new admin client."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka.bootstrap_servers)
        try:
            async with asyncio.timeout(20):
                await admin.start()
                return await ask(admin)
        finally:
            await admin.close()

    async def create(self) -> None:
        """Create the topic."""
        await self.admin(lambda a: a.create_topics([NewTopic(self.name, PARTITIONS, 1)]))

    async def is_read_by(self, group: str) -> bool:
        """Return whether a group has committed up to the log end."""
        partitions = [TopicPartition(self.name, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka.bootstrap_servers)
        try:
            async with asyncio.timeout(20):
                await consumer.start()
                ends = await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()
        committed = await self.admin(lambda a: a.list_consumer_group_offsets(group))
        return all(tp in committed and committed[tp].offset >= ends[tp] for tp in partitions)

    async def publish(self, stop: asyncio.Event) -> None:
        """Publish like a worker with at_least_once, sometimes repeating some predictions."""
        ahead, producer = dict.fromkeys(range(PARTITIONS), 0), None
        while not stop.is_set():
            partition = self._draw.randrange(PARTITIONS)
            first = ahead[partition] - (self._draw.randrange(6) if self._draw.random() < 0.1 else 0)
            offsets = range(max(0, first), ahead[partition] + self._draw.randrange(1, 8))
            for offset in offsets:
                self.sent.setdefault((partition, offset), time.monotonic())
            try:
                async with asyncio.timeout(20):
                    if producer is None:
                        producer = AIOKafkaProducer(
                            bootstrap_servers=self._kafka.bootstrap_servers, acks="all"
                        )
                        await producer.start()
                    for key, value, headers in written("worker", offsets, partition):
                        await producer.send_and_wait(
                            self.name, value, key=key, headers=headers, partition=partition
                        )
            except (KafkaError, TimeoutError, OSError):
                producer = await self._close(producer)
                continue  # from the same offset, so that the topic has duplicates of what arrived
            ahead[partition] = max(ahead[partition], offsets.stop)
            await asyncio.sleep(0.02)
        await self._close(producer)
        for partition in range(PARTITIONS):  # without acknowledgement, a prediction may be lost
            for source in [s for s in self.sent if s[0] == partition and s[1] >= ahead[partition]]:
                del self.sent[source]

    async def _close(self, producer) -> None:
        if producer is not None:
            with suppress(KafkaError, TimeoutError, OSError, AssertionError):
                async with asyncio.timeout(3):
                    await producer.stop()
