"""``stream-rnn state``: positions and hidden states of a fold: show, get, drop."""

import time
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np

from stream_rnn.cli.shared.confirmation import confirm
from stream_rnn.cli.shared.folds import with_fold
from stream_rnn.cli.shared.printing import output_console, print_json, print_table, print_text
from stream_rnn.fold.stream_time import describe_ahead
from stream_rnn.key_spellings import NearKey, list_near_keys
from stream_rnn.keys import KEY_FORMS, describe_key, parse_key
from stream_rnn.operate import key_states as states
from stream_rnn.operate.absent_fold import explain_absent_fold
from stream_rnn.operate.in_charge import describe_fold_in_charge
from stream_rnn.operate.key_states import KeyState
from stream_rnn.operate.near_keys import find_near_keys
from stream_rnn.operate.open_fold import Fold
from stream_rnn.settings import FoldSettings

SHADES = " \u2591\u2592\u2593\u2588"
FLOATS_PER_LINE = 64


def show(settings: FoldSettings, as_json: bool) -> int:
    """Show the positions of each partition, and where a worker would start."""

    async def look(fold: Fold) -> tuple[str, list[dict[str, Any]]]:
        return fold.identity, await fold.describe()

    identity, rows = with_fold(settings, look)
    for row in rows:
        now_s = time.time()  # noqa: TID251  # the fold does not use it
        ahead = describe_ahead(row["stream_time_ms"], now_s, settings)
        row["stream_time_ahead"] = None if ahead is None else str(ahead)
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
        absence, total = await explain_absent_fold(fold), 0
        for place in fold.select(partition):
            count = await place.store.drop()
            total += count
            print(f"dropped {count} hidden states of {settings.source}[{place.partition}]")
        if absence and not total:
            click.echo(f"note: {absence}", err=True)

    if not yes:
        confirm(
            f"drop the states of app {settings.app} on {settings.source}, of the fold of this "
            "bundle?"
        )
    with_fold(settings, drop_places)


def get(settings: FoldSettings, key: str, as_json: bool) -> int:
    """Show the hidden state of a key."""
    record_key = parse_key(key)
    name = describe_key(record_key)

    async def look(fold: Fold) -> tuple[list[KeyState], tuple[list[NearKey], str]]:
        found = await states.find_states(fold, record_key)
        if found:
            return found, ([], "")
        near, note = await find_near_keys(fold, record_key)
        return found, (near, await explain_absent_fold(fold) or note)

    found, (near, note) = with_fold(settings, look)
    for state in found:
        if as_json:
            print_json(_as_json(name, state))
        else:
            _print_state(name, state)
    if not found and as_json:
        print_json({"key": name, "found": 0, "similar": near_as_json(near), "note": note or None})
    elif not found:
        print(f"no partition of {settings.source} has a state of {name}")
        print_near(near, note)
    if len(found) > 1 and not as_json:
        print(
            f"{name} has a separate memory in each of {len(found)} partitions: see 'One key in two "
            "partitions' in deploy/README.md"
        )
    return 0 if found else 1


def print_near(near: list[NearKey], note: str) -> None:
    """Print stored keys that may be another spelling of a key that is not there.

    Args:
        near: The stored keys.
        note: What was not looked at; empty if everything was.
    """
    if near:
        print(f"similar keys that have one: {list_near_keys(near)}")
    else:
        print(f"no similar key has one; a key is {KEY_FORMS}")
    if note:
        click.echo(f"note: {note}", err=True)


def near_as_json(near: list[NearKey]) -> list[dict[str, Any]]:
    """Return near keys for JSON."""
    return [{"key": key.name, "how": key.how, "partitions": list(key.partitions)} for key in near]


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
        decision = f"a worker {start} (row {row['row']} of the recovery table)"
        names_of_offsets = ("anchor", "group_offset_fold", "last_output_fold")
        anchor, committed, last = ("-" if row[n] is None else row[n] for n in names_of_offsets)
        print_text(
            console,
            f"partition {row['partition']}: {describe_fold_in_charge(row) or decision}; anchor "
            f"{anchor}, fold of the group offset {committed}, of the last output {last}",
            "  ",
        )
        for name in ("stop", "would_lose", "lost", "stream_time_ahead"):
            if row[name]:
                label = name.replace("_", " ")
                print_text(console, f"partition {row['partition']}: {label}: {row[name]}", "  ")


def _as_json(key: str, state: KeyState) -> dict[str, Any]:
    return {
        "key": key,
        "partition": state.partition,
        "steps": state.steps,
        "last_event_ms": state.last_ms,
        "hidden": state.hidden.tolist(),
        **({"tail": state.tail} if state.tail else {}),
    }


def _print_state(key: str, state: KeyState) -> None:
    last = datetime.fromtimestamp(state.last_ms / 1000, UTC).isoformat(timespec="milliseconds")
    print(f"{key}  partition {state.partition}  steps {state.steps}")
    print(f"last event {last}  size {len(state.hidden)}")
    for name, value in state.tail.items():
        print(f"last {name} {value:g}")
    absolute = np.abs(state.hidden)
    print(f"root mean square {np.sqrt(np.mean(absolute**2)):.3f}  largest {absolute.max():.3f}")
    for start in range(0, len(state.hidden), FLOATS_PER_LINE):
        row = np.minimum(absolute[start : start + FLOATS_PER_LINE], 1.0)
        print("".join(SHADES[round(value * (len(SHADES) - 1))] for value in row.tolist()))
