"""What the demo makes on the servers, wipes on the way, and takes away at the end."""

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from stream_rnn.clients import connect_redis
from stream_rnn.fold.identity import fold_id, store_tag
from stream_rnn.fold.redis_store import RedisStore
from stream_rnn.local.servers import Addresses
from stream_rnn.settings import Settings


@dataclass(frozen=True, slots=True)
class DemoServers:
    """Topics and keys of one run.

    Attributes:
        addresses: of Kafka and Redis, and whether they are ours.
        settings: of the fold.
        fingerprint: of the bundle.
        partitions: of each topic.
    """

    addresses: Addresses
    settings: Settings
    fingerprint: str
    partitions: int

    @property
    def topics(self) -> tuple[str, str, str]:
        """Source, predictions and dead letters."""
        settings = self.settings
        return settings.source or "", settings.predictions or "", settings.dead_letters_topic

    async def create_topics(self) -> None:
        """Create the topics."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.bootstrap_servers)
        async with asyncio.timeout(self.settings.kafka_timeout_s):
            await admin.start()
            try:
                await admin.create_topics(
                    [NewTopic(name, self.partitions, 1) for name in self.topics]
                )
            finally:
                await admin.close()

    async def wipe_redis(self) -> None:
        """Flush a Redis that we started; of another one, unlink our own keys only."""
        redis = connect_redis(self.addresses.redis_url, self.settings.redis_timeout_s)
        try:
            if self.addresses.redis is not None:
                await redis.flushall()
            else:
                for store in self._stores(redis):
                    await store.drop()
        finally:
            await redis.aclose()

    async def leave_nothing(self) -> None:
        """Take our keys and topics from servers that are somebody else's."""
        if self.addresses.redis is None:
            await self.wipe_redis()
        if self.addresses.kafka is None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.bootstrap_servers)
            async with asyncio.timeout(self.settings.kafka_timeout_s):
                await admin.start()
                try:
                    await admin.delete_topics(list(self.topics))
                finally:
                    await admin.close()

    def _stores(self, redis: Redis) -> list[RedisStore]:
        settings, identity = self.settings, fold_id(self.fingerprint, self.settings)
        app, source = settings.app or "", settings.source or ""
        return [
            RedisStore(redis, store_tag(app, source, p, identity), settings.redis_timeout_s)
            for p in range(self.partitions)
        ]
