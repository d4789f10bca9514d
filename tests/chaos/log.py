"""Source logs that a random seed determines, and the producer that sends them."""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_rnn.model.features import FeatureSpec

FIRST_MS = 1_600_000_000_000
DISTRIBUTIONS = ("even", "heavy", "hot")
SPEC = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "chaos",
        "event": {"key": ["key"], "time": {"path": "t", "unit": "ms"}},
        "features": [
            {"name": "x", "kind": "numeric", "path": "x", "scaling": "none", "missing": "mean"},
            {"name": "since", "kind": "since_previous", "scaling": "log"},
            {
                "name": "kind",
                "kind": "categorical",
                "path": "kind",
                "vocabulary": ["A", "B"],
                "embedding": 2,
            },
        ],
        "heads": [
            {"name": "big", "kind": "binary", "of": "next", "path": "x", "above": 1.0},
            {"name": "wait", "kind": "time_to_next"},
        ],
    }
)
BAD = (
    b"not json", b"\xff\xfe", b'{"t": 1}garbage', b"[1]", b"null", b"",
    b'{"t":1600000000000,"x":NaN}', b'{"t":1600000000000,"x":1e39}', b'{"t":"soon"}', b"{}",
    b'{"t":1600000000000,"x":"one"}', b'{"t":1e300}', b'{"t":1600000000000,"x":' + b"[" * 3000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogPlan:
    """The plan of a source log.

    Attributes:
        seed: Random seed of the log.
        distribution: Distribution of the keys: ``even``, ``heavy`` (tailed), or ``hot``, in which
            one key has half of the events.
        partitions: Number of partitions of the source.
        is_transactional: Whether records are sent in transactions, some of which are aborted.
    """

    seed: int
    distribution: str
    partitions: int
    is_transactional: bool

    def records(self):
        """Yield an endless sequence of (partition, key, value, timestamp) from the seed."""
        draw = random.Random(self.seed)
        keys = [b"key-%d" % i for i in range(3000)] + [b"\xff\xfe", "ключ".encode(), b"k" * 200]
        draw.shuffle(keys)
        weights = {
            "even": [1.0] * len(keys),
            "heavy": [1 / (i + 1) for i in range(len(keys))],
            "hot": [float(len(keys))] + [1.0] * len(keys[1:]),
        }[self.distribution]
        cumulative = list(itertools.accumulate(weights))
        now_ms = FIRST_MS
        while True:
            for key in draw.choices(keys, cum_weights=cumulative, k=500):
                now_ms += draw.randrange(200)
                yield self._record(draw, key, now_ms)

    def _record(self, draw, key, now_ms):
        partition, kind = crc32(key) % self.partitions, draw.random()
        if kind < 0.9:
            event_ms = now_ms
        elif kind < 0.93:
            event_ms = now_ms - draw.randrange(7_200_000)  # late
        elif kind < 0.94:
            event_ms = now_ms + 10 * 86_400_000  # in the far future: skipped
        elif kind < 0.97:
            return partition, key, None, now_ms  # forget
        else:
            bad_key = key if draw.random() < 0.8 else None
            return partition, bad_key, draw.choice(BAD), now_ms
        x = "" if draw.random() < 0.05 else f',"x":{draw.uniform(-2, 2):.4f}'
        value = f'{{"t":{event_ms},"kind":"{draw.choice("ABC")}"{x},"more":[1,{{}}]}}'
        return partition, key, value.encode(), now_ms


class Sender:
    """Sends a log at a rate until ``stop``; brokers may die meanwhile.

    Args:
        plan: Plan of the log.
        topic: Source topic.
        bootstrap_servers: Addresses of Kafka.
        rate: Records sent per second.
        encode: Function that turns each value into what is sent.

    Attributes:
        rate: Records sent per second from the next chunk on.
        sent: Number of records sent so far, without aborted ones.
        aborted: Number of records in aborted transactions.
    """

    def __init__(
        self,
        plan: LogPlan,
        topic: str,
        bootstrap_servers: str,
        rate: float,
        encode: Callable[[bytes | None], bytes | None] = lambda value: value,
    ) -> None:
        self._plan, self._encode = plan, encode
        self._topic = topic
        self._servers = bootstrap_servers
        self.rate = rate
        self.sent = 0
        self.aborted = 0
        self._stopping = asyncio.Event()
        self._draw = random.Random(plan.seed + 1)

    def stop(self) -> None:
        """Stop after the current chunk."""
        self._stopping.set()

    async def run(self) -> None:
        """Send chunks of a quarter of a second each."""
        records = self._plan.records()
        loop = asyncio.get_running_loop()
        producer, due = await self._connect(), loop.time()
        while not self._stopping.is_set():
            chunk = list(itertools.islice(records, max(1, int(self.rate / 4))))
            try:
                async with asyncio.timeout(20):
                    await self._send(producer, chunk)
            except (KafkaError, TimeoutError, OSError, AssertionError):
                await _stop(producer)
                producer = await self._connect()  # the log shows whether the chunk was written
                due = loop.time()
            due += 0.25
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - loop.time())):
                    await self._stopping.wait()
        await _stop(producer)

    async def _send(self, producer, chunk) -> None:
        if not self._plan.is_transactional:
            await self._send_all(producer, chunk)
            self.sent += len(chunk)
            return
        if self._draw.random() < 0.15:
            await producer.begin_transaction()
            await self._send_all(producer, chunk)
            await producer.abort_transaction()
            self.aborted += len(chunk)
        await producer.begin_transaction()
        await self._send_all(producer, chunk)
        await producer.commit_transaction()
        self.sent += len(chunk)

    async def _send_all(self, producer, chunk) -> None:
        acknowledgements = [
            await producer.send(self._topic, self._encode(value), key, partition, timestamp)
            for partition, key, value, timestamp in chunk
        ]
        await asyncio.gather(*acknowledgements)

    async def _connect(self) -> AIOKafkaProducer:
        while True:
            options = (
                {"transactional_id": f"{self._topic}-sender", "transaction_timeout_ms": 10_000}
                if self._plan.is_transactional
                else {}
            )
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers, enable_idempotence=True, linger_ms=5, **options
            )
            try:
                async with asyncio.timeout(30):
                    await producer.start()
            except (KafkaError, TimeoutError, OSError):
                await _stop(producer)
                await asyncio.sleep(0.5)
            else:
                return producer


async def _stop(producer) -> None:
    try:
        async with asyncio.timeout(5):
            await producer.stop()
    except (
        KafkaError,
        TimeoutError,
        OSError,
        AssertionError,
        RuntimeError,
    ):  # the producer is discarded
        return
