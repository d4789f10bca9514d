"""``stream-rnn local``: a Kafka broker and a Redis server in the foreground."""

import signal
import sys
import threading
from pathlib import Path

import click

from stream_rnn.cli.shared.printing import print_json
from stream_rnn.local.servers import servers


def run(kafka_port: int | None, redis_port: int | None, data: Path | None, as_json: bool) -> None:
    """Run a Kafka broker and a Redis server on 127.0.0.1 until Ctrl-C."""
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    with servers(
        kafka_port=kafka_port,
        redis_port=redis_port,
        data=data,
        on_progress=lambda line: click.echo(line, err=True),
    ) as addresses:
        kafka, redis = addresses.bootstrap_servers, addresses.redis_url
        if as_json:
            print_json({"bootstrap_servers": kafka, "redis_url": redis})
        else:
            print(f"Kafka  --bootstrap-servers {kafka}")
            print(f"Redis  --redis-url {redis}")
            print("Ctrl-C stops both")
        sys.stdout.flush()
        stopped.wait()
