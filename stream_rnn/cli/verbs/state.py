"""The options of ``stream-rnn state``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS, fold_options
from stream_rnn.cli.shared.options import Float, Integer, json_option, verb, yes_option
from stream_rnn.cli.verbs import load_work

F = TypeVar("F", bound=Callable[..., Any])

_force = click.option(
    "--force", is_flag=True, help="Proceed even while workers of the app are running."
)


def _within(text: str, default: float | None = None) -> Callable[[F], F]:
    """Return the option ``--within``."""
    kind = Float(0, 86_400)
    return click.option("--within", "within_s", type=kind, default=default, help=text)


def _partition(text: str) -> Callable[[F], F]:
    """Return the option ``--partition``."""
    return click.option("--partition", type=Integer(0), help=text)


_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group("state")
def command() -> None:
    """Inspect, save, restore, erase and drop the hidden states of a fold."""


@verb("show", FOLD_WORDS, command)
@fold_options
@json_option("partition")
def show(**options: Any) -> Any:
    """Show the positions of each partition, and where a worker would start.

    The command changes nothing; workers may run meanwhile. The lag is the number of offsets
    between the position, which is the next offset to fold, and the log end. The exit status is 1
    if a worker would stop.
    """
    return load_work("state").show(**options)


@verb("drop", f"{FOLD_WORDS} --partition 3", command)
@fold_options
@_partition("Partition to drop; default: all.")
@_force
@yes_option
def drop(**options: Any) -> Any:
    """Delete the positions and the hidden states of a fold from Redis.

    Stop the workers of the fold first. You may drop the fold of an old bundle while workers with a
    new bundle run.

    The next start of a worker rebuilds the states from the log, silently below the group offset.
    The rebuilt states are exact if the log still reaches back to the origin. Predictions and group
    offsets do not change.
    """
    return load_work("state").drop(**options)


@verb("get", f"UA-EWR {FOLD_WORDS}", command)
@click.argument("key")
@fold_options
@json_option("partition that contains KEY", "; an object with found 0 if none does")
def get(**options: Any) -> Any:
    """Show the hidden state of a key.

    KEY is text, or base64:, hex:, int32: or int64: followed by the bytes in that form; int64:7 is
    the key that Java's LongSerializer writes. The command looks into every partition,
    because the producer of the records chooses the partition of a key. If no partition contains
    KEY, the exit status is 1, and the command names stored keys that may be another spelling of
    KEY, such as JSON text.
    """
    return load_work("state").get(**options)


@verb("erase", f"UA-EWR {FOLD_WORDS}", command)
@click.argument("key")
@fold_options
@_partition(
    "Partition to publish to, even if it has no state of KEY; default: every partition that has one."
)
@click.option(
    "--all-partitions",
    is_flag=True,
    help="Publish to every partition, even without a state of KEY: for events that are not folded yet, and for later folds.",
)
@_within("Seconds to wait until a worker has folded the record; 0 does not wait.", 30)
@yes_option
@json_option(note="; implies --yes")
def erase(**options: Any) -> Any:
    """Make the network forget a key: publish a record with a null value to the source.

    KEY is text, or base64:, hex:, int32: or int64: followed by the bytes in that form; int64:7 is
    the key that Java's LongSerializer writes. The record goes to the partition whose
    states contain KEY, whatever the hash of KEY is. It is a part of the log, so every rebuild and
    every replay forgets KEY, too.

    Past events, predictions and dead letters in Kafka remain until retention removes them; the
    record removes events only if the source is compacted. Backups and bundles remain, and so does
    the state in the fold of an old bundle that no worker folds any more: delete that with state
    drop --bundle OLD.

    If no partition has a state of KEY, the command publishes nothing, unless --partition or
    --all-partitions is given, and names stored keys that may be another spelling of KEY. The exit
    status is 1 if the erasure met neither a state nor an unfolded event of KEY, or if no worker
    folds the record in time.
    """
    return load_work("state_erase").erase(**options)


@verb("expire", f"{FOLD_WORDS} --yes", command)
@fold_options
@_partition("Partition to publish to; default: all.")
@click.option(
    "--silent-for",
    "silent_s",
    type=Float(0),
    help="Least age of a partition's last record, in seconds; default: --state-ttl.",
)
@_within(
    "Seconds to wait until workers have folded the ticks and deleted the states; default: "
    "idle_check_s, 30 s, and the time that the states need."
)
@click.option(
    "--force",
    is_flag=True,
    help="Also publish to partitions whose records or event times are in the past, or with a skewed clock.",
)
@yes_option
def expire(**options: Any) -> Any:
    """Let the hidden states of silent partitions expire: publish a tick to the source.

    States expire by stream time, the greatest event time of the partition, which stands still
    while no events come. A tick is a record with a null value under the key stream-rnn/tick. It
    moves stream time to now, and has no prediction and no dead letter. It is a part of the log, so
    every rebuild and every replay expires the same states. Run the command from time to time,
    for example by cron, if the partitions of your topic fall silent.

    A partition gets a tick if Redis has states of it, all its records are folded, and the last one
    is old enough. It is refused if stream time is more than --state-ttl behind the timestamp of the
    last record, as in a backfill: later events would find no memory, and nothing undoes a tick. If
    the producers set the timestamps, it is also refused if the last record is more than a day older
    than --silent-for: it may be one of an old log that is sent again. And it is refused if the clock
    of this machine is far ahead of Redis's.

    States whose last event is less than --state-ttl before now, or ahead of now, stay; the command
    counts them, and does not wait for them. All workers must run this version or a later one. The
    exit status is 1 if a partition was refused, if the settings are not those of the app's fold, or
    if workers do not delete the expired states in time. It is 4 while workers change to the fold of
    these settings, such as a new bundle: run the command again when they have begun all partitions.
    """
    return load_work("state_expire").expire_silent(**options)


@verb("export", f"departures.states {FOLD_WORDS}", command)
@_file
@fold_options
@json_option()
def export(**options: Any) -> Any:
    """Save the positions and the hidden states of a fold to a file.

    Workers may run meanwhile. The states of each partition are those of one of its commits. While
    the export reads a partition, Redis contains its states twice, so leave room for the largest
    partition. Redis does not answer while it makes the copy, about half a second for a million
    keys.

    Only its owner can read FILE. It has a checksum, and appears under its name when it is
    complete. A file that is younger than the retention of the log restores the fold exactly.
    """
    return load_work("state_files").export(**options)


@verb("import", f"departures.states {FOLD_WORDS}", command)
@_file
@fold_options
@click.option("--replace", is_flag=True, help="Delete the states of the fold from Redis first.")
@_force
@json_option()
def import_(**options: Any) -> Any:
    """Restore the positions and the hidden states of a fold from a file.

    Stop the workers first. The import checks FILE before it writes anything. It writes the states
    of a partition under another name, and then renames them in one step. The next start of a
    worker folds the records that the log has received since the export, silently below the group
    offset.
    """
    return load_work("state_files").import_(**options)


@verb("size", f"{FOLD_WORDS} --keys 5000000", command)
@fold_options
@click.option(
    "--keys",
    type=Integer(1),
    default=1_000_000,
    help="Number of keys to calculate the size for.",
)
@click.option(
    "--key-bytes",
    type=Float(1),
    default=16,
    help="Mean size of a key in bytes.",
)
@click.option(
    "--offline", is_flag=True, help="Only calculate; connect neither to Redis nor to Kafka."
)
@json_option()
def size(**options: Any) -> Any:
    """Estimate the memory that the states of a number of keys take in Redis.

    The command calculates the size from the bundle, and measures the states that Redis contains
    now.
    """
    return load_work("state_files").size(**options)
