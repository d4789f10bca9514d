"""The options of ``stream-rnn tail``."""

from typing import Any

import click

from stream_rnn.cli.shared.options import Integer, json_option, verb
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.settings import CLUSTER


@verb("tail", "delays --from-beginning --max 10 --json")
@click.argument("topic")
@settings_options(
    *CLUSTER, "kafka_timeout_s", "schema_registry_url", "schema_registry_config", "bundle"
)
@click.option(
    "--from-beginning", is_flag=True, help="Begin at the log start instead of the log end."
)
@click.option(
    "--max",
    "count_max",
    type=Integer(1),
    help="Number of predictions to print; default: no limit.",
)
@json_option("prediction, with the published bytes unless they are framed,")
def command(**options: Any) -> Any:
    """Print the predictions of a topic as they arrive, until Ctrl-C.

    Predictions in Avro and Protobuf need --schema-registry-url, or the --bundle that made them.
    Each prediction is printed once, even if TOPIC contains repetitions. The command commits no
    offsets. At the end it prints the number of records that are not predictions.
    """
    return load_work("tail").run(**options)
