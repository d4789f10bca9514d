"""``stream-rnn state export``, ``import`` and ``size``: states in files, and what they cost."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console

from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate import archive
from stream_rnn.operate import key_states as states
from stream_rnn.operate.archive import Summary
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.settings import FoldSettings


def export(settings: FoldSettings, file: Path, as_json: bool) -> None:
    """Save the positions and hidden states of a fold in FILE."""
    with RecordBars(Console(stderr=True)) as bars:
        limit_s = max(settings.redis_timeout_s, archive.COPIED_WITHIN_S)
        patient = settings.model_copy(update={"redis_timeout_s": limit_s})

        async def run() -> Summary:
            async with open_fold(patient) as fold:
                return await archive.export(fold, file, lambda n: bars("states", n))

        _say(asyncio.run(run()), "saved in", file, as_json)


def import_(settings: FoldSettings, file: Path, replace: bool, force: bool, as_json: bool) -> None:
    """Put the positions and hidden states of FILE into Redis."""
    with RecordBars(Console(stderr=True)) as bars:

        async def run() -> Summary:
            async with open_fold(settings) as fold:
                if not force:
                    await fold.require_no_workers("the import")
                return await archive.restore(
                    fold, file, lambda n: bars("states", n), replace=replace
                )

        _say(asyncio.run(run()), "restored from", file, as_json)


def size(settings: FoldSettings, keys: int, key_bytes: float, offline: bool, as_json: bool) -> None:
    """Say what a number of keys costs in Redis: by calculation, and by what it holds now."""

    async def run() -> dict[str, float | int | None]:
        async with open_fold(settings) as fold:
            return await states.measured(fold)

    each = states.state_bytes(load_bundle(settings.bundle), key_bytes)
    found: dict[str, float | int | None] = {
        "keys": keys,
        "bytes_a_key": each,
        "bytes": each * keys,
    }
    held = {} if offline else asyncio.run(run())
    found |= {f"held_{name}": value for name, value in held.items()}
    if as_json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
        return
    print(f"{keys:,} keys: {each * keys / 1e6:,.0f} MB, {each:.0f} bytes a key by calculation")
    if held.get("keys"):
        a_key = held["bytes_a_key"] or 0
        print(f"Redis holds {held['keys']:,} keys in {(held['bytes'] or 0) / 1e6:,.1f} MB")
        print(f"{keys:,} keys: {a_key * keys / 1e6:,.0f} MB, {a_key:.0f} bytes a key as measured")
    print("leave as much again free: Redis rewrites its append-only file, and memory fragments")


def _say(summary: Summary, what: str, file: Path, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(summary)).decode() + "\n")
    else:
        print(
            f"{summary.keys:,} states of {summary.partitions} partitions {what} {file} "
            f"({summary.bytes / 1e6:,.1f} MB)"
        )
