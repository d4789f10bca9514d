"""Topics and keys that the demo creates on the servers, and removes at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from aiokafka.admin import NewTopic
from aiokafka.errors import BrokerResponseError, KafkaError, UnknownTopicOrPartitionError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream_rnn.errors import (
    ConfigError,
    StreamRNNError,
    UnavailableError,
    UnreachableError,
    reason,
)
from stream_rnn.fold.fold_id import store_tag
from stream_rnn.kafka.admin_client import CheckedAdminClient, is_transient, retry_while_unavailable
from stream_rnn.kafka.clients import new_admin, stop_admin
from stream_rnn.kafka.connection import connection_options
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.local.servers import Addresses
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.settings import FoldSettings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore


@dataclass(frozen=True, slots=True)
class DemoServers:
    """Topics and keys of one run.

    Attributes:
        addresses: Addresses of Kafka and Redis.
        settings: Settings of the fold.
        folds: Fingerprint of the bundle of each fold, by the fold's id.
        partitions: Number of partitions of each topic.
        created: Topics that may exist; while it is empty, there is nothing to remove.
    """

    addresses: Addresses
    settings: FoldSettings
    folds: Mapping[str, str]
    partitions: int
    created: list[str] = field(default_factory=list)

    @property
    def topics(self) -> tuple[str, str, str, str]:
        """Source topic, predictions topic, dead letters topic, and the shadow topic of a roll-out."""
        settings = self.settings
        outputs = settings.predictions, settings.dead_letters_topic, settings.shadow_topic
        return settings.source, *outputs

    async def create_source(self) -> None:
        """Create the source topic; the first worker creates the output topics.

        Raises:
            UnreachableError: Kafka does not answer.
            ConfigError: The cluster refuses to create the topic.
        """
        # The cluster's default may be larger than the number of replicas.
        config = {"min.insync.replicas": "1"}
        topic = NewTopic(self.topics[0], self.partitions, 1, topic_configs=config)
        async with self._admin() as admin:
            self.created.extend(self.topics)
            try:
                await retry_while_unavailable(
                    partial(admin.create_topics, [topic]), self.settings.kafka_timeout_s
                )
            except (KafkaError, TimeoutError, OSError) as error:
                message = f"topic {topic.name} cannot be created: {reason(error)}"
                is_away = is_transient(error) or not isinstance(error, BrokerResponseError)
                raise (UnreachableError if is_away else ConfigError)(message) from error

    async def wipe_redis(self) -> None:
        """Flush a Redis that the demo started; delete only the demo's keys from any other.

        Raises:
            UnavailableError: Redis does not answer.
        """
        redis = connect_redis(self.addresses.redis_url, self.settings.redis_timeout_s)
        try:
            if self.addresses.redis is not None:
                await redis.flushall()
            else:
                for store in self._stores(redis):
                    await store.drop()
                plans = RedisPlanStore(redis, self.settings)
                for fingerprint in self.folds.values():
                    await plans.drop_bundle(fingerprint)
                await redis.unlink(plans.key)
        except (RedisError, TimeoutError, OSError) as error:
            message = reason(error, self.settings.redis_timeout_s)
            raise UnavailableError(f"Redis was not wiped: {message}") from error
        finally:
            await redis.aclose()

    @asynccontextmanager
    async def cleaned_up(self, on_progress: Callable[[str], None]) -> AsyncIterator[None]:
        """Remove topics and keys on exit; an error of the run itself takes precedence.

        Args:
            on_progress: Called with what could not be removed after a run that failed.

        Raises:
            UnreachableError: Kafka did not answer during the run.
            ConfigError: The run succeeded, but something could not be removed.
        """
        try:
            yield
        except BaseException as error:
            for message in await self.clean_up():
                on_progress(message)
            if isinstance(error, KafkaError | TimeoutError):
                raise await self._unreachable(error) from error
            raise
        if left := await self.clean_up():
            raise ConfigError("; ".join(left))

    async def clean_up(self) -> list[str]:
        """Remove the demo's keys and topics from servers that the demo did not start.

        Returns:
            Sentences about what could not be removed and why.
        """
        left: list[str] = []
        if not self.created:
            return left
        if self.addresses.redis is None:
            try:
                await self.wipe_redis()
            except StreamRNNError as error:
                app = self.settings.app
                left.append(f"keys of app {app} are left in Redis, delete them: {error}")
        if self.addresses.kafka is None:
            try:
                async with self._admin() as admin:
                    for name in self.topics:
                        left += await self._delete(admin, name)
            except StreamRNNError as error:
                left.append(f"topics {', '.join(self.topics)} are left, delete them: {error}")
        return left

    async def _delete(self, admin: CheckedAdminClient, name: str) -> list[str]:
        try:
            delete = partial(admin.delete_topics, [name])
            await retry_while_unavailable(delete, self.settings.kafka_timeout_s)
        except UnknownTopicOrPartitionError:
            return []  # no worker has created it
        except (KafkaError, ConfigError, TimeoutError, OSError) as error:
            return [f"topic {name} is left, delete it: {reason(error)}"]
        return []

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[CheckedAdminClient]:
        timeout_s = self.settings.kafka_timeout_s
        admin = new_admin(
            request_timeout_ms=int(timeout_s * 1000),
            **connection_options(self.settings),
        )
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    await admin.start()
            except (KafkaError, TimeoutError, OSError) as error:
                raise await self._unreachable(error) from error
            yield admin
        finally:
            await stop_admin(admin, self.settings.revoke_timeout_s)

    async def _unreachable(self, error: BaseException) -> UnreachableError:
        connection, within_s = connection_options(self.settings), self.settings.kafka_timeout_s
        return UnreachableError(await describe_unreachable(connection, error, within_s))

    def _stores(self, redis: Redis) -> list[RedisStore]:
        settings = self.settings
        app, source = settings.app, settings.source
        return [
            RedisStore(redis, store_tag(app, source, p, fold_id), settings.redis_timeout_s)
            for fold_id in self.folds
            for p in range(self.partitions)
        ]
