"""A local Kafka, a local Redis, and a local schema registry if one is wanted, together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis
from stream_rnn.local.registry import LocalRegistry


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of Kafka, Redis and the schema registry.

    Attributes:
        bootstrap_servers: Addresses of Kafka.
        redis_url: URL of Redis.
        kafka: The local Kafka; ``None`` for one that somebody else runs.
        redis: The local Redis; ``None`` for one that somebody else runs.
        registry: The local schema registry; ``None`` for none.
    """

    bootstrap_servers: str
    redis_url: str
    kafka: LocalKafka | None
    redis: LocalRedis | None
    registry: LocalRegistry | None = None


@contextmanager
def servers(
    bootstrap_servers: str | None = None,
    redis_url: str | None = None,
    *,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    registry_port: int | None = None,
    has_registry: bool = False,
    data: Path | None = None,
    on_progress: Callable[[str], None] = lambda _line: None,
) -> Iterator[Addresses]:
    """Start local servers for the addresses that are not given, and stop them at the end.

    Args:
        bootstrap_servers: Addresses of a running Kafka; ``None`` starts one.
        redis_url: URL of a running Redis; ``None`` starts one.
        kafka_port: Port of the local Kafka; ``None`` chooses a free one.
        redis_port: Port of the local Redis; ``None`` chooses a free one.
        registry_port: Port of the schema registry; ``None`` chooses a free one.
        has_registry: Whether to start a schema registry, which keeps its schemas in memory.
        data: Directory for the data of Kafka and Redis; ``None`` uses temporary directories.
        on_progress: Called with a line of text before a step that takes long.

    Raises:
        ConfigError: A server cannot be started.
    """
    with ExitStack() as running:
        redis = kafka = registry = None
        if redis_url is None:
            redis = running.enter_context(LocalRedis(redis_port, data and data / "redis"))
        if bootstrap_servers is None:
            kafka = running.enter_context(
                LocalKafka(kafka_port, data and data / "kafka", on_progress=on_progress)
            )
        if has_registry:
            local = LocalRegistry(registry_port, on_progress=on_progress)
            registry = running.enter_context(local)
        yield Addresses(
            kafka.bootstrap_servers if kafka else bootstrap_servers or "",
            redis.redis_url if redis else redis_url or "",
            kafka,
            redis,
            registry,
        )
