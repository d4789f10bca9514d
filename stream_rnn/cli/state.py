"""``stream-rnn state``: what a fold holds, where it would start, and dropping it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self

import click
import orjson
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from stream_rnn.cli.options import FOLD, settings_options
from stream_rnn.clients import connect_redis, kafka_options
from stream_rnn.errors import ConfigError
from stream_rnn.fold.facts import Recovery
from stream_rnn.fold.identity import fold_id, store_tag
from stream_rnn.fold.kafka_log import KafkaFacts, KafkaLog
from stream_rnn.fold.recovery import Choices, Facts, Stop, known_group_offset, where_to_start
from stream_rnn.fold.redis_store import RedisStore, check_redis
from stream_rnn.model.bundle import load_bundle
from stream_rnn.replay.topics import partitions_of
from stream_rnn.settings import Settings

NEEDED = ("app", "source", "predictions", "bundle")
OPTIONS = (
    *NEEDED,
    "redis_url",
    "bootstrap_servers",
    "kafka_config",
    "auto_offset_reset",
    "on_lost_history",
    "allow_compacted",
    "lookback_records_max",
    "kafka_timeout_s",
    "redis_timeout_s",
    *FOLD,
)


@dataclass(frozen=True, slots=True)
class _Place:
    """One partition of the fold."""

    partition: int
    store: RedisStore
    log: KafkaLog


@click.group("state")
def command() -> None:
    """Look at a fold's state, and drop it."""


@command.command("show")
@settings_options(*OPTIONS, required=NEEDED)
@click.option("--json", "as_json", is_flag=True, help="one JSON object a partition")
def show(settings: Settings, as_json: bool) -> int:
    """Show, for each partition, what Redis and Kafka hold and where a worker would start.

    Changes nothing; workers may run.  P is the position in Redis, C the group offset, S and E are
    log start and log end.  Exit status 1: a worker would stop.
    """
    return asyncio.run(_show(settings, as_json=as_json))


@command.command("drop")
@settings_options(*OPTIONS, required=NEEDED)
@click.option("--partition", type=click.IntRange(0), help="only this one; default: all")
@click.option("--yes", is_flag=True, help="do not ask")
def drop(settings: Settings, partition: int | None, yes: bool) -> None:
    """Drop the position and the hidden states of a fold in Redis.  Stop its workers first.

    The next start builds the states again from the log, silently below the group offset: exact
    while the log reaches back to the origin.  Predictions and group offsets are not touched.
    """
    if not yes:
        click.confirm(
            f"drop the states of app {settings.app} on {settings.source}, whose workers are stopped?",
            abort=True,
        )
    asyncio.run(_drop(settings, partition))


async def _show(settings: Settings, *, as_json: bool) -> int:
    identity = fold_id(load_bundle(settings.bundle or "").fingerprint, settings)
    rows = await look(settings)
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
    else:
        _print(settings, identity, rows)
    return 1 if any(row["stop"] for row in rows) else 0


async def look(settings: Settings) -> list[dict[str, Any]]:
    """Return, for each partition, what Redis and Kafka hold and where a worker would start."""
    choices = Choices(
        settings.auto_offset_reset, settings.on_lost_history, settings.allow_compacted
    )
    rows = []
    identity = fold_id(load_bundle(settings.bundle or "").fingerprint, settings)
    async with _Fold(settings, identity) as fold:
        for place in fold.places:
            name = f"{settings.source}[{place.partition}]"
            recovery = Recovery(
                name, identity, place.store, place.log, choices, 0.0, time.monotonic
            )
            facts = await recovery.read()
            rows.append(_row(place.partition, facts, choices))
    return rows


def _row(partition: int, facts: Facts, choices: Choices) -> dict[str, Any]:
    decision, c = where_to_start(facts, choices), known_group_offset(facts)
    held, stop = facts.held, isinstance(decision, Stop)
    return {
        "partition": partition,
        "position": held.position,
        "origin": held.origin,
        "group_offset": c.offset if c else None,
        "log_start": facts.log_start,
        "log_end": facts.log_end,
        "lag": facts.log_end - (held.position if held.position is not None else facts.log_start),
        "anchor": None if held.anchor is None else held.anchor.offset,
        "keys": held.fields,
        "fold": facts.fold_id,
        "group_offset_fold": c.fold_id if c else None,
        "last_output_fold": facts.last_prediction.fold_id if facts.last_prediction else None,
        "torn": held.is_torn,
        "stream_time_ms": held.stream_time_ms,
        "numerics": held.numerics,
        "lost": held.lost,
        "row": decision.row,
        "start": None if isinstance(decision, Stop) else decision.position,
        "silent_below": None if isinstance(decision, Stop) else decision.silent_below,
        "stop": decision.message if isinstance(decision, Stop) and stop else None,
    }


def _print(settings: Settings, identity: str, rows: list[dict[str, Any]]) -> None:
    console = Console()
    console.print(f"app {settings.app}  source {settings.source}  fold {identity}")
    table = Table("partition", "S", "origin", "P", "C", "E", "lag", "keys", "row", "would start")
    for row in rows:
        values = [
            row[n]
            for n in (
                "partition",
                "log_start",
                "origin",
                "position",
                "group_offset",
                "log_end",
                "lag",
                "keys",
                "row",
            )
        ]
        start = "STOP" if row["stop"] else f"at {row['start']}, silent < {row['silent_below']}"
        table.add_row(*("-" if v is None else str(v) for v in values), start)
    console.print(table)
    for row in rows:
        console.print(
            f"partition {row['partition']}: anchor {row['anchor']}, fold of C "
            f"{row['group_offset_fold']}, of the last output {row['last_output_fold']}"
        )
        for name in ("stop", "lost"):
            if row[name]:
                console.print(f"partition {row['partition']}: {name}: {row[name]}")


async def _drop(settings: Settings, partition: int | None) -> None:
    identity = fold_id(load_bundle(settings.bundle or "").fingerprint, settings)
    async with _Fold(settings, identity) as fold:
        chosen = [p for p in fold.places if partition in (None, p.partition)]
        if not chosen:
            raise ConfigError(f"{settings.source} has no partition {partition}")
        for place in chosen:
            states = await place.store.drop()
            print(f"dropped {states} hidden states of {settings.source}[{place.partition}]")


class _Fold:
    """The stores and logs of all partitions of a fold; an async context manager."""

    def __init__(self, settings: Settings, identity: str) -> None:
        self._settings = settings
        self._identity = identity
        self._redis: Redis | None = None
        self._facts: KafkaFacts | None = None
        self.places: list[_Place] = []

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
        await check_redis(self._redis, settings)
        connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
        self._facts = await KafkaFacts(connection, settings).__aenter__()
        for partition in await partitions_of(self._facts, settings.source or ""):
            tag = store_tag(settings.app or "", settings.source or "", partition, self._identity)
            store = RedisStore(self._redis, tag, settings.redis_timeout_s)
            self.places.append(_Place(partition, store, KafkaLog(self._facts, settings, partition)))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._facts is not None:
            await self._facts.__aexit__()
        if self._redis is not None:
            await self._redis.aclose()
