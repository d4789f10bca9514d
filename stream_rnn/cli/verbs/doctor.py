"""The options of ``stream-rnn doctor``."""

from typing import Any

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS, OPTIONS
from stream_rnn.cli.shared.options import Integer, json_option, verb
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.settings import FOLD_NAMES


@verb("doctor", f"{FOLD_WORDS} --keys 1000000")
@settings_options(
    *OPTIONS,
    "allow_short_retention",
    "output_batch_bytes_max",
    "partitions_max",
    "schema_auto_register",
    "transaction_timeout_ms",
    required=FOLD_NAMES,
)
@click.option(
    "--keys",
    type=Integer(1),
    help="Number of keys to expect; the doctor checks whether their states fit into Redis.",
)
@click.option(
    "--candidate",
    metavar="DIRECTORY",
    help="New bundle of a roll-out; the doctor checks whether it could start, and what it would cost.",
)
@click.option(
    "--write",
    "writes",
    is_flag=True,
    help="Also check the right to write: open a transaction over the output topics and abort it, which writes markers but no record.",
)
@json_option("check")
def command(**options: Any) -> Any:
    """Check everything that a worker needs, and suggest remedies.

    The doctor checks this machine, the bundle, Redis, Kafka, access rights and positions, and with a
    schema registry whether it answers and knows the ids of the latest records. It reads a
    sample of the source, at most 100,000 records in 10 seconds, for keys that are in several
    partitions, and names the partitioners of the producers. With --candidate, it also checks a
    roll-out without starting it: the workers' reports, the room in Redis, the time until the
    candidate is warm, the retention, the shadow topic and the rights. It takes the options of the worker;
    workers may run meanwhile. The exit status is 1 if a check is bad,
    and 0 if there are only warnings.
    """
    return load_work("doctor").run(**options)
