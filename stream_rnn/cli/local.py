"""``stream-rnn local``: Kafka, Redis and a schema registry in the foreground."""

import signal
import sys
import threading
from pathlib import Path

import click

from stream_rnn.cli.shared.printing import print_json
from stream_rnn.local.servers import servers


def run(
    kafka_port: int | None,
    redis_port: int | None,
    has_registry: bool,
    registry_port: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Run a Kafka broker and a Redis server on 127.0.0.1 until Ctrl-C."""
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    with servers(
        kafka_port=kafka_port,
        redis_port=redis_port,
        registry_port=registry_port,
        has_registry=has_registry or registry_port is not None,
        data=data,
        on_progress=lambda line: click.echo(line, err=True),
    ) as addresses:
        kafka, redis = addresses.bootstrap_servers, addresses.redis_url
        registry = addresses.registry
        if as_json:
            url = {} if registry is None else {"schema_registry_url": registry.url}
            print_json({"bootstrap_servers": kafka, "redis_url": redis, **url})
        else:
            print(f"Kafka  --bootstrap-servers {kafka}")
            print(f"Redis  --redis-url {redis}")
            if registry is not None:
                print(f"Schema registry  --schema-registry-url {registry.url}")
            print(f"Ctrl-C stops {'both' if registry is None else 'all'}")
        sys.stdout.flush()
        stopped.wait()
