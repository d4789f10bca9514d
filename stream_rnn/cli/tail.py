"""``stream-rnn tail``: the predictions of a topic as they arrive."""

import asyncio
import sys

import click
import orjson
from rich.text import Text

from stream_rnn.cli.shared.printing import output_console, print_text
from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.schema import (
    BinaryOutput,
    ClassOutput,
    NumberOutput,
    Output,
    Prediction,
    QuantileOutput,
)
from stream_rnn.settings import Settings
from stream_rnn.text import visible

WIDTHS = {"partition": 9, "offset": 12, "key": 24, "steps": 8}
HEAD_WIDTH = 18
NUMBER_WIDTH = 12  # of -1.23457e-05


def run(
    topic: str, settings: Settings, from_beginning: bool, count_max: int | None, as_json: bool
) -> None:
    """Print the predictions of a topic as they arrive, until Ctrl-C."""
    asyncio.run(_tail(topic, settings, from_beginning, count_max, as_json))


async def _tail(
    topic: str, settings: Settings, from_beginning: bool, count_max: int | None, as_json: bool
) -> None:
    url = settings.schema_registry_url
    reader = PredictionReader(
        topic,
        bootstrap_servers=settings.explicit_servers,
        kafka_config=settings.kafka_config,
        start="earliest" if from_beginning else "latest",
        on_bad="skip",
        timeout_s=settings.kafka_timeout_s,
        schema_registry_url=url.get_secret_value() if url else None,
        schema_registry_config=settings.schema_registry_config,
        bundle=settings.bundle,
    )
    printer = _JsonPrinter() if as_json else _TablePrinter()
    try:
        async with reader:
            async for prediction in reader:
                printer.show(reader, prediction)
                if reader.counts.yielded == count_max:
                    break
    finally:
        if reader.counts.bad:
            click.echo(f"{reader.counts.bad} records were not predictions", err=True)


class _JsonPrinter:
    """Prints each prediction as its JSON: the published bytes, unless they are framed."""

    def show(self, reader: PredictionReader, prediction: Prediction) -> None:
        """Print one line."""
        assert reader.record is not None, "a prediction was yielded"
        line = reader.record.value
        if line[:1] == b"\0":
            content = prediction.model_dump(mode="json", by_alias=True, exclude_none=True)
            line = orjson.dumps(content)
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


class _TablePrinter:
    """Prints each prediction as a row of a table with one column for each head.

    A key that is too long for its column is cut.  If the terminal is too narrow for all heads, the
    heads follow below the row, each on a line with its name.
    """

    def __init__(self) -> None:
        self._console = output_console()
        self._heads: dict[str, int] = {}  # their widths

    @property
    def _is_wide(self) -> bool:
        widths = [*WIDTHS.values(), *self._heads.values()]
        return sum(widths) + len(widths) <= self._console.width

    def show(self, _reader: PredictionReader, prediction: Prediction) -> None:
        """Print one row, below new titles if its heads differ from those of the row before."""
        if prediction.outputs.keys() != {*self._heads}:  # formats differ in the order of heads
            self._heads = {head: _width(output) for head, output in prediction.outputs.items()}
            self._row([*WIDTHS, *(self._heads if self._is_wide else ())], style="bold")
        key = prediction.key if prediction.key is not None else f"base64:{prediction.key_base64}"
        source = prediction.source
        steps = f"{prediction.steps}{' cold' if prediction.cold else ''}"
        outputs = [
            f"{describe_output(prediction.outputs[head])}{describe_surprise(prediction, head)}"
            for head in self._heads
        ]
        cells = [str(source.partition), str(source.offset), visible(key), steps]
        self._row([*cells, *(outputs if self._is_wide else ())])
        if not self._is_wide:
            for head, text in zip(self._heads, outputs, strict=True):
                print_text(self._console, f"  {visible(head)}  {text}", "    ")

    def _row(self, cells: list[str], style: str = "") -> None:
        widths = [*WIDTHS.values(), *self._heads.values()]
        line = Text(style=style)
        for name, cell, width in zip([*WIDTHS, *self._heads], cells, widths, strict=False):
            text = Text(cell)
            if name == "key" or text.cell_len < width:  # a number is never cut
                text.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(text).append(" ")
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def describe_surprise(prediction: Prediction, head: str) -> str:
    """Return the surprise of a head behind a blank; empty for a head without."""
    if prediction.surprise is None or head not in prediction.surprise:
        return ""
    surprise = prediction.surprise[head]
    return " surprise -" if surprise is None else f" surprise {surprise:.3g}"


def _width(output: Output) -> int:
    """Return the width of the column of a head."""
    names = output.root if isinstance(output, QuantileOutput) else ()
    return max(HEAD_WIDTH, sum(len(name) + NUMBER_WIDTH + 2 for name in names) - 1)


def describe_output(output: Output) -> str:
    """Return an output in a few characters."""
    match output:
        case BinaryOutput(probability=probability):
            return f"{probability:.3f}"
        case QuantileOutput(root=quantiles):
            return " ".join(f"{name} {value:.6g}" for name, value in quantiles.items())
        case NumberOutput(value=value):
            return f"{value:.6g}"
        case ClassOutput(label=label, probability=probability):
            return f"{visible(label)} {probability:.3f}"
