"""The options of ``stream-rnn state``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.shared.state_options import OPTIONS
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD_NAMES


@click.group("state")
def command() -> None:
    """Look at a fold's state, save and restore it, erase a key, drop it."""


@command.command("show")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each partition.")
def show(**given: Any) -> Any:
    """Show, for each partition, what Redis and Kafka hold and where a worker would start.

    Changes nothing; workers may run.  The lag is the number of offsets from the position, the next
    one to fold, to the log end.  Exit status 1: a worker would stop.
    """
    return work("state").show(**given)


@command.command("drop")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option("--partition", type=click.IntRange(0), help="Partition to drop; default: all.")
@click.option("--force", is_flag=True, help="Go on although workers of the app run.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def drop(**given: Any) -> Any:
    """Drop the position and the hidden states of a fold in Redis.  Stop its workers first.

    The states of another bundle's fold, which nobody folds any more, may be dropped while workers
    run.

    The next start builds the states again from the log, silently below the group offset: exact
    while the log reaches back to the origin.  Predictions and group offsets are not touched.
    """
    return work("state").drop(**given)


@command.command("get")
@click.argument("key")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object for each partition that holds the key.",
)
def get(**given: Any) -> Any:
    """Show the hidden state of KEY, or of base64:...  Exit status 1: there is none.

    Every partition is asked: who produces the records chooses the partition of a key.

    Example: stream-rnn state get UA-EWR --app departures ...
    """
    return work("state").get(**given)


@command.command("erase")
@click.argument("key")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option(
    "--partition",
    type=click.IntRange(0),
    help="Partition to publish to, whatever Redis holds; default: where the key is.",
)
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(0, 86_400),
    default=30.0,
    show_default=True,
    help="Seconds to wait until a worker has folded it; 0 does not wait.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(**given: Any) -> Any:
    """Make the network forget KEY: publish a record with a null value to the source.

    It goes to the partition whose states hold the key, not to a hash of the key.  It is part of
    the log, so that every rebuild and replay forgets too.  Past events and predictions in Kafka,
    backups and bundles are not reached, nor is the state in a fold of another bundle that nobody
    folds any more: drop that (state drop --bundle OLD).  Exit status 1: no partition holds it, or
    it was not folded in time.

    Example: stream-rnn state erase UA-EWR --app departures ...
    """
    return work("state").erase(**given)


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(**given: Any) -> Any:
    """Save the positions and hidden states of a fold in FILE.  Workers may run.

    Each partition is as of one of its commits.  While it is read, Redis holds its states twice:
    leave room for the largest partition.  Redis answers no worker while it makes that copy:
    about half a second for a million keys.  FILE is readable by its owner alone, has a checksum, and appears whole or not at all.
    Younger than the log's retention it restores the fold exactly.

    Example: stream-rnn state export --app departures ... departures.states
    """
    return work("state_files").export(**given)


@command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option("--replace", is_flag=True, help="Drop what Redis holds of the fold first.")
@click.option("--force", is_flag=True, help="Go on although workers of the app run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(**given: Any) -> Any:
    """Put the positions and hidden states of FILE into Redis.  Stop the workers first.

    The file is checked before anything is written, and each partition is written at once: its
    states arrive under another name and then take the place.  The next start folds what the log
    has since, silently below the group offset.

    Example: stream-rnn state import --app departures ... departures.states
    """
    return work("state_files").import_(**given)


@command.command("size")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option(
    "--keys",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="Number of keys to calculate for.",
)
@click.option(
    "--key-bytes",
    type=click.FloatRange(1),
    default=16.0,
    show_default=True,
    help="Mean number of bytes of a key.",
)
@click.option("--offline", is_flag=True, help="Calculate only; ask neither Redis nor Kafka.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def size(**given: Any) -> Any:
    """Say what a number of keys costs in Redis: by calculation, and by what it holds now.

    Example: stream-rnn state size --app departures ... --keys 5000000
    """
    return work("state_files").size(**given)
