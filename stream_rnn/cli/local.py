"""``stream-rnn local``: a real Kafka and a real Redis in the foreground."""

import signal
import threading
from pathlib import Path

import click
import orjson

from stream_rnn.local.servers import servers


def run(kafka_port: int | None, redis_port: int | None, data: Path | None, as_json: bool) -> None:
    """Run a real Kafka and a real Redis on 127.0.0.1 until Ctrl-C."""
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    with servers(
        kafka_port=kafka_port,
        redis_port=redis_port,
        data=data,
        on_progress=lambda line: click.echo(line, err=True),
    ) as found:
        if as_json:
            addresses = {"bootstrap_servers": found.bootstrap_servers, "redis_url": found.redis_url}
            print(orjson.dumps(addresses).decode(), flush=True)
        else:
            print(f"Kafka  --bootstrap-servers {found.bootstrap_servers}")
            print(f"Redis  --redis-url {found.redis_url}")
            print("Ctrl-C stops both", flush=True)
        ended.wait()
