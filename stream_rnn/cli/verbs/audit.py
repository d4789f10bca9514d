"""The options of ``stream-rnn audit``."""

from typing import Any

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS, folds_options
from stream_rnn.cli.shared.options import Float, Integer, json_option, verb
from stream_rnn.cli.verbs import load_work


@verb("audit", f"{FOLD_WORDS} --from 2026-11-01")
@folds_options
@click.option(
    "--from",
    "first",
    metavar="OFFSET|TIME",
    help="Offset or ISO 8601 time at which the audit begins; default: the log start.",
)
@click.option(
    "--to",
    "last",
    metavar="OFFSET|TIME",
    help="Offset or ISO 8601 time before which the audit ends; default: the group offset.",
)
@click.option(
    "--partition",
    "partitions",
    type=Integer(0),
    multiple=True,
    help="Partition to audit; may be repeated; default: all.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Key to audit, as text, base64:..., hex:..., int32:... or int64:...; may be repeated; default: all.",
)
@click.option(
    "--sample",
    type=Float(0, 1, min_open=True),
    default=1.0,
    help="Share of the keys to audit; every run chooses the same keys.",
)
@click.option(
    "--examples",
    type=Integer(0, 1000),
    default=5,
    help="Number of examples to print for each kind of difference.",
)
@json_option()
def command(**options: Any) -> Any:
    """Compare published predictions with a replay of their source.

    The audit folds the source again in memory, up to the group offset, and compares every
    prediction and every dead letter, with key, timestamp and headers. It compares byte for byte if
    this machine computes as production does, otherwise by value. The worker may run at the same
    time. A prediction whose memory begins before --from is not comparable: the audit counts it and
    checks everything but its outputs. The audit also counts the events whose prediction was
    published by another fold or removed by retention.

    After a roll-out, give --bundle for each bundle: the audit folds the source with each, compares
    every prediction with the fold that made it, and prints the offset of each cut-over. It finds
    offsets that two folds answered (two folds), predictions with a lower number than one before
    them (number falls), or by a fold that a cut-over has replaced (not in charge; same number if
    they have the number of that cut-over), and offsets of which readers drop every prediction
    (unreadable). With --delivery at_least_once, the first three are no faults, because readers drop
    predictions with a lower number than one that they have read.

    The audit also counts the keys that have events in several partitions, which is a warning and no
    fault: each of these keys has a separate memory in each partition.

    The audit reads from Redis only what the schema ids of framed records stand for to the workers,
    and nothing without a schema registry. It accepts the options of Redis and of recovery, so that
    one line of options serves every command that works on a fold.

    The exit status is 0 only if the audit has compared something and found no fault. With
    --delivery at_least_once, a repeated prediction with the same bytes is not a fault.
    """
    return load_work("audit").run(**options)
