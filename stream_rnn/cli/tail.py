"""``stream-rnn tail``: predictions as they come."""

import asyncio
import sys

import click
from rich.console import Console
from rich.table import Table

from stream_rnn.cli.shared.text import printable
from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.schema import Choice, Number, Output, Prediction, YesNo
from stream_rnn.settings import Settings

WIDTHS = {"partition": 9, "offset": 12, "key": 24, "steps": 8}
HEAD_WIDTH = 18


def run(
    topic: str, settings: Settings, from_beginning: bool, count_max: int | None, as_json: bool
) -> None:
    """Print the predictions of TOPIC as they come, each once, until Ctrl-C."""
    asyncio.run(_tail(topic, settings, from_beginning, count_max, as_json))


async def _tail(
    topic: str, settings: Settings, from_beginning: bool, count_max: int | None, as_json: bool
) -> None:
    reader = PredictionReader(
        topic,
        bootstrap_servers=settings.bootstrap_servers,
        kafka_config=settings.kafka_config,
        start="earliest" if from_beginning else "latest",
        on_bad="skip",
        timeout_s=settings.kafka_timeout_s,
    )
    printer = _JsonLines() if as_json else _Rows()
    try:
        async with reader:
            async for prediction in reader:
                printer.show(reader, prediction)
                if reader.counts.yielded == count_max:
                    break
    finally:
        if reader.counts.bad:
            click.echo(f"{reader.counts.bad} values were not predictions", err=True)


class _JsonLines:
    """Prints the published bytes."""

    def show(self, reader: PredictionReader, _prediction: Prediction) -> None:
        """Print one line."""
        assert reader.record is not None, "a prediction was yielded"
        sys.stdout.buffer.write(reader.record.value + b"\n")
        sys.stdout.buffer.flush()


class _Rows:
    """Prints rows of a table without a frame; the heads of the first prediction are its columns."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._heads: tuple[str, ...] = ()

    def show(self, _reader: PredictionReader, prediction: Prediction) -> None:
        """Print one row, and a title where the heads change."""
        if tuple(prediction.outputs) != self._heads:
            self._heads = tuple(prediction.outputs)
            self._row([*WIDTHS, *self._heads], style="bold")
        key = prediction.key if prediction.key is not None else f"base64:{prediction.key_base64}"
        source = prediction.source
        steps = f"{prediction.steps}{' cold' if prediction.cold else ''}"
        outputs = [describe_output(output) for output in prediction.outputs.values()]
        self._row([str(source.partition), str(source.offset), printable(key), steps, *outputs])

    def _row(self, cells: list[str], style: str = "") -> None:
        table = Table.grid(padding=(0, 1))
        widths = [*WIDTHS.values(), *[HEAD_WIDTH] * len(self._heads)]
        for width in widths:
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        table.add_row(*cells, style=style)
        self._console.print(table, width=sum(widths) + 2 * len(widths), markup=False)


def describe_output(output: Output) -> str:
    """Return an output in a few characters."""
    match output:
        case YesNo(probability=probability):
            return f"{probability:.3f}"
        case Number(value=value):
            return f"{value:.6g}"
        case Choice(label=label, probability=probability):
            return f"{printable(label)} {probability:.3f}"
