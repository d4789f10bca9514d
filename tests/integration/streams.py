"""Helpers of the tests that run real workers: a log, its predictions, and the comparison."""

import asyncio
import contextlib
import io
import json
import time

from aiokafka import AIOKafkaProducer, TopicPartition
from click.testing import CliRunner
from pydantic import SecretStr

from stream_rnn.cli import main
from stream_rnn.cli.verbs.audit import command as audit
from stream_rnn.cli.verbs.replay import command as replay
from stream_rnn.fold.fold_id import fold_id_of, store_tag
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from tests import models, oracle


async def run(*arguments, status=0, within_s=60.0) -> str:
    """Run a verb in a thread of this process, which has torch already.

    Returns:
        What it printed; where it was to fail, what it said on standard error.
    """

    def call() -> tuple[int, str, str]:
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            try:
                main(list(arguments))
            except SystemExit as error:
                return int(error.code or 0), out.getvalue(), err.getvalue()
        raise AssertionError("main always exits")

    code, out, err = await asyncio.wait_for(asyncio.to_thread(call), within_s)
    assert code == status, f"status {code}\n{out}\n{err}"
    return out or err if status else out


class Stream:
    """One fold on real servers: topics, a bundle, and what should be there."""

    def __init__(
        self, app_id, bootstrap_servers, redis_url, directory, cell="gru", **settings
    ) -> None:
        self.bundle = directory / "bundle"
        if not self.bundle.exists():
            save_bundle(models.small(cell), self.bundle)
        self.model = load_bundle(self.bundle)
        self.directory = directory
        self.settings = Settings.build(
            app=app_id,
            source=f"{app_id}-in",
            predictions=f"{app_id}-out",
            bundle=str(self.bundle),
            bootstrap_servers=bootstrap_servers,
            redis_url=redis_url,
            **settings,
        )

    def options(self, **more) -> dict[str, str]:
        """Return the worker's command-line options."""
        given = {**self.settings.model_dump(exclude_unset=True), **more}
        secret = (name for name in given if isinstance(given[name], SecretStr))
        given |= {name: given[name].get_secret_value() for name in secret}
        return {name: str(value) for name, value in given.items()}

    async def produce(self, records, compression=None, transactional=False, abort_every=0) -> None:
        """Send (key, value) pairs, each to a partition by its key."""
        options = {"transactional_id": f"{self.settings.app}-source"} if transactional else {}
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.bootstrap_servers,
            compression_type=compression,
            linger_ms=5,
            enable_idempotence=True,
            **options,
        )
        await producer.start()
        try:
            if not transactional:
                for record in records:
                    await self._send(producer, *record)
                await producer.flush()
            for number, start in enumerate(range(0, len(records), 10) if transactional else ()):
                await producer.begin_transaction()
                for record in records[start : start + 10]:
                    await self._send(producer, *record)
                if abort_every and number % abort_every == 0:
                    await producer.abort_transaction()
                    await producer.begin_transaction()
                    for record in records[start : start + 10]:
                        await self._send(producer, *record)
                await producer.commit_transaction()
        finally:
            await producer.stop()

    async def _send(self, producer, key, value, timestamp=None) -> None:
        data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        partition = 0 if key is None else sum(key) % 2
        await producer.send(
            self.settings.source, data, key=key, partition=partition, timestamp_ms=timestamp
        )

    async def source(self, partition) -> list:
        """Return the committed records of a source partition."""
        async with self._facts() as facts:
            return await _all(facts, TopicPartition(self.settings.source, partition))

    async def outputs(self, topic, partition) -> list:
        """Return the committed records of an output partition."""
        async with self._facts() as facts:
            return await _all(facts, TopicPartition(topic, partition))

    async def until_published(self, stalled_s=45.0, worker=None) -> None:
        """Wait until the group offset of every partition has reached what is its last record now.

        Args:
            stalled_s: it may take as long as it likes, but not as long without any progress.
            worker: must live.
        """
        async with self._facts() as facts:
            waits = (self._until_published(facts, p, stalled_s, worker) for p in range(2))
            await asyncio.gather(*waits)

    async def _until_published(self, facts, partition, stalled_s, worker) -> None:
        log = KafkaLog(facts, self.settings, partition)
        tp = TopicPartition(self.settings.source, partition)
        last = max((record.offset for record in await _all(facts, tp)), default=-1)
        reached, since = None, time.monotonic()
        while last >= 0:
            offset = await log.group_offset()
            if offset is not None and offset.offset > last:
                return
            if offset != reached:
                reached, since = offset, time.monotonic()
            for_s = time.monotonic() - since
            if for_s > stalled_s or (worker is not None and not worker.is_alive):
                status = f", its worker ended with {worker.exit_status}" if worker else ""
                raise AssertionError(
                    f"partition {partition}: C={offset} below {last + 1}, no progress for "
                    f"{for_s:.0f} s{status}{self.told()}"
                )
            await asyncio.sleep(0.05)

    def told(self) -> str:
        """Return the end of each worker's log, for the text of a failure."""
        logs = sorted(self.directory.glob("*.log"), key=lambda log: log.stat().st_mtime)
        return "".join(
            f"\n--- {log.name}\n{log.read_text('utf-8', 'replace')[-3000:]}" for log in logs
        )

    async def compare(self, *, exactly_once=True, cell_states=True) -> int:
        """Compare predictions, dead letters, states, P and C with the oracle; return how many."""
        counts = (self._compare(p, exactly_once, cell_states) for p in range(2))
        return sum(await asyncio.gather(*counts))

    async def _compare(self, partition, exactly_once, cell_states) -> int:
        records, published, dead = await asyncio.gather(
            self.source(partition),
            self.outputs(self.settings.predictions, partition),
            self.outputs(self.settings.dead_letters_topic, partition),
        )
        truth = oracle.fold(self.model, self.settings, records, self.settings.source, partition)
        values, content = {}, model_decoder(self.model).content
        for record in published:
            offset = content(record.value)["source"]["offset"]
            assert values.setdefault(offset, record.value) == record.value
        if exactly_once:
            offsets = [content(r.value)["source"]["offset"] for r in published]
            assert offsets == sorted(set(offsets))
        assert {o: content(v) for o, v in values.items()} == truth.predictions
        reasons = [
            (int(dict(d.headers)["sr-offset"]), dict(d.headers)["sr-error"].decode()) for d in dead
        ]
        assert dict(reasons) == truth.dead_letters
        assert not exactly_once or len(reasons) == len(truth.dead_letters)
        if cell_states:
            await self._compare_states(partition, truth)
        return len(values)

    async def audit(self, *more, status=0, **changed) -> dict:
        """Audit by command line; return what it says."""
        names = ("app", "source", "predictions", "bundle", "bootstrap_servers", "state_ttl")
        names += ("delivery", "predictions_format", "predictions_schema_id")
        given = {name: getattr(self.settings, name) for name in names}
        given |= {"dead_letters": self.settings.dead_letters_topic} | changed
        options = [f"--{k.replace('_', '-')}={v}" for k, v in given.items() if v is not None]
        call = asyncio.to_thread(
            CliRunner().invoke, audit, [*options, "--json", *more], standalone_mode=False
        )
        result = await call
        assert result.exception is None, result.output
        assert result.return_value == status, result.output
        return json.loads(result.stdout)

    async def replay(self) -> list[bytes]:
        """Replay the source topic by command line; return the lines."""
        out = self.directory / "replayed.jsonl"
        options = {
            "topic": self.settings.source,
            "bundle": self.bundle,
            "bootstrap-servers": self.settings.bootstrap_servers,
            "out": out,
            "processes": 1,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        result = await asyncio.to_thread(CliRunner().invoke, replay, words, standalone_mode=False)
        assert result.exception is None, result.output
        return out.read_bytes().splitlines()

    async def _compare_states(self, partition, truth) -> None:
        redis = connect_redis(self.settings.redis_url.get_secret_value(), 5)
        store = self.store(redis, partition)
        held = await store.read()
        raw = await redis.hgetall(store.hidden_key)
        states = {key: oracle.stored(value) for key, value in raw.items()}
        assert states == truth.states
        assert held.keys == held.fields == len(states)
        async with self._facts() as facts:
            c = await KafkaLog(facts, self.settings, partition).group_offset()
            assert c is None or (held.position == c.offset and c.fold_id == self.fold_id)
        await redis.aclose()

    @property
    def fold_id(self) -> str:
        """What names the fold."""
        return fold_id_of(self.model, self.settings)

    def store(self, redis, partition) -> RedisStore:
        """Return the store of a partition."""
        tag = store_tag(self.settings.app, self.settings.source, partition, self.fold_id)
        return RedisStore(redis, tag, 5)

    def _facts(self) -> KafkaCluster:
        return KafkaCluster({"bootstrap_servers": self.settings.bootstrap_servers}, self.settings)


async def _all(facts, tp) -> list:
    end = await facts.log_end(tp)
    return [r async for batch in facts.batches(tp, await facts.log_start(tp), end) for r in batch]


def change_records(count: int, seed: int) -> list:
    """Make records of an enveloped topic: changes, deletions, other tables, bad ones."""
    import random

    draw = random.Random(seed)
    found = []
    for number in range(count):
        key = draw.choice([b"a", b"b", b"c", b"d", "ключ".encode()])
        op, table = draw.choice("cuuuuud"), draw.choice(["orders", "orders", 7, "customers"])
        amount = draw.choice(["1.50", " -0.25 ", 2, "", None, "7e-1"])
        after = {"amount": amount, "paid": draw.choice([0, 1, "true", False]), "order.kind": "A"}
        time_us = draw.choice([str, int])(1_700_000_000_000_000 + number * 1_000_001)
        content = {"op": op, "after": None if op == "d" else after, "ts_us": time_us}
        kind = draw.random()
        if kind < 0.85:
            found.append((key, {"payload": {**content, "source": {"table": table}}}))
        elif kind < 0.9:
            found.append((draw.choice([key, None]), {"beat": number}))
        elif kind < 0.92:
            found.append((key, None))
        else:
            bad = [b"not json", b"\0\0\0\0\7avro", b"[1]", {"payload": {**content, "after": None}},
                   {"payload": {**content, "after": {"amount": "1,5"}}}]  # fmt: skip
            value = draw.choice(bad)
            if isinstance(value, dict):
                value["payload"] |= {"op": "u", "source": {"table": "orders"}}
            found.append((draw.choice([key, key, None]), value))
    return found


def mixed_records(count: int, seed: int) -> list:
    """Make records of a few keys: good ones, bad ones and forgets."""
    import random

    draw = random.Random(seed)
    keys = [b"a", b"b", b"c", b"d", b"\xff\xfe", "ключ".encode()]
    found = []
    for _ in range(count):
        key = draw.choice(keys)
        good = {"x": draw.uniform(-2, 2), "kind": draw.choice("ABC"), "unknown": [1, {"deep": 2}]}
        kind = draw.random()
        if kind < 0.85:
            found.append((key, good))
        elif kind < 0.9:
            found.append((key, None))
        else:
            bad = [b"not json", b"\xff\xfe", b'{"x": NaN}', {"x": 1e39}, {"x": "one"}, b"[1]", b"null",
                   b'{"x":' + b"[" * 5000, b""]  # fmt: skip
            found.append((draw.choice([key, key, None]), draw.choice(bad)))
    return found
