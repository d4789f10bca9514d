"""``stream-rnn audit``: what production published, held against a replay of its source."""

import asyncio
import sys
from dataclasses import asdict
from typing import Any

import click
import orjson
from rich.console import Console

from stream_rnn.cli.options import CLUSTER, FOLD, settings_options
from stream_rnn.cli.progress import RecordBars
from stream_rnn.fold.collector import calm_collector
from stream_rnn.fold.identity import fold_id
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.model import Model, pin_numerics
from stream_rnn.replay.audit import audit
from stream_rnn.replay.findings import KINDS, Audit, Choice
from stream_rnn.replay.keys import parse_key
from stream_rnn.replay.logs import TopicLog
from stream_rnn.settings import Settings

NEEDED = ("app", "source", "predictions", "bundle")


@click.command("audit")
@settings_options(
    *NEEDED,
    "dead_letters",
    "delivery",
    *CLUSTER,
    *FOLD,
    "kafka_timeout_s",
    required=NEEDED,
)
@click.option("--from", "first", help="offset or ISO 8601 time; default: log start")
@click.option(
    "--to", "last", help="offset or ISO 8601 time, not included; default: what is published"
)
@click.option(
    "--partition",
    "partitions",
    type=click.IntRange(0),
    multiple=True,
    help="only this one; may be given often",
)
@click.option(
    "--key", "keys", multiple=True, help="only this key, or base64:...; may be given often"
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="only this share of the keys, the same ones each time",
)
@click.option(
    "--examples",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="of each kind of finding that are shown",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(
    settings: Settings,
    first: str | None,
    last: str | None,
    partitions: tuple[int, ...],
    keys: tuple[str, ...],
    sample: float,
    examples: int,
    as_json: bool,
) -> int:
    """Hold a predictions topic against a replay of its source.

    The source is folded again in memory, up to what the group has published, and every prediction
    and dead letter is compared: byte for byte where this machine computes as production did, else
    by value.  The worker may run meanwhile.  Predictions whose memory began before --from cannot
    be compared and are counted, and so are those of other folds, before and after an upgrade.
    Exit status 1 if anything is missing, duplicated, different or unexpected, or if nothing could
    be compared; with --delivery at_least_once repeated predictions are no fault.

    Example: stream-rnn audit --app departures --source flights --predictions delays
    --bundle bundles/delay --from 2026-11-01
    """
    pin_numerics()
    calm_collector()
    model = load_bundle(settings.bundle or "")
    choice = Choice(frozenset(parse_key(key) for key in keys), sample, examples)
    log = TopicLog(settings, settings.source or "", first, last)
    with RecordBars(Console(stderr=True)) as bars:

        async def run() -> Audit:
            async with log:
                return await audit(log, model, settings, choice, partitions, bars)

        found = asyncio.run(run())
    if as_json:
        sys.stdout.write(orjson.dumps(_as_json(found, model, settings)).decode() + "\n")
    else:
        _show(Console(), found, settings)
    return 0 if found.is_fine(settings.delivery) else 1


def _as_json(found: Audit, model: Model, settings: Settings) -> dict[str, Any]:
    return {
        **{kind: found.counts[kind] for kind in KINDS},
        "other_folds": found.other_folds,
        "other_numerics": found.other_numerics,
        "fold": fold_id(model.fingerprint, settings),
        "numerics": model.numerics(),
        "ranges": {str(partition): list(ends) for partition, ends in found.ranges.items()},
        "examples": [asdict(finding) for finding in found.examples],
    }


def _show(console: Console, found: Audit, settings: Settings) -> None:
    for partition, (start, end) in found.ranges.items():
        what = (
            f"offsets {start} to {end - 1}" if end > start else "nothing is published in the range"
        )
        console.print(f"{settings.source}[{partition}]: {what}", highlight=False)
    for kind in KINDS:
        console.print(f"{kind.replace('_', ' '):24} {found.counts[kind]}", highlight=False)
    for note in _notes(found):
        console.print(note, highlight=False)
    for finding in found.examples:
        key = f" key {finding.key}" if finding.key else ""
        console.print(
            f"{finding.kind} partition {finding.partition} offset {finding.offset}{key}",
            highlight=False,
            markup=False,
        )
        for name in ("published", "replayed"):
            if (said := getattr(finding, name)) is not None:
                console.print(f"  {name:9} {said}", highlight=False, markup=False, soft_wrap=True)


def _notes(found: Audit) -> list[str]:
    """Say what was not compared, or not byte for byte."""
    notes = []
    if found.other_folds:
        notes.append(
            f"predictions of other folds {found.other_folds}: not compared; audit them with the "
            "bundle, state_ttl and limits that they were made with"
        )
    if found.is_empty:
        notes.append(
            "nothing could be compared: another fold published all of it, or every memory began "
            "before --from; begin at the log start"
        )
    if found.other_numerics:
        notes.append(
            f"compared by value {found.other_numerics}: another kind of machine computed them"
        )
    return notes
