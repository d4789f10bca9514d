"""A person who rolls another bundle out on real servers, by the store of plans or by the verbs."""

import asyncio
import contextlib
import json
import time

from aiokafka import TopicPartition

from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import save_bundle
from stream_rnn.rollout.bundles import read_bundle_bytes
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from tests import models, oracle
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import mixed_records, run

FORMAT = ("predictions_format", "predictions_schema_id", "schema_registry_url")


class RollOut:
    """A person with two bundles."""

    NEW = models.small("gru", seed=11)

    def __init__(self, stream, directory, redis, cluster, new=None) -> None:
        self.settings = stream.settings.of_fold()
        self.stream, self.redis, self.cluster = stream, redis, cluster
        save_bundle(new or self.NEW, directory / "new")
        self.models, self.bundles = zip(
            *(read_bundle_bytes(path) for path in (stream.bundle, directory / "new")), strict=True
        )
        self.ids = [fold_id(model.fingerprint, self.settings) for model in self.models]
        self.plans = RedisPlanStore(redis, self.settings)

    async def start(self) -> None:
        """Start the roll-out."""
        names = zip(self.ids, self.models, self.bundles, strict=True)
        folds = []
        for name, model, bundle in names:
            await self.plans.put_bundle(model.fingerprint, bundle)
            folds.append(FoldName(fold_id=name, fingerprint=model.fingerprint))
        assert await self.plans.write(None, Plan(folds=tuple(folds)))

    async def known(self, partition):
        """Return the group offset of a partition."""
        tp = TopicPartition(self.settings.source, partition)
        return await self.cluster.group_offset(self.settings.app, tp)

    async def stored(self, fold, partition):
        """Return the position of a fold."""
        tag = store_tag(self.settings.app, self.settings.source, partition, self.ids[fold])
        return await RedisStore(self.redis, tag, 5).read()

    async def until(self, reached, what) -> None:
        """Wait until something is true of each partition."""
        deadline = time.monotonic() + 40
        for partition in (0, 1):
            while not await reached(partition):
                assert time.monotonic() < deadline, what
                await asyncio.sleep(0.1)

    async def is_warm(self, partition) -> bool:
        """Return whether the candidate is near."""
        known = await self.known(partition)
        fold = 1 - self.ids.index(known.fold_id)
        position = (await self.stored(fold, partition)).position
        return position is not None and position >= known.offset - 100

    async def promote(self, fold) -> list[int]:
        """Promote a fold in each partition, and return the offsets of the cut-overs."""
        await self.until(self.is_warm, "the candidate does not get warm")
        seen = plan = await self.plans.read()
        for partition in (0, 1):
            origin = (await self.stored(fold, partition)).origin
            known = await self.known(partition)
            plan = plan.with_request("promote", partition, self.ids[fold], known, origin)
        assert await self.plans.write(seen, plan)
        numbers = {p: plan.requests[p].number for p in (0, 1)}

        async def is_done(partition) -> bool:
            known = await self.known(partition)
            return known.number == numbers[partition] and known.fold_id == self.ids[fold]

        await self.until(is_done, f"the promote of {fold} does not come")


class Person(RollOut):
    """A person who uses the verbs."""

    @property
    def place(self) -> list[str]:
        """Options of every verb."""
        given = [name for name in FORMAT if name in self.stream.options()]
        return options(self.stream, *PLACE, *given)

    @property
    def new_bundle(self):
        """Directory of the new bundle."""
        return self.stream.directory / "new"

    async def verb(self, *words, bundle=None, status=0):
        """Run a verb of the roll-out with ``--json``; return its lines, or what it says on failure."""
        place = self.place
        if bundle is not None:
            place = [word for word in place if not word.startswith("--bundle=")]
            place.append(f"--bundle={bundle}")
        said = await run("rollout", *words, *place, "--json", status=status, within_s=120)
        return said if status > 1 else [json.loads(line) for line in said.splitlines()]

    async def text(self, *words) -> str:
        """Run a verb of the roll-out; return the text for people."""
        return await run("rollout", *words, *self.place, within_s=120)

    async def until_reported(self) -> None:
        """Wait until each member of the group has reported."""
        deadline = time.monotonic() + 40
        while True:
            said = await run("rollout", "status", *self.place, "--json", status=1)
            workers = json.loads(said)["workers"]
            if workers and all(worker["report"] is not None for worker in workers):
                return
            assert time.monotonic() < deadline, workers
            await asyncio.sleep(0.2)

    async def begin(self, environment=None, **settings):
        """Start a worker, wait until it has published and reported, and return it."""
        worker = self.stream.start("one", environment, **settings)
        await self.stream.until_published(worker=worker)
        await self.until_reported()
        return worker

    async def publish(self, seed, worker) -> None:
        """Produce records, and wait until a worker has published."""
        await self.stream.produce(mixed_records(100, seed=seed))
        await self.stream.until_published(worker=worker)

    async def audit(self, *bundles):
        """Audit what is published with one bundle or several."""
        place = [w for w in self.place if not w.startswith("--bundle=")]
        said = await run("audit", *place, *(f"--bundle={one}" for one in bundles), "--json")
        return json.loads(said.splitlines()[-1])

    async def promote_new(self):
        """Start a worker, and let it take the new bundle over; return the worker."""
        worker = await self.begin()
        await self.verb("start", "--wait", bundle=self.new_bundle)
        await self.verb("promote", "--wait")
        return worker


async def compare(person, *, is_exact, of_new=(1, 3)) -> None:
    """Compare all predictions with the oracle of the fold that each names.

    Args:
        person: Who has made the roll-out.
        is_exact: Whether no offset may have two predictions.
        of_new: Numbers of the requests after which the new fold is in charge.
    """
    cluster, settings = person.cluster, person.settings
    folds, decoders = set(), [model_decoder(model) for model in person.models]
    for partition in (0, 1):
        source = TopicPartition(settings.source, partition)
        output = TopicPartition(settings.predictions, partition)
        end = await cluster.log_end(source)
        batches = cluster.batches(source, 0, end)
        records = [record async for batch in batches for record in batch]
        truths = [
            oracle.fold(model, settings, records, settings.source, partition)
            for model in person.models
        ]
        published, top = {}, 0
        batches = cluster.batches(output, 0, await cluster.log_end(output))
        for message in [record async for batch in batches for record in batch]:
            headers = dict(message.headers)
            fold = person.ids.index(headers["sr-fold"].decode())
            value = decoders[fold].content(message.value)
            offset, number = value["source"]["offset"], int(headers.get("sr-cut-over", 0))
            assert fold == (number in of_new)
            assert value == truths[fold].predictions[offset]
            assert number >= top or not is_exact
            assert offset not in published or not is_exact
            top = max(top, number)
            published[offset] = fold
        assert published.keys() == truths[0].predictions.keys()
        folds |= set(published.values())
    assert folds == {0, 1}


@contextlib.asynccontextmanager
async def people(stream, redis_url, directory):
    """Yield a function that makes a fold with some records, and a person with two bundles."""
    redis = connect_redis(redis_url, 5)
    async with contextlib.AsyncExitStack() as stack:

        async def make(new=None, **settings) -> Person:
            made = await stream(**{"delivery": "exactly_once", **settings})
            await made.produce(mixed_records(200, seed=1))
            cluster = await stack.enter_async_context(KafkaCluster.of(made.settings))
            return Person(made, directory, redis, cluster, new)

        yield make
    await redis.aclose()
