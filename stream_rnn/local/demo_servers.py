"""What the demo makes on the servers, wipes on the way, and takes away at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from redis.asyncio import Redis

from stream_rnn.answers import CheckedAdminClient, asking
from stream_rnn.clients import connect_redis
from stream_rnn.errors import ConfigError, reason
from stream_rnn.fold.identity import fold_id, store_tag
from stream_rnn.fold.redis_store import RedisStore
from stream_rnn.kafka_clients import new_admin
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

    async def create_source(self) -> None:
        """Create the source topic; the first worker creates its outputs.

        Raises:
            ConfigError: the cluster refuses it.
        """
        # A cluster's default may ask for more replicas in sync than there are.
        config = {"min.insync.replicas": "1"}
        topic = NewTopic(self.topics[0], self.partitions, 1, topic_configs=config)
        async with self._admin() as admin:
            try:
                await asking(partial(admin.create_topics, [topic]), self.settings.kafka_timeout_s)
            except KafkaError as error:
                raise ConfigError(
                    f"topic {topic.name} cannot be created: {reason(error)}"
                ) from error

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
        if self.addresses.kafka is not None:
            return
        async with self._admin() as admin:
            for name in self.topics:
                try:
                    delete = partial(admin.delete_topics, [name])
                    await asking(delete, self.settings.kafka_timeout_s)
                except UnknownTopicOrPartitionError:
                    continue  # no worker came so far
                except KafkaError as error:
                    raise ConfigError(
                        f"topic {name} is left, delete it: {reason(error)}"
                    ) from error

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[CheckedAdminClient]:
        admin = new_admin(bootstrap_servers=self.addresses.bootstrap_servers)
        async with asyncio.timeout(self.settings.kafka_timeout_s):
            await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    def _stores(self, redis: Redis) -> list[RedisStore]:
        settings, identity = self.settings, fold_id(self.fingerprint, self.settings)
        app, source = settings.app or "", settings.source or ""
        return [
            RedisStore(redis, store_tag(app, source, p, identity), settings.redis_timeout_s)
            for p in range(self.partitions)
        ]
