"""Both local servers together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Kafka and Redis are; ``None`` for a server that somebody else runs."""

    bootstrap_servers: str
    redis_url: str
    kafka: LocalKafka | None
    redis: LocalRedis | None


@contextmanager
def servers(
    bootstrap_servers: str | None = None,
    redis_url: str | None = None,
    *,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    data: Path | None = None,
    on_progress: Callable[[str], None] = lambda _line: None,
) -> Iterator[Addresses]:
    """Start the servers that are not named, and stop them at the end.

    Raises:
        ConfigError: a server cannot be started.
    """
    with ExitStack() as running:
        redis = kafka = None
        if redis_url is None:
            redis = running.enter_context(LocalRedis(redis_port, data and data / "redis"))
        if bootstrap_servers is None:
            kafka = running.enter_context(
                LocalKafka(kafka_port, data and data / "kafka", on_progress=on_progress)
            )
        yield Addresses(
            kafka.bootstrap_servers if kafka else bootstrap_servers or "",
            redis.redis_url if redis else redis_url or "",
            kafka,
            redis,
        )
