"""The store on a real cluster, call by call: what a call says while nodes move, freeze and die."""

import asyncio
import contextlib
import re
from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import Commit, FirstPosition, StoredPosition
from tests.integration.redis_kinds import Cluster
from tests.shared_servers import freeze, unfreeze

pytestmark = [pytest.mark.timeout(200), pytest.mark.integration]
TIMEOUT_S, WITHIN_S = 2.0, 60
KEY = b"key"


class Fold:
    """A fold of nothing but a position and one state, which says the position."""

    def __init__(self, redis, cluster, number) -> None:
        self.store = RedisStore(redis, f"app:topic:0:fold-{number}", TIMEOUT_S)
        self.slot = redis.keyslot(self.store.position_key)
        self.position = 0
        self._cluster = cluster

    async def owner(self, asked=0) -> int:
        """Return the number of its primary."""
        return await self._cluster.owner(self.slot, asked)

    async def begin(self) -> None:
        """Write the first position and one state."""
        await self.store.start(StoredPosition(), FirstPosition(0, 0, 1, "", ""))
        await self.commit()

    async def commit(self) -> None:
        """Move on by one."""
        state = b"state %d" % (self.position + 1)
        await self.store.commit(
            Commit(self.position, 0, self.position + 1, None, None, "", [(KEY, state)], [])
        )
        self.position += 1

    async def load(self) -> None:
        """Read its state, which must be its own and the last."""
        assert await self.store.load(self.position, 0, [KEY]) == [b"state %d" % self.position]

    async def until(self, call) -> None:
        """Call until Redis is available."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(UnavailableError):
                    return await call()
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def folds(cluster, url=""):
    """Return a client's folds: the first on node 0, the second on another primary."""
    redis = connect_redis(url or cluster.url, TIMEOUT_S)
    try:
        made = [Fold(redis, cluster, number) for number in range(30)]
        here = [fold for fold in made if await fold.owner() == 0]
        elsewhere = [fold for fold in made if fold not in here]
        for fold in (here[0], elsewhere[0]):
            await fold.begin()
        yield here[0], elsewhere[0]
    finally:
        await redis.aclose()


async def test_a_slot_moves_to_a_node_that_had_none_and_each_call_follows():
    """Where all keys of a slot are moved and the slot is not yet, the new node is asked."""
    async with Cluster() as cluster, folds(cluster) as (fold, _):

        async def served_by_the_new_node() -> None:
            for _ in range(2):  # that it was asked is not remembered
                await fold.load()
                await fold.commit()

        assert await cluster.migrate(fold.slot, 0, 3, 0, served_by_the_new_node) == 2
        await fold.load()
        await fold.commit()
        assert await cluster.migrate(fold.slot, 3, 1, 0, fold.commit) == 2
        await fold.load()  # one call each: moved is no error
        assert await cluster.migrate(fold.slot, 1, 0, 0) == 2
        await fold.commit()
        assert (await fold.store.read()).position == fold.position


async def test_the_rights_of_the_run_book_are_enough_and_one_that_lacks_is_named():
    """On a cluster, while a slot moves: without the right to ask, a person must act."""
    book = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
    (user,) = re.findall(r"^    user departures on >PASSWORD (.*)$", book, re.MULTILINE)
    (more,) = re.findall(r"On a Redis Cluster, add `(.*?)`", book)
    async with Cluster() as cluster:
        for node in cluster.nodes:
            rights = [*user.replace("departures", "app").split(), *more.split()]
            await node.do("ACL", "SETUSER", "app", "on", ">secret", *rights)
        url = cluster.url.replace("://", "://app:secret@")
        async with folds(cluster, url) as (fold, _):

            async def refused_by_the_new_node() -> None:
                await fold.load()
                await cluster.nodes[3].do("ACL", "SETUSER", "app", "-asking")
                with pytest.raises(ConfigError, match="asking"):
                    await fold.load()

            assert await cluster.migrate(fold.slot, 0, 3, 0, refused_by_the_new_node) == 2
            await fold.load()


async def test_a_primary_that_hangs_is_left_for_its_replica_by_reads_alone():
    """What the frozen one would have answered is never taken for an answer to another call."""
    going_on = ("--cluster-require-full-coverage", "no")
    async with Cluster(arguments=going_on) as cluster, folds(cluster) as (fold, other):
        await cluster.replicate(0)
        freeze(cluster.nodes[0].server)
        try:
            # Scripts are loaded where they run: another primary that hangs is not waited for.
            await cluster.nodes[await other.owner(asked=1)].do("SCRIPT", "FLUSH")
            await other.commit()
            with pytest.raises(UnavailableError):
                await fold.load()
            await fold.until(fold.load)
            await fold.until(other.load)
            await fold.until(fold.commit)
            assert await fold.owner(asked=1) == 3
        finally:
            unfreeze(cluster.nodes[0].server)
        await asyncio.gather(fold.until(fold.load), fold.until(other.load))


async def test_while_no_node_answers_each_call_says_so_and_goes_on_afterwards():
    """Looking for nodes is part of a call: it has its deadline, and it is no other error."""
    saving = ("--save", "3600 1")
    async with Cluster(replicas=0, arguments=saving) as cluster, folds(cluster) as (fold, other):
        for node in cluster.nodes:
            await node.do("SAVE")
            await asyncio.to_thread(node.server.kill)
        for call in (fold.commit, fold.load, other.store.read, other.load, other.commit) * 2:
            with pytest.raises(UnavailableError):
                await call()
        await asyncio.gather(*(asyncio.to_thread(node.server.start) for node in cluster.nodes))
        for one in (fold, other):
            await one.until(one.load)
            await one.until(one.commit)


async def test_a_call_that_is_given_up_leaves_no_reply_to_the_next_one():
    """Many calls are cancelled at any moment of theirs; each later one reads its own reply."""
    async with Cluster(replicas=0) as cluster, folds(cluster) as (fold, other):
        for number in range(60):
            given_up = [asyncio.create_task(one.store.read()) for one in (fold, other)]
            given_up += [asyncio.create_task(one.load()) for one in (fold, other)]
            for _ in range(number % 12):
                await asyncio.sleep(0)
            for task in given_up:
                task.cancel()
            await asyncio.gather(*given_up, return_exceptions=True)
            await asyncio.gather(fold.load(), other.load())
            if number % 5 == 0:
                await fold.commit()
