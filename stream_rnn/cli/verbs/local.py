"""The options of ``stream-rnn local``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.verbs import work


@click.command("local")
@click.option(
    "--kafka-port", type=click.IntRange(1, 65_535), help="Port to listen on; default: a free one."
)
@click.option(
    "--redis-port", type=click.IntRange(1, 65_535), help="Port to listen on; default: a free one."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Directory for data, which is kept; default: a temporary one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON object.")
def command(**given: Any) -> Any:
    """Run a real Kafka and a real Redis on 127.0.0.1 until Ctrl-C.

    For development: one broker, no replication, no persistence of Redis.
    """
    return work("local").run(**given)
