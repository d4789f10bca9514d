"""Data of the dashboard: positions from Kafka and Redis, worker metrics, sampled predictions."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
import orjson
from aiokafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.errors import ConfigError, DecodeError, StreamRNNError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.formats.open_schemas import open_registry
from stream_rnn.formats.schemas import Schemas
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.operate.dashboard_rollout import RolloutData
from stream_rnn.operate.key_states import find_states
from stream_rnn.operate.near_keys import find_near_keys
from stream_rnn.operate.open_fold import Fold
from stream_rnn.operate.prediction_sample import Sampler
from stream_rnn.predictions.schema import Prediction
from stream_rnn.worker.health import PORTS_TRIED

logger = logging.getLogger(__name__)

DEFAULT_PORTS = range(9464, 9464 + PORTS_TRIED + 1)
WORKER_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 5_000_000
SEARCHED_RECORDS_MAX = 20_000
KEY_PREDICTIONS_MAX = 12
SUMMED_COUNTERS = (
    "events",
    "predictions",
    "silent_events",
    "skips",
    "forgets",
    "filtered",
    "repositions",
    "rebuilds",
    "lost_history",
)

Json = dict[str, Any]


class WorkerPoller:
    """Reads readiness and metrics from the health servers of workers.

    Args:
        app: App of the workers; workers of other apps are left out.
        addresses: Addresses of the health servers; empty for the default ports of this machine.
    """

    def __init__(self, app: str, addresses: Sequence[str]) -> None:
        self._app = app
        self._addresses = [*addresses] or [f"http://127.0.0.1:{port}" for port in DEFAULT_PORTS]
        self._has_addresses = bool(addresses)

    async def poll(self) -> list[Json]:
        """Return the status of each worker.

        If a given address does not answer, its status is not live; a default port that does not
        answer is left out.
        """
        timeout = aiohttp.ClientTimeout(total=WORKER_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            calls = (self._poll_worker(session, address) for address in self._addresses)
            return [status for status in await asyncio.gather(*calls) if status is not None]

    async def _poll_worker(self, session: aiohttp.ClientSession, address: str) -> Json | None:
        not_live = {"address": address, "live": False} if self._has_addresses else None
        try:
            ready = orjson.loads(await _body(session, f"{address}/ready"))
            text = (await _body(session, f"{address}/metrics")).decode()
            families = {f.name: f for f in text_string_to_metric_families(text)}
            about = dict(families["stream_rnn_fold_info"].samples[0].labels)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, IndexError):
            return not_live
        if about.get("app") != self._app:
            return None
        return {
            "address": address,
            "live": True,
            "ready": ready.get("ready") is True,
            "reasons": [str(reason) for reason in ready.get("reasons", [])][:8],
            "about": about,
            "partitions": _values_by_label(families, "stream_rnn_position", "partition"),
            "silent": _values_by_label(families, "stream_rnn_silent", "partition"),
            "rss_bytes": _sum(families, "process_resident_memory_bytes"),
            "counters": {name: _sum(families, f"stream_rnn_{name}") for name in SUMMED_COUNTERS},
            "skips": _values_by_label(families, "stream_rnn_skips", "reason"),
        }


async def _body(session: aiohttp.ClientSession, url: str) -> bytes:
    """Return the whole body of an answer.

    Raises:
        ValueError: It is longer than ``ANSWER_BYTES_MAX``.
    """
    body = bytearray()
    async with session.get(url) as answer:
        async for chunk in answer.content.iter_chunked(65_536):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError(f"the answer of {url} is longer than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _sum(families: dict[str, Any], name: str) -> float:
    samples = families[name].samples if name in families else []
    values = [s.value for s in samples if not s.name.endswith("_created")]
    return float(sum(v for v in values if math.isfinite(v)))


def _values_by_label(families: dict[str, Any], name: str, label: str) -> dict[str, float]:
    samples = families[name].samples if name in families else []
    return {
        s.labels[label]: s.value
        for s in samples
        if label in s.labels and not s.name.endswith("_created")
    }


def _event_order(prediction: Prediction) -> tuple[int, int]:
    return prediction.event_time_ms, prediction.source.offset


class DashboardData:
    """The data that the page requests.

    Args:
        fold: An open fold.
        addresses: Health addresses of the workers; empty for the default ports of this machine.
        wall: Clock that returns seconds since 1970.
    """

    def __init__(self, fold: Fold, addresses: Sequence[str], wall: Callable[[], float]) -> None:
        self.fold = fold
        self._workers = WorkerPoller(fold.settings.app, addresses)
        self.sampler = Sampler(fold, wall)
        registry = open_registry(fold.settings)  # for the predictions of other bundles
        schemas = None if registry is None else Schemas(registry)
        self._decoder = model_decoder(fold.model, schemas)
        self._rollout = RolloutData(fold)

    async def now(self) -> Json:
        """Return positions, workers, latency, the distribution of outputs, and the roll-out."""
        partitions, workers = await asyncio.gather(self._partitions(), self._workers.poll())
        rollout = await self._rollout.now()
        owners = {p: worker["address"] for worker in workers for p in worker.get("partitions", {})}
        silent = {p for w in workers for p, is_silent in w.get("silent", {}).items() if is_silent}
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
            "rollout": rollout,
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
        stored = await gather_or_cancel(place.store.read() for place in fold.places)
        offsets = await gather_or_cancel(place.log.group_offset() for place in fold.places)
        ends = await fold.cluster.await_answer(fold.cluster.consumer.end_offsets(places), source)
        rows = []
        for tp, entry, group_offset in zip(places, stored, offsets, strict=True):
            position = entry.position
            rows.append(
                {
                    "partition": tp.partition,
                    "log_start": starts[tp],
                    "log_end": ends[tp],
                    "position": position,
                    "group_offset": None if group_offset is None else group_offset.offset,
                    "in_charge": None if group_offset is None else group_offset.fold_id,
                    "origin": entry.origin,
                    "keys": entry.fields,
                    "torn": entry.is_torn,
                    "lag": None if position is None else max(0, ends[tp] - position),
                    "stream_time_ms": entry.stream_time_ms,
                }
            )
        return rows

    async def key(self, text: str) -> Json:
        """Return the hidden states of a key and its last predictions, or similar stored keys.

        Raises:
            ConfigError: The text is empty or too long for a key.
        """
        key = parse_key(text)
        if not key or len(key) > self.fold.settings.key_bytes_max:
            raise ConfigError(f"a key has 1 to {self.fold.settings.key_bytes_max} bytes")
        states = await find_states(self.fold, key)
        near, _ = ([], "") if states else await find_near_keys(self.fold, key)
        partitions = [state.partition for state in states] or [
            place.partition for place in self.fold.places
        ]
        topic = self.fold.settings.predictions
        existing = range((await self.fold.cluster.topics(topic))[topic].partitions)
        lists = await gather_or_cancel(
            self._last_predictions(key, p) for p in partitions if p in existing
        )
        predictions = sorted((p for predictions in lists for p in predictions), key=_event_order)
        return {
            "key": describe_key(key),
            "states": [
                {
                    "partition": state.partition,
                    "steps": state.steps,
                    "last_ms": state.last_ms,
                    "hidden": state.hidden.tolist(),
                }
                for state in states
            ],
            "similar": [str(similar) for similar in near],
            "predictions": [
                prediction.model_dump(mode="json", by_alias=True)
                for prediction in predictions[-KEY_PREDICTIONS_MAX:]
            ],
        }

    async def _last_predictions(self, key: bytes, partition: int) -> list[Prediction]:
        cluster, tp = self.fold.cluster, TopicPartition(self.fold.settings.predictions, partition)
        end, predictions = await cluster.log_end(tp), deque[Prediction](maxlen=KEY_PREDICTIONS_MAX)
        start = max(await cluster.log_start(tp), end - SEARCHED_RECORDS_MAX)
        try:
            async with aclosing(cluster.batches(tp, start, end)) as batches:
                async for records in batches:
                    for record in records:
                        if record.key == key and record.value:
                            await self._decoder.prepare(record.value)
                            with suppress(DecodeError):  # another program wrote it
                                predictions.append(self._decoder.parse(record.value))
        except StreamRNNError as error:
            logger.warning("cannot read the predictions of a key: %s", error)
        return list(predictions)
