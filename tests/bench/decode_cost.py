"""``python -m tests.bench.speed decode``: the CPU of decoding, by the format of the values."""

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import click

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from tests.bench.encodings import encodings
from tests.bench.environment import machine, on_progress, write
from tests.bench.load import FIRST_MS, SPEC, Load, key_of, value_of

SIZES = (1_024, 4_096)


class _Shelf:
    """The source of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def fetch(self, _schema_id: str) -> Schema:
        """Return the schema."""
        return self._schema


@click.command("decode")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the result to OUT.json and OUT.md."
)
@click.option("--repeats", type=click.IntRange(3, 10_000), default=60, show_default=True, help="Number of micro-batches of each format.")  # fmt: skip
def decode_command(repeats: int, out: Path | None) -> None:
    """Measure the CPU of decoding a micro-batch of each format, beside JSON without a frame."""
    table = ["| records | format | µs per record | to JSON (median of the ratios) |", "|---|---|---|---|"]  # fmt: skip
    samples = {}
    for size in SIZES:
        spent = measure(size, repeats)
        for name, seconds in spent.items():
            ratios = [one / plain for one, plain in zip(seconds, spent["JSON"], strict=True)]
            cost = 1e6 * statistics.median(seconds) / size
            table.append(f"| {size:,} | {name} | {cost:.3f} | {statistics.median(ratios):.2f} |")
            samples[f"{size} {name}"] = seconds
            on_progress(table[-1])
    write({"machine": machine(), "repeats": repeats, "cpu_s": samples}, table, out)


def measure(size: int, repeats: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each micro-batch, by format; the formats take turns."""
    spec = FeatureSpec.model_validate(SPEC)
    settings = Settings.build(app="bench", source="load", predictions="out")
    plain = [value_of(number, Load()) for number in range(size)]
    work = {"JSON": (Decoder(spec, settings), records(plain))}
    for encoding in encodings().values():
        decoder = Decoder(spec, settings, schemas=Schemas(_Shelf(encoding.schema)))
        values = [encoding.encode(json.loads(value)) for value in plain]
        work[encoding.title] = decoder, records(values)
    expected = repr(work["JSON"][0].decode(work["JSON"][1]).columns)
    for decoder, batch in work.values():
        assert repr(decoder.decode(batch).columns) == expected
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, (decoder, batch) in work.items():
            began = time.thread_time()
            decoder.decode(batch)
            spent[name].append(time.thread_time() - began)
    return spent


def records(values: Sequence[bytes]) -> list[LogRecord]:
    """Return records with some values."""
    return [
        LogRecord(number, FIRST_MS + number, key_of(number), value)
        for number, value in enumerate(values)
    ]
