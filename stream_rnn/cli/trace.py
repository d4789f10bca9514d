"""``stream-rnn trace``: each step of the network over the events of one key."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.text import Text

from stream_rnn.cli.shared.log_options import split_words
from stream_rnn.cli.shared.printing import format_skipped, print_json, print_text
from stream_rnn.cli.tail import describe_output, describe_surprise
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.keys import describe_key, shorten
from stream_rnn.notebook.trace import trace
from stream_rnn.predictions.schema import NumberOutput, Prediction
from stream_rnn.settings import Settings
from stream_rnn.text import format_duration, format_time
from stream_rnn.trace.gates import gates_named
from stream_rnn.trace.unroll import (
    Floats,
    Unrolled,
    flattened,
    most_varying,
    units_shape,
)

PIPE_WIDTH = 140
UNITS_MAX = 32
BARS = "▁▂▃▄▅▆▇█"
TITLES = ("offset", "event time, UTC", "steps", "since")


def run(words: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Show each step of the network over the events of one key."""
    log, key = split_words(words, options["topic"], "KEY")
    tune_garbage_collector()
    result = trace(log, key, **options)
    if as_json:
        print_json(_as_json(result.unrolled, result.settings))
    else:
        _print(result.unrolled, result.settings, options["until"])


# --- as JSON -----------------------------------------------------------------------------------------


def _as_json(unrolled: Unrolled, settings: Settings) -> dict[str, Any]:
    """Return each prediction as published, with the input, gates and memory of its step."""
    model, since_ms = unrolled.model, unrolled.since_ms.tolist()
    steps = [
        {
            "prediction": orjson.loads(value),
            "since_previous_ms": None if np.isnan(since_ms[t]) else since_ms[t],
            "x": unrolled.x[t],
            "gates": {name: gate[t] for name, gate in unrolled.gates.items()},
            "memory": {name: part[t].copy() for name, part in unrolled.memory.items()},
            "update_norm": float(unrolled.update_norm[t]),
        }
        for t, value in enumerate(unrolled.predictions(settings))
    ]
    return {
        "key": describe_key(unrolled.key),
        "source": unrolled.source,
        "partition": unrolled.partition,
        "start": unrolled.start,
        "model": model.name,
        "fingerprint": model.fingerprint[:16],
        "cell": model.cell.model_dump(),
        "columns": unrolled.columns,
        "records": unrolled.records,
        "events": unrolled.events,
        "skipped": unrolled.skipped,
        "steps": steps,
        "between": [
            {"offset": note.offset, "kind": note.kind, "text": note.text}
            for note in unrolled.between
        ],
    }


# --- as a table --------------------------------------------------------------------------------------


def _print(unrolled: Unrolled, settings: Settings, until: int | None) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    units = _units_to_draw(unrolled, console.width)
    for text in _header(unrolled, until, units.shape[1]):
        print_text(console, text, " " * 13)
    console.print()
    for line in _rows(unrolled, settings, units, console.width):
        console.print(line, soft_wrap=True)


def _header(unrolled: Unrolled, until: int | None, drawn: int) -> list[str]:
    model, shown = unrolled.model, len(unrolled.offsets)
    up_to = "" if until is None else f", up to offset {until:,}"
    place = f"{unrolled.source}, partition {unrolled.partition}"
    lines = [
        f"key          {shorten(describe_key(unrolled.key))}",
        f"log          {place}, folded from offset {unrolled.start:,} on{up_to}",
        f"model        {model.name} {model.fingerprint[:16]}",
        f"cell         {model.cell.description}",
        f"steps        {unrolled.events:,}" + (f", the last {shown:,} below" if shown else ""),
    ]
    if unrolled.skipped:
        counts = format_skipped(unrolled.skipped).removeprefix("skipped ")
        lines.append(f"skipped      {counts}, of {unrolled.records:,} records of the key")
    if gates := gates_named(model):
        names = ", ".join(f"{letter} {name}" for letter, name in gates.items())
        lines.append(f"gates        {names}: means over all units")
    if unrolled.memory:
        units = math.prod(units_shape(model))
        which = (
            f"all {units} units"
            if drawn == units
            else f"the {drawn} of {units} units that vary most"
        )
        lines.append(f"h            {which}, each as a bar: low at -1, high at 1")
        lines.append("update_norm  Euclidean norm of the change of the memory by the step")
    return lines


def _units_to_draw(unrolled: Unrolled, width: int) -> Floats:
    """Return the units to draw, (T, R): as many as fit, in the order of their variance."""
    h = unrolled.memory.get("h")
    if h is None:
        return np.zeros((len(unrolled.offsets), 0), np.float32)
    flat = flattened(h)
    taken = 52 + 6 * len(unrolled.gates) + 16 * len(unrolled.outputs)
    return flat[:, most_varying(flat, max(8, min(UNITS_MAX, width - taken)))]


def _rows(unrolled: Unrolled, settings: Settings, units: Floats, width: int) -> Iterator[Text]:
    """Yield the lines of the table; a note between two steps has a line of its own.

    If the table is too wide, the outputs follow below each step, on lines of their own.  If it is
    still too wide, the gates are left out, and then the norm of the update.
    """
    between = list(unrolled.between)
    memory = ("h", "update_norm") if unrolled.memory else ()
    titles = [*TITLES, *unrolled.gates, *memory, *unrolled.outputs]
    cells = [[Text(title, "bold") for title in titles]]
    for t, value in enumerate(unrolled.predictions(settings)):
        cells.append(_step_cells(unrolled, t, Prediction.parse(value), units[t]))
    cells, below = _fit_to_width(cells, len(unrolled.gates), len(unrolled.outputs), width)
    widths = [max(row[i].cell_len for row in cells) for i in range(len(cells[0]))]
    yield _format_line(cells[0], widths)
    for t, row in enumerate(cells[1:]):
        while between and between[0].offset <= unrolled.offsets[t]:
            yield _format_note(between.pop(0).text)
        yield _format_line(row, widths)
        for title, cell in zip(below[0], below[t + 1], strict=True):
            yield Text.assemble("  ", title, "  ", cell)
    for note in between:
        yield _format_note(note.text)


def _fit_to_width(
    cells: list[list[Text]], gates: int, outputs: int, width: int
) -> tuple[list[list[Text]], list[list[Text]]]:
    """Return the rows that fit, and for each row the outputs that follow below it."""

    def fits(rows: list[list[Text]]) -> bool:
        widths = [max(row[i].cell_len for row in rows) for i in range(len(rows[0]))]
        return sum(widths) + 2 * len(widths) <= width

    if fits(cells):
        return cells, [[] for _ in cells]
    first = len(cells[0]) - outputs
    below, cells = [row[first:] for row in cells], [row[:first] for row in cells]
    if not fits(cells):
        cells = [[*row[: len(TITLES)], *row[len(TITLES) + gates :]] for row in cells]
    if not fits(cells):  # without the norm of the update
        cells = [row[: len(TITLES) + 1] for row in cells]
    return cells, below


def _format_line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    padded = [
        Text(" " * (width - cell.cell_len)) for cell, width in zip(cells, widths, strict=True)
    ]
    pairs = zip(cells, padded, strict=True)
    return Text("  ").join([Text.assemble(space, cell) for cell, space in pairs])


def _step_cells(unrolled: Unrolled, t: int, prediction: Prediction, units: Floats) -> list[Text]:
    since = unrolled.since_ms[t]
    cells = [
        f"{unrolled.offsets[t]:,}",
        format_time(unrolled.time_ms[t]),
        f"{unrolled.steps[t]:,}",
        "cold" if np.isnan(since) else format_duration(since / 1000),
        *(f"{gate[t].mean():.2f}" for gate in unrolled.gates.values()),
    ]
    row = [Text(cell) for cell in cells]
    if unrolled.memory:
        row += [_draw_bars(units.tolist()), Text(f"{unrolled.update_norm[t]:.3f}")]
    durations = {head.name for head in unrolled.model.spec.heads if head.kind == "time_to_next"}
    for name, output in prediction.outputs.items():
        if name in durations and isinstance(output, NumberOutput):
            row.append(Text(format_duration(output.value)))
        else:
            row.append(Text(describe_output(output)))
        row[-1].append(describe_surprise(prediction, name))
    return row


def _draw_bars(values: Sequence[float]) -> Text:
    """Draw each value in [-1, 1] as a bar: low and blue at -1, high and red at 1."""
    text = Text()
    for value in values:
        place = round((min(max(value, -1), 1) + 1) / 2 * (len(BARS) - 1))
        style = "blue" if value < -0.2 else "red" if value > 0.2 else "dim"
        text.append(BARS[place], style)
    return text


def _format_note(text: str) -> Text:
    return Text(f"  — {text}", "magenta")
