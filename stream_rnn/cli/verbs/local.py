"""The options of ``stream-rnn local``."""

from typing import Any

import click

from stream_rnn.cli.shared.options import Integer, json_option, path_option, verb
from stream_rnn.cli.verbs import load_work

PORT = Integer(1, 65_535)


@verb("local", "--kafka-port 9092 --redis-port 6379")
@click.option("--kafka-port", type=PORT, help="Port that Kafka listens on; default: a free port.")
@click.option("--redis-port", type=PORT, help="Port that Redis listens on; default: a free port.")
@click.option(
    "--registry",
    "has_registry",
    is_flag=True,
    help="Also run a schema registry, Apicurio; it forgets its schemas at the end.",
)
@click.option(
    "--registry-port",
    type=PORT,
    help="Port that the schema registry listens on, which implies --registry; default: a free port.",
)
@path_option(
    "--data",
    "DIRECTORY",
    help="Directory for the data of Kafka and Redis, which remains at the end; default: a temporary directory.",
)
@json_option()
def command(**options: Any) -> Any:
    """Run a Kafka broker and a Redis server on 127.0.0.1 until Ctrl-C.

    With --registry, a schema registry runs, too; the first start fetches 158 MB from Maven Central.
    They are meant for development: Kafka has one broker and no replication, and Redis does not
    persist its data.
    """
    return load_work("local").run(**options)
