"""``stream-rnn state``: what a fold holds, where it would start, one key of it, and dropping it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np
import orjson

from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.operate import key_states as states
from stream_rnn.operate.key_states import Found
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.settings import FoldSettings

SHADES = " \u2591\u2592\u2593\u2588"
SHOWN_FLOATS = 64


def show(settings: FoldSettings, as_json: bool) -> int:
    """Show, for each partition, what Redis and Kafka hold and where a worker would start."""
    return asyncio.run(_show(settings, as_json=as_json))


def drop(settings: FoldSettings, partition: int | None, force: bool, yes: bool) -> None:
    """Drop the position and the hidden states of a fold in Redis."""
    if not yes:
        click.confirm(
            f"drop the states of app {settings.app} on {settings.source}, of this bundle's fold?",
            abort=True,
        )
    asyncio.run(_drop(settings, partition, force=force))


def get(settings: FoldSettings, key: str, as_json: bool) -> int:
    """Show the hidden state of a key."""

    async def run() -> list[Found]:
        async with open_fold(settings) as fold:
            return await states.find(fold, parse_key(key))

    found = asyncio.run(run())
    for one in found:
        if as_json:
            print(orjson.dumps(_as_json(describe_key(parse_key(key)), one)).decode())
        else:
            _print_state(key, one)
    if not found and not as_json:
        print(f"no partition of {settings.source} holds {describe_key(parse_key(key))}")
    return 0 if found else 1


def erase(
    settings: FoldSettings, key: str, partition: int | None, within_s: float, yes: bool
) -> int:
    """Make the network forget KEY: publish a record with a null value to the source."""
    name = describe_key(parse_key(key))
    if not yes:
        click.confirm(f"forget {name} of {settings.source}?", abort=True)

    async def run() -> int:
        async with open_fold(settings) as fold:
            fold.chosen(partition)
            held = await states.holders(fold, parse_key(key))
            chosen = held if partition is None else [partition]
            if not chosen:
                print(f"no partition of {settings.source} holds {name}: nothing was published")
                if left := await states.waiting(fold):
                    print(
                        f"{left} records are not folded yet, and may be of it: try again when they "
                        "are, or name its --partition"
                    )
                return 1
            offsets = await states.erase(fold, parse_key(key), chosen)
            for number, offset in offsets.items():
                print(f"forget of {name} published as {settings.source}[{number}] {offset}")
            if not within_s:
                return 0
            if await states.folded(fold, offsets, within_s):
                print(
                    "folded: the state is gone from this fold; older folds keep theirs, see --help"
                )
                return 0
            print(
                f"not folded within {within_s:g} s; is a worker running?  It will be, in its turn"
            )
            return 1

    return asyncio.run(run())


async def _show(settings: FoldSettings, *, as_json: bool) -> int:
    async with open_fold(settings) as fold:
        identity, rows = fold.identity, await fold.look()
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
    else:
        _print(settings, identity, rows)
    return 1 if any(row["stop"] for row in rows) else 0


def _print(settings: FoldSettings, identity: str, rows: list[dict[str, Any]]) -> None:
    console = output()
    show_text(console, f"app {settings.app}  source {settings.source}  fold {identity}")
    names = (
        "partition",
        "log_start",
        "origin",
        "position",
        "group_offset",
        "log_end",
        "lag",
        "keys",
    )
    cells = [["-" if row[name] is None else str(row[name]) for name in names] for row in rows]
    show_table(console, [name.replace("_", " ") for name in names], cells)
    for row in rows:
        start = (
            "would stop"
            if row["stop"]
            else f"would start at {row['start']} and publish from {row['publish_from']}"
        )
        show_text(
            console,
            f"partition {row['partition']}: a worker {start} (row {row['row']} of the recovery "
            f"table); anchor {row['anchor']}, fold of the group offset {row['group_offset_fold']}, "
            f"of the last output {row['last_output_fold']}",
            "  ",
        )
        for name in ("stop", "lost"):
            if row[name]:
                show_text(console, f"partition {row['partition']}: {name}: {row[name]}", "  ")


async def _drop(settings: FoldSettings, partition: int | None, *, force: bool) -> None:
    async with open_fold(settings) as fold:
        if not force:
            await fold.require_no_workers("dropping")
        for place in fold.chosen(partition):
            count = await place.store.drop()
            print(f"dropped {count} hidden states of {settings.source}[{place.partition}]")


def _as_json(key: str, found: Found) -> dict[str, Any]:
    return {
        "key": key,
        "partition": found.partition,
        "steps": found.steps,
        "last_event_ms": found.last_ms,
        "hidden": found.hidden.tolist(),
    }


def _print_state(key: str, found: Found) -> None:
    moment = datetime.fromtimestamp(found.last_ms / 1000, UTC).isoformat(timespec="milliseconds")
    print(f"{describe_key(parse_key(key))}  partition {found.partition}  steps {found.steps}")
    print(f"last event {moment}  size {len(found.hidden)}")
    size = np.abs(found.hidden)
    print(f"root mean square {np.sqrt(np.mean(size**2)):.3f}  largest {size.max():.3f}")
    for start in range(0, len(found.hidden), SHOWN_FLOATS):
        row = np.minimum(size[start : start + SHOWN_FLOATS], 1.0)
        print("".join(SHADES[round(value * (len(SHADES) - 1))] for value in row.tolist()))
