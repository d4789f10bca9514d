"""``stream-rnn state export``, ``import`` and ``size``: states in files, and their size in Redis."""

from dataclasses import asdict
from pathlib import Path

from stream_rnn.cli.shared.folds import with_fold
from stream_rnn.cli.shared.printing import print_json
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate import archive
from stream_rnn.operate import key_states as states
from stream_rnn.operate.archive import ArchiveSummary
from stream_rnn.operate.open_fold import Fold
from stream_rnn.settings import FoldSettings


def export(settings: FoldSettings, file: Path, as_json: bool) -> None:
    """Save the positions and the hidden states of a fold to a file."""
    timeout_s = max(settings.redis_timeout_s, archive.COPY_TIMEOUT_S)
    patient = settings.model_copy(update={"redis_timeout_s": timeout_s})
    with RecordBars() as bars:
        summary = with_fold(
            patient, lambda fold: archive.export(fold, file, lambda n: bars("states", n))
        )
        _print(summary, "saved to", file, as_json)


def import_(settings: FoldSettings, file: Path, replace: bool, force: bool, as_json: bool) -> None:
    """Restore the positions and the hidden states of a fold from a file."""
    with RecordBars() as bars:

        async def restore(fold: Fold) -> ArchiveSummary:
            if not force:
                await fold.require_no_workers("the import")
            return await archive.restore(fold, file, lambda n: bars("states", n), replace=replace)

        _print(with_fold(settings, restore), "restored from", file, as_json)


def size(settings: FoldSettings, keys: int, key_bytes: float, offline: bool, as_json: bool) -> None:
    """Estimate the memory that the states of a number of keys take in Redis."""
    per_key = states.state_bytes(load_bundle(settings.bundle), key_bytes)
    measured = {} if offline else with_fold(settings, states.measure_memory)
    if as_json:
        calculated = {"keys": keys, "bytes_a_key": per_key, "bytes": per_key * keys}
        print_json(calculated | {f"held_{name}": value for name, value in measured.items()})
        return
    print(f"{keys:,} keys: {per_key * keys / 1e6:,.0f} MB, {per_key:.0f} bytes per key, calculated")
    if measured.get("keys") and not measured["bytes"]:
        print(
            f"Redis contains {measured['keys']:,} keys; it refuses MEMORY USAGE, which measures them"
        )
    elif measured.get("keys"):
        per_key = measured["bytes_a_key"]
        print(f"Redis contains {measured['keys']:,} keys in {measured['bytes'] / 1e6:,.1f} MB")
        print(
            f"{keys:,} keys: {per_key * keys / 1e6:,.0f} MB, {per_key:.0f} bytes per key, measured"
        )
    print("leave the same amount free: Redis rewrites its append-only file, and memory fragments")


def _print(summary: ArchiveSummary, verb: str, file: Path, as_json: bool) -> None:
    if as_json:
        print_json(asdict(summary))
    else:
        print(
            f"{summary.keys:,} states of {summary.partitions} partitions {verb} {file} "
            f"({summary.bytes / 1e6:,.1f} MB)"
        )
