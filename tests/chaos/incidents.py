"""``python -m tests.chaos.incidents``: three incidents, each with its alert, remedy and time.

A worker, a sender and a real Prometheus with the rules of deploy/ run on this machine; the rules'
waiting times are divided by ``HASTE``, nothing else of them is changed.  Each incident is made, its
alert is awaited, and it is ended by what deploy/README.md says under the alert's name.  Printed is
when the alert came, when it went, and that the audit misses nothing.
"""

import asyncio
import json
import re
import shutil
import tempfile
import time
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import click
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_rnn.errors import ConfigError
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import ServerProcess, free_port
from stream_rnn.local.redis import LocalRedis
from stream_rnn.local.workers import WorkerProcess
from stream_rnn.store.connection import connect_redis
from tests.bench.load import Load, bundle_of, create, fill, key_of, value_of
from tests.integration.streams import run

HASTE = 120
RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yml"
HISTORY = 3_000_000
RATE, BAD_SHARE, TICK_S, BLOCK_S = 2_000, 0.3, 0.05, 0.3
WITHIN_S = 400
SOURCE, OUTPUT, APP = "flights", "delays", "departures"


def hurried(rules: str) -> str:
    """Divide the waiting times of rules."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def divide(found) -> str:
        return f"for: {max(1, int(found[1]) * seconds[found[2]] // HASTE)}s"

    def shorten(found) -> str:
        return f"{found[1]}{max(5, int(found[2]) * seconds[found[3]] // HASTE)}s"

    rules = re.sub(r"for: (\d+)([smh])", divide, rules)
    return re.sub(r"(\[|offset )(\d+)([smhd])", shorten, rules)


class Rehearsal:
    """One machine with everything on it."""

    def __init__(self, directory, kafka, redis) -> None:
        self.directory = directory
        self.kafka, self.redis = kafka, redis
        self.bundle = bundle_of(directory)
        self._health = free_port()
        self._prometheus_port = free_port()
        self.load = Load(HISTORY, keys=10_000)
        self._sent = HISTORY
        self.bad_share = 0.0
        self.old_s = 0.0
        self._workers = 0

    def place(self) -> dict[str, str]:
        """Return the settings of a worker."""
        return {
            "app": APP,
            "source": SOURCE,
            "predictions": OUTPUT,
            "bundle": str(self.bundle),
            "bootstrap_servers": self.kafka.bootstrap_servers,
            "redis_url": self.redis.redis_url,
        }

    async def verb(self, *words, without=(), status=0) -> str:
        """Run a verb with the worker's settings."""
        given = {k: v for k, v in self.place().items() if k not in without}
        return await run(*words, *(f"--{k.replace('_', '-')}={v}" for k, v in given.items()), status=status, within_s=WITHIN_S)  # fmt: skip

    def start_worker(self, *, is_slow=False) -> WorkerProcess:
        """Start one that is scraped; a slow one stands still after each step."""
        self._workers += 1
        slow = ",".join(f"stepped {number} block={BLOCK_S}" for number in range(1, 1000))
        options = {**self.place(), "health_address": f"127.0.0.1:{self._health}", "facts_interval_s": "1"}  # fmt: skip
        environment = {"STREAM_RNN_FAULT_AT": slow} if is_slow else {}
        return WorkerProcess(f"worker-{self._workers}", options, self.directory, environment)

    def prometheus(self) -> ServerProcess:
        """Return a Prometheus that scrapes the worker each second."""
        program = shutil.which("prometheus")
        if program is None:
            raise ConfigError("no prometheus on the PATH: it is in Debian's package prometheus")
        at = self.directory
        (at / "rules.yml").write_text(hurried(RULES.read_text(encoding="utf-8")))
        (at / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
            "scrape_configs:\n- job_name: departures\n  static_configs:\n"
            f"  - targets: ['127.0.0.1:{self._health}']\n"
        )
        command = [
            program,
            f"--config.file={at}/prometheus.yml",
            f"--storage.tsdb.path={at}/tsdb",
            f"--web.listen-address=127.0.0.1:{self._prometheus_port}",
        ]
        server = ServerProcess("Prometheus", command, at / "prometheus.log", 5)
        server.start(lambda: self._asked("-/ready") is not None, 30)
        return server

    def _asked(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._prometheus_port}/{path}", timeout=5) as said:  # fmt: skip
                return said.read()
        except OSError:
            return None

    def firing(self) -> set[str]:
        """Return the alerts that fire."""
        found = json.loads(self._asked("api/v1/alerts") or b'{"data":{"alerts":[]}}')
        return {a["labels"]["alertname"] for a in found["data"]["alerts"] if a["state"] == "firing"}

    async def until(self, is_so, what) -> float:
        """Wait for something; return after how many seconds it came."""
        began = time.monotonic()
        while not await is_so():
            if time.monotonic() - began > WITHIN_S:
                raise TimeoutError(f"{what}: not within {WITHIN_S} s")
            await asyncio.sleep(0.5)
        return time.monotonic() - began

    async def fires(self, alert) -> float:
        """Wait for an alert."""

        async def is_so() -> bool:
            return alert in await asyncio.to_thread(self.firing)

        return await self.until(is_so, alert)

    async def is_over(self, alert) -> float:
        """Wait until an alert has gone."""

        async def is_so() -> bool:
            return alert not in await asyncio.to_thread(self.firing)

        return await self.until(is_so, f"the end of {alert}")

    async def lag(self) -> int:
        """Return how many records are not folded."""
        said = await self.verb("state", "show", "--json")
        rows = [json.loads(line) for line in said.splitlines()]
        return sum(HISTORY if row["position"] is None else row["lag"] for row in rows)

    async def caught_up(self) -> float:
        """Wait until the worker is at the end, or nearly."""

        async def is_so() -> bool:
            return await self.lag() < RATE * 5

        return await self.until(is_so, "the end of the log")

    async def send(self) -> None:
        """Send events, as old as they shall be, some of them bad, until cancelled."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap_servers) as producer:
            began, due = time.monotonic(), 0
            while True:
                due, before = int((time.monotonic() - began) * RATE), due
                for number in range(before, due):
                    bad = number % 100 < 100 * self.bad_share
                    value = b"poison" if bad else value_of(self._sent, self.load)
                    key = number % 10_000
                    at_ms = int(1000 * (time.time() - self.old_s))  # noqa: TID251  # a sender's clock
                    await producer.send(SOURCE, value, key=key_of(key), partition=key % 4, timestamp_ms=at_ms)  # fmt: skip
                    self._sent += 1
                await asyncio.sleep(TICK_S)

    async def retention(self, hours) -> None:
        """Do what ``kafka-configs --alter --add-config retention.ms=`` does, on source and outputs."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        for topic in (SOURCE, OUTPUT, f"{OUTPUT}.dead-letters"):
            configs = {"retention.ms": str(int(hours * 3_600_000))}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        await admin.close()

    async def audit(self) -> str:
        """Say what is missing, duplicated and different."""
        said = json.loads(await self.verb("audit", "--json", without=("redis_url",)))
        return ", ".join(f"{name} {said[name]}" for name in ("missing", "duplicated", "different"))


async def redis_lost_its_data(on: Rehearsal, worker) -> list[str]:
    """FLUSHALL; solved by the last export."""
    path = on.directory / "departures.states"
    await on.verb("state", "export", str(path))
    redis = connect_redis(on.redis.redis_url, 5)
    began = time.monotonic()
    await redis.execute_command("FLUSHALL")
    await redis.aclose()
    fired = await on.fires("StreamRNNRebuilding")
    await asyncio.to_thread(worker.stop)
    await on.verb("state", "import", "--replace", str(path))
    again = on.start_worker()
    over = await on.is_over("StreamRNNRebuilding")
    await on.caught_up()
    whole = time.monotonic() - began
    await asyncio.to_thread(again.stop)
    return ["StreamRNNRebuilding", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def retention_is_near(on: Rehearsal) -> list[str]:
    """Four hours of retention, and a worker that is three and a half behind; solved by raising it."""
    began = time.monotonic()
    on.old_s = 3.5 * 3600
    await on.retention(4)
    worker = on.start_worker(is_slow=True)
    fired = await on.fires("StreamRNNRetentionNear")
    await on.retention(24 * 30)
    on.old_s = 0.0
    over = await on.is_over("StreamRNNRetentionNear")
    whole = time.monotonic() - began
    await asyncio.to_thread(worker.stop)
    return ["StreamRNNRetentionNear", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def poison(on: Rehearsal) -> list[str]:
    """Every third record is no JSON; found by ``deadletters``, solved by stopping the producer."""
    worker = on.start_worker()
    await on.caught_up()
    began = time.monotonic()
    on.bad_share = BAD_SHARE
    fired = await on.fires("StreamRNNDeadLetters")
    without = ("app", "source", "redis_url", "bundle")
    found = await on.verb("deadletters", "list", without=without)
    assert "not_json" in found, found
    on.bad_share = 0.0
    over = await on.is_over("StreamRNNDeadLetters")
    whole = time.monotonic() - began
    await on.caught_up()
    await asyncio.to_thread(worker.stop)
    return ["StreamRNNDeadLetters", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def rehearse(directory, kafka, redis) -> None:
    """Go through all three."""
    on = Rehearsal(directory, kafka, redis)
    await create(kafka.bootstrap_servers, SOURCE, 4)
    await fill(kafka.bootstrap_servers, on.load, SOURCE)
    async with AsyncExitStack() as open_:
        prometheus = await asyncio.to_thread(on.prometheus)
        open_.push_async_callback(asyncio.to_thread, prometheus.stop)
        worker = on.start_worker()
        await on.caught_up()
        sending = asyncio.create_task(on.send())
        open_.callback(sending.cancel)
        rows = [await redis_lost_its_data(on, worker)]
        rows.append(await retention_is_near(on))
        rows.append(await poison(on))
        sending.cancel()
        click.echo("| alert | fires after, s | gone after the remedy, s | in all, s |")
        click.echo("|---|---|---|---|")
        for row in rows:
            click.echo("| " + " | ".join(row) + " |")
        click.echo(f"audit: {await on.audit()}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Rehearse three incidents with the alerts and commands of the run book."""
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-incidents-"))
    try:
        with LocalKafka() as kafka, LocalRedis() as redis:
            asyncio.run(rehearse(directory, kafka, redis))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
