"""A fold on real servers, and what a person can do to its topics, offsets and states."""

import asyncio
import re
import shutil
import time

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import DeleteGroupsRequest

from stream_rnn.fold.fold_id import store_tag
from stream_rnn.local.redis import LocalRedis
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.store.connection import connect_redis
from tests import oracle
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records

RECORDS = 120
WITHIN_S = 60


class Place(Stream):
    """A fold with a person at its side.

    Attributes:
        workers: that were started.
        redis: a Redis of its own; ``None`` where it shares one.
    """

    def __init__(self, name, bootstrap_servers, redis_url, directory, **settings) -> None:
        directory = directory / name
        directory.mkdir()
        super().__init__(name, bootstrap_servers, redis_url, directory, idle_check_s=1, **settings)
        self.workers: list[ForkedWorker] = []
        self.redis: LocalRedis | None = None

    def start(self, fault="", **more) -> ForkedWorker:
        """Start a worker."""
        environment = {"STREAM_RNN_FAULT_AT": fault} if fault else {}
        flags = [name for name, value in more.items() if value is True]
        environment |= {f"STREAM_RNN_{name.upper()}": "true" for name in flags}
        options = self.options(**{k: v for k, v in more.items() if k not in flags})
        name = f"worker-{len(self.workers)}"
        worker = ForkedWorker(name, options, self.directory, environment)
        self.workers.append(worker)
        return worker

    async def until_says(self, worker, pattern) -> str:
        """Wait until a worker's log holds a line; return it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            log = worker.log.read_text()
            if found := re.search(f".*{pattern}.*", log):
                return found[0]
            assert worker.is_alive or re.search(pattern, worker.log.read_text()), log[-3000:]
            assert time.monotonic() < deadline, f"no {pattern!r} in\n{log[-3000:]}"
            await asyncio.sleep(0.1)

    async def goes_on(self, *rows, **more) -> None:
        """Run a worker until all is published; it starts by these rows, in any partition."""
        worker = self.start(**more)
        for partition in range(len(await self.shown())):
            await self.until_says(worker, rf"starting .*\[{partition}\] row=")
        await self.until_published(WITHIN_S)
        async with asyncio.timeout(WITHIN_S):  # what is below C is folded silently
            while any(row["position"] != row["group_offset"] for row in await self.shown()):
                await asyncio.sleep(0.1)
        started = {int(row) for row in re.findall(r"starting .* row=(\d+)", worker.log.read_text())}
        assert await asyncio.to_thread(worker.stop) == 0, worker.log.read_text()[-2000:]
        assert started == set(rows), (started, worker.log.read_text()[-3000:])

    async def stops(self, worker=None, **more) -> str:
        """Run a worker that must stop; return its message."""
        worker = worker or self.start(**more)
        deadline = time.monotonic() + WITHIN_S
        while worker.is_alive:
            assert time.monotonic() < deadline, f"it goes on:\n{worker.log.read_text()[-3000:]}"
            await asyncio.sleep(0.1)
        log = worker.log.read_text()
        assert worker.exit_status == 3, log[-3000:]
        return re.search(r"CRITICAL stream_rnn.worker.plugin (.*)", log)[1]

    async def folded(self, seed=1, count=RECORDS) -> None:
        """Fold some records, and stop."""
        await self.produce(mixed_records(count, seed))
        await self.goes_on(4)

    async def end(self) -> None:
        """Leave nothing behind."""
        for worker in self.workers:
            if worker.is_alive:
                await asyncio.to_thread(worker.kill)
        if self.redis is not None:
            self.redis.stop()
            self.redis.remove()

    async def shown(self, **more) -> list[dict]:
        """Return what ``state show`` says."""
        async with open_fold(self.settings.replace(**more).of_fold()) as fold:
            return await fold.describe()

    # --- what a person does ----------------------------------------------------------------------

    async def create(self, topic=None, partitions=2, **config) -> None:
        """Create the source, or another topic."""
        name = topic or self.settings.source
        async with Admin(self) as admin:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
            while True:
                (found,) = await admin.describe_topics([name])
                if len(found["partitions"]) == partitions:
                    return
                await asyncio.sleep(0.1)

    async def delete(self, topic) -> None:
        """Delete a topic, and wait until it is gone."""
        async with Admin(self) as admin:
            await admin.delete_topics([topic])
            while topic in await admin.list_topics():
                await asyncio.sleep(0.1)

    async def configure(self, topic, **config) -> None:
        """Set the configuration of a topic."""
        async with Admin(self) as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])

    async def add_partitions(self, topic, count) -> None:
        """Give a topic so many partitions."""
        async with Admin(self) as admin:
            await admin.create_partitions({topic: NewPartitions(count)})
            while True:
                (found,) = await admin.describe_topics([topic])
                if len(found["partitions"]) == count:
                    return
                await asyncio.sleep(0.1)

    async def delete_records(self, below: dict[int, int], topic=None) -> None:
        """Delete the records of the source, or of another topic, below some offsets."""
        wanted = {
            TopicPartition(topic or self.settings.source, p): RecordsToDelete(before_offset=offset)
            for p, offset in below.items()
        }
        async with Admin(self) as admin:
            await admin.delete_records(wanted)

    async def delete_group(self) -> None:
        """Delete the group's offsets; the group is empty, or is about to be."""
        async with Admin(self) as admin, asyncio.timeout(40):
            while True:
                node = await admin.find_coordinator(self.settings.app)
                request = DeleteGroupsRequest([self.settings.app])
                ((_, code),) = (await admin._send_request(request, node)).results
                if code in (0, 69):
                    return
                await asyncio.sleep(0.3)

    async def set_group_offset(self, offsets: dict[int, int]) -> None:
        """Set the group's offsets as Kafka's own tool does: without metadata."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            group_id=self.settings.app,
            enable_auto_commit=False,
        )
        await consumer.start()
        wanted = {TopicPartition(self.settings.source, p): o for p, o in offsets.items()}
        consumer.assign(list(wanted))
        await consumer.commit(wanted)
        await consumer.stop()

    async def in_redis(self, *command) -> object:
        """Send one command to Redis."""
        redis = connect_redis(self.settings.redis_url.get_secret_value(), 5)
        try:
            return await redis.execute_command(*command)
        finally:
            await redis.aclose()

    def keys(self, partition) -> tuple[str, str]:
        """Return the names of a partition's two keys."""
        tag = store_tag(self.settings.app, self.settings.source, partition, self.fold_id)
        return f"{{{tag}}}:position", f"{{{tag}}}:hidden"

    async def drop(self) -> None:
        """Do what ``stream-rnn state drop`` does."""
        redis = connect_redis(self.settings.redis_url.get_secret_value(), 5)
        for partition in range(2):
            await self.store(redis, partition).drop()
        await redis.aclose()

    # --- a Redis of its own ------------------------------------------------------------------------

    async def own_redis(self) -> None:
        """Start a Redis that this test may kill."""
        self.redis = LocalRedis(data=self.directory / "redis")
        await asyncio.to_thread(self.redis.start)
        self.settings = self.settings.replace(redis_url=self.redis.redis_url)

    async def back_up(self) -> None:
        """Keep a copy of Redis's RDB file."""
        await self.in_redis("SAVE")
        shutil.copyfile(self.directory / "redis/dump.rdb", self.directory / "backup.rdb")

    async def restart_redis(self, *, from_backup) -> None:
        """Kill Redis and start it empty, or with the backup."""
        await asyncio.to_thread(self.redis.kill)
        dump = self.directory / "redis/dump.rdb"
        dump.unlink(missing_ok=True)
        if from_backup:
            shutil.copyfile(self.directory / "backup.rdb", dump)
        await asyncio.to_thread(self.redis.start)

    # --- what is left --------------------------------------------------------------------------------

    async def compare_all_states(self) -> None:
        """Compare the states and P of a fold whose predictions are not all its own."""
        for partition in range(2):
            records = await self.source(partition)
            source = self.settings.source
            truth = oracle.fold(self.model, self.settings, records, source, partition)
            await self._compare_states(partition, truth)

    async def is_the_oracles_from(self, origins: dict[int, int], records, published) -> None:
        """Check states folded from new origins, and which predictions are there.

        Args:
            origins: by partition: S when the history was given up.
            records: by partition: all that were in the log.
            published: by partition: offsets that must have a prediction, and no others may.
        """
        redis = connect_redis(self.settings.redis_url.get_secret_value(), 5)
        for partition, origin in origins.items():
            left = [record for record in records[partition] if record.offset >= origin]
            source = self.settings.source
            truth = oracle.fold(self.model, self.settings, left, source, partition)
            raw = await redis.hgetall(self.store(redis, partition).hidden_key)
            assert {k: v[16:] for k, v in raw.items()} == {k: s[2] for k, s in truth.states.items()}
            outputs = await self.outputs(self.settings.predictions, partition)
            offsets = [int(dict(output.headers)["sr-offset"]) for output in outputs]
            assert offsets == sorted(set(offsets))
            assert set(offsets) == set(published[partition])
        await redis.aclose()


class Admin:
    """An admin client for as long as it takes."""

    def __init__(self, place) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=place.settings.bootstrap_servers)

    async def __aenter__(self):
        await self._admin.start()
        return self._admin

    async def __aexit__(self, *_exception: object) -> None:
        await self._admin.close()


async def valid(place, records, origins, ends=None) -> dict[int, set[int]]:
    """Return the offsets in [origin, end) that have a prediction."""
    return {
        p: set(
            oracle.fold(
                place.model,
                place.settings,
                [r for r in records[p] if origins[p] <= r.offset < (ends or {}).get(p, 1 << 60)],
                place.settings.source,
                p,
            ).predictions
        )
        for p in origins
    }


def cut(records, origin) -> list:
    """Return the records from an offset on."""
    return [record for record in records if record.offset >= origin]


async def later(value):
    """Return a value."""
    return value


async def run_together(rows, prefix, bootstrap_servers, redis_url, directory) -> None:
    """Run scenarios, some at a time; raise all that went wrong."""
    at_once = asyncio.Semaphore(3)

    async def one(number, row) -> None:
        place = Place(f"{prefix}-{number}", bootstrap_servers, redis_url, directory)
        async with at_once:
            try:
                await place.create()
                await row(place)
            except BaseException as error:
                error.add_note(f"in {row.__name__}: {row.__doc__}")
                raise
            finally:
                await place.end()

    ended = await asyncio.gather(
        *(one(number, row) for number, row in enumerate(rows)), return_exceptions=True
    )
    if wrong := [error for error in ended if error is not None]:
        raise BaseExceptionGroup("rows", wrong)
