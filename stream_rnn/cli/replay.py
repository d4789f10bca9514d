"""``stream-rnn replay``: fold a range of a log again."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import orjson
from rich.console import Console

from stream_rnn.cli.shared.log_options import LogChoice
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.bundle import load_bundle, read_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.partition import replay_partition
from stream_rnn.replay.to_file import Replay, replay_to_file
from stream_rnn.settings import Settings

STANDARD_OUTPUT = "-"


def run(
    settings: Settings,
    where: LogChoice,
    log: tuple[str, ...],
    bundle: Path,
    out: str,
    processes: int,
    as_json: bool,
) -> None:
    """Fold a range of a log again, with hidden states in memory; nothing real is written."""
    if out == STANDARD_OUTPUT and as_json:
        raise click.UsageError(
            "--json says on standard output what was done, where --out - writes the predictions; "
            "give one of them"
        )
    calm_collector()
    path, _ = where.split(log)
    source = where.make(settings, read_bundle(bundle).spec, path)
    settings = settings.replace(source=source.name)
    with RecordBars(Console(stderr=True)) as bars:

        def on_progress(wanted: Range, records: int) -> None:
            total = None if wanted.end is None else wanted.end - wanted.start
            bars(f"{source.name}[{wanted.partition}]", records, total)

        if out == STANDARD_OUTPUT:
            asyncio.run(_to_standard_output(source, bundle, settings))
            return
        written = replay_to_file(
            Replay(source, bundle, settings, out=Path(out), processes=processes), on_progress
        )
    if as_json:
        sys.stdout.write(orjson.dumps({"out": out, "predictions": written}).decode() + "\n")
    else:
        Console(stderr=True).print(f"{written} predictions written to {out}")


async def _to_standard_output(log: Log, bundle: Path, settings: Settings) -> None:
    pin_numerics()
    model = load_bundle(bundle)

    def emit(predictions: Sequence[Message], _dead_letters: Sequence[Message]) -> None:
        sys.stdout.buffer.writelines((message.value or b"") + b"\n" for message in predictions)

    async with log:
        for wanted in await log.ranges():
            batches = log.batches(wanted)
            await replay_partition(model, settings, wanted.partition, wanted.start, batches, emit)
    sys.stdout.buffer.flush()
