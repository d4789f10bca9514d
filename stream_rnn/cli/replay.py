"""``stream-rnn replay``: fold a range of a log again."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import click
from aiokafka import TopicPartition
from rich.console import Console
from rich.progress import Progress

from stream_rnn.cli.options import CLUSTER, FOLD, settings_options
from stream_rnn.clients import kafka_options
from stream_rnn.errors import ConfigError
from stream_rnn.fold.events import LogRecord
from stream_rnn.fold.kafka_log import KafkaFacts
from stream_rnn.fold.publisher import Message
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.model import Model, pin_numerics
from stream_rnn.replay.files import read_records
from stream_rnn.replay.replay import in_batches, replay_partition
from stream_rnn.replay.topics import bound, partitions_of, read_batches
from stream_rnn.settings import Settings


@click.command("replay")
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--topic", help="replay a topic instead of a file")
@click.option("--from", "first", help="offset or ISO 8601 time; default: log start")
@click.option("--to", "last", help="offset or ISO 8601 time, not included; default: log end")
@click.option(
    "--partitions",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="a file is split into so many",
)
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="directory of the model"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON lines of predictions; - is standard output",
)
@settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")
def command(
    settings: Settings,
    log: Path | None,
    topic: str | None,
    first: str | None,
    last: str | None,
    partitions: int,
    bundle: Path,
    out: Path,
) -> None:
    """Fold a range of a log again, with hidden states in memory; nothing real is written.

    LOG is a .jsonl, .csv or .parquet file; with --topic it is a range of a topic.  Writes one
    prediction a line, byte for byte what a worker publishes for the same records and partitions.
    """
    if (log is None) == (topic is None):
        raise click.UsageError("give either a LOG file or --topic")
    pin_numerics()
    model = load_bundle(bundle)
    settings = settings.replace(source=topic or (log.stem if log else None) or "log")
    try:
        target = sys.stdout.buffer if str(out) == "-" else out.open("wb")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error}") from error
    with target, Progress(console=Console(stderr=True), transient=True) as bar:
        if topic is not None:
            asyncio.run(_replay_topic(model, settings, topic, first, last, target, bar))
        elif log is not None:
            asyncio.run(_replay_file(model, settings, log, partitions, target, bar))


async def _replay_topic(
    model: Model,
    settings: Settings,
    topic: str,
    first: str | None,
    last: str | None,
    target: BinaryIO,
    bar: Progress,
) -> None:
    connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    async with KafkaFacts(connection, settings) as facts:
        for partition in await partitions_of(facts, topic):
            tp = TopicPartition(topic, partition)
            start = await bound(facts, tp, first, is_end=False)
            end = await bound(facts, tp, last, is_end=True)
            writer = _Lines(target, bar, f"{topic}[{partition}]", max(end - start, 0))
            batches = read_batches(facts, tp, start, end)
            await replay_partition(model, settings, partition, start, batches, writer)


async def _replay_file(
    model: Model, settings: Settings, log: Path, partitions: int, target: BinaryIO, bar: Progress
) -> None:
    """Replay partition by partition, reading the file once for each: memory stays bounded."""
    for partition in range(partitions):
        chosen = _records_of(partition, log, model, partitions)
        writer = _Lines(target, bar, f"{log.name} partition {partition}", None)
        await replay_partition(model, settings, partition, 0, in_batches(chosen), writer)


def _records_of(partition: int, log: Path, model: Model, partitions: int) -> Iterator[LogRecord]:
    return (r for place, r in read_records(log, model.spec, partitions) if place == partition)


class _Lines:
    """Writes predictions as lines and moves a progress bar."""

    def __init__(self, target: BinaryIO, bar: Progress, what: str, total: int | None) -> None:
        self._target = target
        self._bar = bar
        self._task = bar.add_task(what, total=total)

    def __call__(self, predictions: Sequence[Message], dead_letters: Sequence[Message]) -> None:
        self._target.writelines((message.value or b"") + b"\n" for message in predictions)
        self._bar.advance(self._task, len(predictions) + len(dead_letters))
