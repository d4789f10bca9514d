"""``python -m tests.chaos.incidents`` rehearses three incidents with their alerts and remedies.

A worker, a producer and a real Prometheus with the rules of ``deploy/`` run on this machine.  Only
the waiting times of the rules change: they are divided by ``SPEED_UP``.  The command causes each
incident, waits for its alert, and applies the remedy that ``deploy/README.md`` describes under the
name of the alert.  It prints how long each alert takes to fire and to end, and the result of an
audit.
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

SPEED_UP = 120
RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yml"
HISTORY = 3_000_000
RATE, BAD_SHARE, TICK_S, BLOCK_S = 2_000, 0.3, 0.05, 0.3
WITHIN_S = 400
SOURCE, OUTPUT, APP = "flights", "delays", "departures"


def shorten_waits(rules: str) -> str:
    """Divide the waiting times of alerting rules by ``SPEED_UP``."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def divide_for(match) -> str:
        return f"for: {max(1, int(match[1]) * seconds[match[2]] // SPEED_UP)}s"

    def divide_range(match) -> str:
        return f"{match[1]}{max(5, int(match[2]) * seconds[match[3]] // SPEED_UP)}s"

    rules = re.sub(r"for: (\d+)([smh])", divide_for, rules)
    return re.sub(r"(\[|offset )(\d+)([smhd])", divide_range, rules)


class Rehearsal:
    """The servers, workers and events of the rehearsal."""

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

    def worker_settings(self) -> dict[str, str]:
        """Return the settings of a worker."""
        return {
            "app": APP,
            "source": SOURCE,
            "predictions": OUTPUT,
            "bundle": str(self.bundle),
            "bootstrap_servers": self.kafka.bootstrap_servers,
            "redis_url": self.redis.redis_url,
        }

    async def run_command(self, *words, without=(), status=0) -> str:
        """Run a ``stream-rnn`` command with the worker's settings."""
        options = {k: v for k, v in self.worker_settings().items() if k not in without}
        return await run(*words, *(f"--{k.replace('_', '-')}={v}" for k, v in options.items()), status=status, within_s=WITHIN_S)  # fmt: skip

    def start_worker(self, *, is_slow=False) -> WorkerProcess:
        """Start a worker that Prometheus scrapes; a slow worker blocks after each step."""
        self._workers += 1
        slow = ",".join(f"stepped {number} block={BLOCK_S}" for number in range(1, 1000))
        options = {**self.worker_settings(), "health_address": f"127.0.0.1:{self._health}", "facts_interval_s": "1"}  # fmt: skip
        environment = {"STREAM_RNN_FAULT_AT": slow} if is_slow else {}
        return WorkerProcess(f"worker-{self._workers}", options, self.directory, environment)

    def prometheus(self) -> ServerProcess:
        """Return a Prometheus that scrapes the worker each second."""
        program = shutil.which("prometheus")
        if program is None:
            raise ConfigError(
                "there is no prometheus on the PATH: install Debian's package prometheus"
            )
        at = self.directory
        (at / "rules.yml").write_text(shorten_waits(RULES.read_text(encoding="utf-8")))
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
        server.start(lambda: self._get("-/ready") is not None, 30)
        return server

    def _get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._prometheus_port}/{path}", timeout=5) as response:  # fmt: skip
                return response.read()
        except OSError:
            return None

    def firing(self) -> set[str]:
        """Return the names of the firing alerts."""
        answer = json.loads(self._get("api/v1/alerts") or b'{"data":{"alerts":[]}}')
        return {
            a["labels"]["alertname"] for a in answer["data"]["alerts"] if a["state"] == "firing"
        }

    async def wait_until(self, condition, description) -> float:
        """Wait until a condition is true; return the seconds that this took."""
        began = time.monotonic()
        while not await condition():
            if time.monotonic() - began > WITHIN_S:
                raise TimeoutError(f"{description}: not within {WITHIN_S} s")
            await asyncio.sleep(0.5)
        return time.monotonic() - began

    async def wait_for_alert(self, alert) -> float:
        """Wait until an alert fires; return the seconds that this took."""

        async def condition() -> bool:
            return alert in await asyncio.to_thread(self.firing)

        return await self.wait_until(condition, alert)

    async def wait_for_end_of(self, alert) -> float:
        """Wait until an alert no longer fires; return the seconds that this took."""

        async def condition() -> bool:
            return alert not in await asyncio.to_thread(self.firing)

        return await self.wait_until(condition, f"the end of {alert}")

    async def lag(self) -> int:
        """Return the number of records that are not folded yet."""
        output = await self.run_command("state", "show", "--json")
        rows = [json.loads(line) for line in output.splitlines()]
        return sum(HISTORY if row["position"] is None else row["lag"] for row in rows)

    async def wait_until_caught_up(self) -> float:
        """Wait until the worker has almost caught up with the log end."""

        async def condition() -> bool:
            return await self.lag() < RATE * 5

        return await self.wait_until(condition, "the end of the log")

    async def send(self) -> None:
        """Send events of an age of ``old_s``, a share of ``bad_share`` bad, until cancelled."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap_servers) as producer:
            began, due = time.monotonic(), 0
            while True:
                due, before = int((time.monotonic() - began) * RATE), due
                for number in range(before, due):
                    is_bad = number % 100 < 100 * self.bad_share
                    value = b"not JSON" if is_bad else value_of(self._sent, self.load)
                    key = number % 10_000
                    at_ms = int(1000 * (time.time() - self.old_s))  # noqa: TID251  # a producer
                    await producer.send(SOURCE, value, key=key_of(key), partition=key % 4, timestamp_ms=at_ms)  # fmt: skip
                    self._sent += 1
                await asyncio.sleep(TICK_S)

    async def set_retention(self, hours) -> None:
        """Set ``retention.ms`` of the source and the outputs, as ``kafka-configs`` does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        for topic in (SOURCE, OUTPUT, f"{OUTPUT}.dead-letters"):
            configs = {"retention.ms": str(int(hours * 3_600_000))}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        await admin.close()

    async def audit(self) -> str:
        """Audit the predictions; return the numbers of missing, duplicated and different ones."""
        counts = json.loads(await self.run_command("audit", "--json", without=("redis_url",)))
        return ", ".join(
            f"{name} {counts[name]}" for name in ("missing", "duplicated", "different")
        )


async def redis_lost_its_data(on: Rehearsal, worker) -> list[str]:
    """Empty Redis by FLUSHALL; the remedy is to import the last export."""
    path = on.directory / "departures.states"
    await on.run_command("state", "export", str(path))
    redis = connect_redis(on.redis.redis_url, 5)
    began = time.monotonic()
    await redis.execute_command("FLUSHALL")
    await redis.aclose()
    fired = await on.wait_for_alert("StreamRNNRebuilding")
    await asyncio.to_thread(worker.stop)
    await on.run_command("state", "import", "--replace", str(path))
    again = on.start_worker()
    over = await on.wait_for_end_of("StreamRNNRebuilding")
    await on.wait_until_caught_up()
    whole = time.monotonic() - began
    await asyncio.to_thread(again.stop)
    return ["StreamRNNRebuilding", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def retention_is_near(on: Rehearsal) -> list[str]:
    """Let a worker be 3.5 h behind at 4 h of retention; the remedy is to raise retention."""
    began = time.monotonic()
    on.old_s = 3.5 * 3600
    await on.set_retention(4)
    worker = on.start_worker(is_slow=True)
    fired = await on.wait_for_alert("StreamRNNRetentionNear")
    await on.set_retention(24 * 30)
    on.old_s = 0.0
    over = await on.wait_for_end_of("StreamRNNRetentionNear")
    whole = time.monotonic() - began
    await asyncio.to_thread(worker.stop)
    return ["StreamRNNRetentionNear", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def many_dead_letters(on: Rehearsal) -> list[str]:
    """Let every third record be bad; the remedy is to stop the producer of bad records."""
    worker = on.start_worker()
    await on.wait_until_caught_up()
    began = time.monotonic()
    on.bad_share = BAD_SHARE
    fired = await on.wait_for_alert("StreamRNNDeadLetters")
    without = ("app", "source", "redis_url", "bundle")
    output = await on.run_command("deadletters", "list", without=without)
    assert "not_json" in output, output
    on.bad_share = 0.0
    over = await on.wait_for_end_of("StreamRNNDeadLetters")
    whole = time.monotonic() - began
    await on.wait_until_caught_up()
    await asyncio.to_thread(worker.stop)
    return ["StreamRNNDeadLetters", f"{fired:.0f}", f"{over:.0f}", f"{whole:.0f}"]


async def rehearse(directory, kafka, redis) -> None:
    """Rehearse all three incidents, and print a row for each."""
    on = Rehearsal(directory, kafka, redis)
    await create(kafka.bootstrap_servers, SOURCE, 4)
    await fill(kafka.bootstrap_servers, on.load, SOURCE)
    async with AsyncExitStack() as open_:
        prometheus = await asyncio.to_thread(on.prometheus)
        open_.push_async_callback(asyncio.to_thread, prometheus.stop)
        worker = on.start_worker()
        await on.wait_until_caught_up()
        sending = asyncio.create_task(on.send())
        open_.callback(sending.cancel)
        rows = [await redis_lost_its_data(on, worker)]
        rows.append(await retention_is_near(on))
        rows.append(await many_dead_letters(on))
        sending.cancel()
        click.echo("| alert | fires after, s | ends after the remedy, s | whole incident, s |")
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
