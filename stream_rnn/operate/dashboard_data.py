"""What the dashboard shows: positions from Kafka and Redis, counters from workers, a sample of predictions."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
from aiokafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.errors import ConfigError, DecodeError, StreamRNNError
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.operate import key_states as states
from stream_rnn.operate.open_fold import Fold
from stream_rnn.operate.prediction_sample import Sampler
from stream_rnn.predictions.schema import Prediction
from stream_rnn.worker.health import PORTS_TRIED

logger = logging.getLogger(__name__)

DEFAULT_PORTS = range(9464, 9464 + PORTS_TRIED + 1)
WORKER_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 5_000_000
LOOK_BACK = 20_000
PREDICTIONS_OF_A_KEY = 12
SUMMED = (
    "events",
    "predictions",
    "silent_events",
    "skips",
    "forgets",
    "repositions",
    "rebuilds",
    "lost_history",
)

Json = dict[str, Any]


class Workers:
    """Asks workers how they are.

    Args:
        app: whose workers.
        addresses: of their health servers; none: this machine's usual ports.
    """

    def __init__(self, app: str, addresses: Sequence[str]) -> None:
        self._app = app
        self._addresses = [*addresses] or [f"http://127.0.0.1:{port}" for port in DEFAULT_PORTS]
        self._said = bool(addresses)

    async def ask(self) -> list[Json]:
        """Return what each worker says; one that was named and is silent stands as not live."""
        timeout = aiohttp.ClientTimeout(total=WORKER_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            found = await asyncio.gather(*(self._one(session, a) for a in self._addresses))
        return [one for one in found if one is not None]

    async def _one(self, session: aiohttp.ClientSession, address: str) -> Json | None:
        silent = {"address": address, "live": False} if self._said else None
        try:
            ready = orjson.loads(await _body(session, f"{address}/ready"))
            text = (await _body(session, f"{address}/metrics")).decode()
            families = {f.name: f for f in text_string_to_metric_families(text)}
            about = dict(families["stream_rnn_fold_info"].samples[0].labels)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, IndexError):
            return silent
        if about.get("app") != self._app:
            return None
        return {
            "address": address,
            "live": True,
            "ready": ready.get("ready") is True,
            "reasons": [str(reason) for reason in ready.get("reasons", [])][:8],
            "about": about,
            "partitions": _labelled(families, "stream_rnn_position", "partition"),
            "silent": _labelled(families, "stream_rnn_silent", "partition"),
            "rss_bytes": _sum(families, "process_resident_memory_bytes"),
            "counters": {name: _sum(families, f"stream_rnn_{name}") for name in SUMMED},
            "skips": _labelled(families, "stream_rnn_skips", "reason"),
        }


async def _body(session: aiohttp.ClientSession, url: str) -> bytes:
    """Read all of an answer, as often as it takes."""
    found = bytearray()
    async with session.get(url) as answer:
        async for chunk in answer.content.iter_chunked(65_536):
            found += chunk
            if len(found) > ANSWER_BYTES_MAX:
                raise ValueError(f"{url} says more than {ANSWER_BYTES_MAX} bytes")
    return bytes(found)


def _sum(families: dict[str, Any], name: str) -> float:
    samples = families[name].samples if name in families else []
    values = [s.value for s in samples if not s.name.endswith("_created")]
    return float(sum(v for v in values if math.isfinite(v)))


def _labelled(families: dict[str, Any], name: str, label: str) -> dict[str, float]:
    samples = families[name].samples if name in families else []
    return {
        s.labels[label]: s.value
        for s in samples
        if label in s.labels and not s.name.endswith("_created")
    }


def _time(prediction: Prediction) -> tuple[int, int]:
    return prediction.event_time_ms, prediction.source.offset


class DashboardData:
    """Everything that the page asks for.

    Args:
        fold: open.
        addresses: of workers; none: this machine's usual ports.
        wall: seconds since 1970.
    """

    def __init__(self, fold: Fold, addresses: Sequence[str], wall: Callable[[], float]) -> None:
        self.fold = fold
        self._workers = Workers(fold.settings.app, addresses)
        self.sampler = Sampler(fold, wall)

    async def now(self) -> Json:
        """Return positions, workers, latency and outputs."""
        partitions, workers = await asyncio.gather(self._partitions(), self._workers.ask())
        owners = {p: one["address"] for one in workers for p in one.get("partitions", {})}
        silent = {p for one in workers for p, value in one.get("silent", {}).items() if value}
        for row in partitions:
            row["owner"] = owners.get(str(row["partition"]))
            row["silent"] = str(row["partition"]) in silent
        settings, model = self.fold.settings, self.fold.model
        return {
            "at_s": time.monotonic(),
            "fold": {
                "app": settings.app,
                "source": settings.source,
                "predictions": settings.predictions,
                "model": model.name,
                "fingerprint": model.fingerprint[:16],
                "id": self.fold.identity,
            },
            "partitions": partitions,
            "workers": workers,
            "latency_ms": self.sampler.latency_ms(),
            "outputs": self.sampler.outputs(),
            "sample": self.sampler.sample(),
        }

    async def _partitions(self) -> list[Json]:
        fold, source = self.fold, self.fold.settings.source
        places = [TopicPartition(source, place.partition) for place in fold.places]
        starts = await fold.cluster.await_answer(
            fold.cluster.consumer.beginning_offsets(places), source
        )
        held = await asyncio.gather(*(place.store.read() for place in fold.places))
        offsets = await asyncio.gather(*(place.log.group_offset() for place in fold.places))
        ends = await fold.cluster.await_answer(fold.cluster.consumer.end_offsets(places), source)
        rows = []
        for tp, one, offset in zip(places, held, offsets, strict=True):
            position = one.position
            rows.append(
                {
                    "partition": tp.partition,
                    "log_start": starts[tp],
                    "log_end": ends[tp],
                    "position": position,
                    "group_offset": None if offset is None else offset.offset,
                    "origin": one.origin,
                    "keys": one.fields,
                    "torn": one.is_torn,
                    "lag": None if position is None else max(0, ends[tp] - position),
                    "stream_time_ms": one.stream_time_ms,
                }
            )
        return rows

    async def key(self, text: str) -> Json:
        """Return a key's states and its last predictions.

        Raises:
            ConfigError: it cannot be a key.
        """
        key = parse_key(text)
        if not key or len(key) > self.fold.settings.key_bytes_max:
            raise ConfigError("a key has 1 to key_bytes_max bytes")
        found = await states.find(self.fold, key)
        partitions = [one.partition for one in found] or [p.partition for p in self.fold.places]
        said = await asyncio.gather(*(self._said_of(key, p) for p in partitions))
        return {
            "key": describe_key(key),
            "states": [
                {
                    "partition": one.partition,
                    "steps": one.steps,
                    "last_ms": one.last_ms,
                    "hidden": one.hidden.tolist(),
                }
                for one in found
            ],
            "predictions": [
                one.model_dump(mode="json", by_alias=True)
                for one in sorted((p for some in said for p in some), key=_time)
            ][-PREDICTIONS_OF_A_KEY:],
        }

    async def _said_of(self, key: bytes, partition: int) -> list[Prediction]:
        facts, tp = self.fold.cluster, TopicPartition(self.fold.settings.predictions, partition)
        end, kept = await facts.log_end(tp), deque[Prediction](maxlen=PREDICTIONS_OF_A_KEY)
        start = max(await facts.log_start(tp), end - LOOK_BACK)
        try:
            async for records in facts.batches(tp, start, end):
                for record in records:
                    if record.key == key and record.value:
                        with suppress(DecodeError):  # somebody else wrote it
                            kept.append(Prediction.parse(record.value))
        except StreamRNNError as error:
            logger.warning("predictions of a key could not be read: %s", error)
        return list(kept)
