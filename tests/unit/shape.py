"""A small log in the shape in which others export or send it, and the answer that is right for it.

An answer names the key, the time and the heads that a spec must have, or the option that
``spec init`` must ask for.
"""

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

START = datetime(2024, 1, 2, 13, 45, tzinfo=UTC)
ROWS = 400


@dataclass(frozen=True, slots=True)
class Shape:
    """A log, and the spec that is right for it.

    Attributes:
        name: Name of the file.
        content: Bytes of the file.
        key: Key of the spec.
        time: Options of the event time, other than zone.
        heads: Kind and path of each head.
        file: Options of the file.
        event: Other options of the event.
        features: Kind of some features by path; ``None`` for a field that is left out.
        asks: Option that must be asked for; empty if the spec is sure.
        says: Texts that the spec or the question contains.
    """

    name: str
    content: bytes
    key: Any = ()
    time: Any = None
    heads: Any = ()
    file: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)
    features: dict[str, str | None] = field(default_factory=dict)
    asks: str = ""
    says: tuple[str, ...] = ()


def csv_of(rows, delimiter=",", encoding="utf-8", header=True):
    """Write rows as a delimited file."""
    lines = [delimiter.join(map(str, row.values())) for row in rows]
    if header:
        lines.insert(0, delimiter.join(rows[0]))
    return ("\n".join(lines) + "\n").encode(encoding)


def json_of(rows):
    """Write rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet_of(rows):
    """Write rows as Parquet."""
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


def epoch(number, step_s=60):
    """Return the time of a row in seconds since 1970."""
    return int(START.timestamp()) + number * step_s


def text(number, layout, step=timedelta(minutes=17)):
    """Return the time of a row as a text."""
    return (START + number * step).strftime(layout)


def irregular(draw, rows):
    """Return times with gaps that vary, in seconds since 1970."""
    at = int(START.timestamp())
    times = []
    for _ in range(rows):
        at += draw.randrange(1, 500)
        times.append(at)
    return times
