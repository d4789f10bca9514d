"""``stream-rnn state``: positions and hidden states of a fold: show, get, erase, drop."""

from datetime import UTC, datetime
from typing import Any

import click
import numpy as np

from stream_rnn.cli.shared.folds import with_fold
from stream_rnn.cli.shared.printing import output_console, print_json, print_table, print_text
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.operate import key_states as states
from stream_rnn.operate.key_states import KeyState
from stream_rnn.operate.open_fold import Fold
from stream_rnn.settings import FoldSettings

SHADES = " \u2591\u2592\u2593\u2588"
FLOATS_PER_LINE = 64


def show(settings: FoldSettings, as_json: bool) -> int:
    """Show the positions of each partition, and where a worker would start."""

    async def look(fold: Fold) -> tuple[str, list[dict[str, Any]]]:
        return fold.identity, await fold.describe()

    identity, rows = with_fold(settings, look)
    if as_json:
        for row in rows:
            print_json(row)
    else:
        _print(settings, identity, rows)
    return 1 if any(row["stop"] for row in rows) else 0


def drop(settings: FoldSettings, partition: int | None, force: bool, yes: bool) -> None:
    """Delete the positions and the hidden states of a fold from Redis."""

    async def drop_places(fold: Fold) -> None:
        if not force:
            await fold.require_no_workers("dropping")
        for place in fold.select(partition):
            count = await place.store.drop()
            print(f"dropped {count} hidden states of {settings.source}[{place.partition}]")

    if not yes:
        click.confirm(
            f"drop the states of app {settings.app} on {settings.source}, of the fold of this "
            "bundle?",
            abort=True,
        )
    with_fold(settings, drop_places)


def get(settings: FoldSettings, key: str, as_json: bool) -> int:
    """Show the hidden state of a key."""
    name = describe_key(parse_key(key))
    found = with_fold(settings, lambda fold: states.find_states(fold, parse_key(key)))
    for state in found:
        if as_json:
            print_json(_as_json(name, state))
        else:
            _print_state(name, state)
    if not found and not as_json:
        print(f"no partition of {settings.source} has a state of {name}")
    return 0 if found else 1


def erase(
    settings: FoldSettings, key: str, partition: int | None, within_s: float, yes: bool
) -> int:
    """Make the network forget a key: publish a record with a null value to the source."""
    name = describe_key(parse_key(key))

    async def publish(fold: Fold) -> int:
        fold.select(partition)
        holders = await states.find_partitions(fold, parse_key(key))
        partitions = holders if partition is None else [partition]
        if not partitions:
            print(f"no partition of {settings.source} has a state of {name}: nothing was published")
            if count := await states.count_unfolded(fold):
                print(
                    f"{count} records are not folded yet, and may have this key: try again after "
                    "they are folded, or give --partition"
                )
            return 1
        offsets = await states.publish_forgets(fold, parse_key(key), partitions)
        for number, offset in offsets.items():
            print(f"forget of {name} published to {settings.source}[{number}] at offset {offset}")
        if not within_s:
            return 0
        if await states.wait_until_folded(fold, offsets, within_s):
            print("folded: this fold has no state of the key; older folds may have, see --help")
            return 0
        print(f"not folded within {within_s:g} s: a worker folds the record when it reaches it")
        return 1

    if not yes:
        click.confirm(f"forget {name} of {settings.source}?", abort=True)
    return with_fold(settings, publish)


def _print(settings: FoldSettings, identity: str, rows: list[dict[str, Any]]) -> None:
    console = output_console()
    print_text(console, f"app {settings.app}  source {settings.source}  fold {identity}")
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
    print_table(console, [name.replace("_", " ") for name in names], cells)
    for row in rows:
        start = (
            "would stop"
            if row["stop"]
            else f"would start at {row['start']} and publish from {row['publish_from']}"
        )
        print_text(
            console,
            f"partition {row['partition']}: a worker {start} (row {row['row']} of the recovery "
            f"table); anchor {row['anchor']}, fold of the group offset {row['group_offset_fold']}, "
            f"of the last output {row['last_output_fold']}",
            "  ",
        )
        for name in ("stop", "lost"):
            if row[name]:
                print_text(console, f"partition {row['partition']}: {name}: {row[name]}", "  ")


def _as_json(key: str, state: KeyState) -> dict[str, Any]:
    return {
        "key": key,
        "partition": state.partition,
        "steps": state.steps,
        "last_event_ms": state.last_ms,
        "hidden": state.hidden.tolist(),
    }


def _print_state(key: str, state: KeyState) -> None:
    time = datetime.fromtimestamp(state.last_ms / 1000, UTC).isoformat(timespec="milliseconds")
    print(f"{key}  partition {state.partition}  steps {state.steps}")
    print(f"last event {time}  size {len(state.hidden)}")
    absolute = np.abs(state.hidden)
    print(f"root mean square {np.sqrt(np.mean(absolute**2)):.3f}  largest {absolute.max():.3f}")
    for start in range(0, len(state.hidden), FLOATS_PER_LINE):
        row = np.minimum(absolute[start : start + FLOATS_PER_LINE], 1.0)
        print("".join(SHADES[round(value * (len(SHADES) - 1))] for value in row.tolist()))
