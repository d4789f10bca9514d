"""Redis that forgets, goes back, refuses, fails over, and is touched by others."""

import asyncio
import os
import signal

from redis.exceptions import ConnectionError as RedisConnectionError

from stream_rnn.fold.crash_points import Point
from stream_rnn.store.connection import connect_redis
from tests.chaos.faults import World, fault, worker_at

# Where a worker stands still while a server is hurt.
PHASES = {
    "before-load": Point.DECODED,
    "between-load-and-publish": Point.LOADED,
    "between-publish-and-commit": Point.PUBLISHED,
}
DATA = {
    "kept": "it has its data",
    "tail-lost": "it has lost the last seconds",
    "old": "it has the data of ten seconds ago",
    "nothing": "it has nothing",
}


async def _bounce(world: World, data: str, down_s: float) -> None:
    left = await world.servers.stop_redis(data)
    world.tell(f"Redis killed, data {left}, down for {down_s:.1f} s")
    await asyncio.sleep(down_s)
    await world.servers.start_redis()


def _register_bounces() -> None:
    for data, about in DATA.items():

        async def alone(world: World, data=data) -> None:
            await world.crew.until_owned()
            await _bounce(world, data, world.draw.choice([0, 0.5, 3]))

        alone.__doc__ = f"Redis is killed and started again; {about}."
        fault("redis", name=f"redis-restart-{data}", loses_redis=data != "kept")(alone)
        for phase, point in PHASES.items():

            async def at_phase(world: World, data=data, point=point) -> None:
                await worker_at(world, point)
                await _bounce(world, data, 0)

            name = f"redis-restart-{data}-{phase}"
            at_phase.__doc__ = f"Redis is killed {phase.replace('-', ' ')}; {about}."
            fault("redis", name=name, loses_redis=data != "kept", weight=0.35)(at_phase)


_register_bounces()


@fault("redis", loses_redis=True)
async def replica_promoted(world: World) -> None:
    """The primary dies; a replica that is seconds behind takes its place."""
    await world.crew.until_owned()
    lag_s = world.draw.uniform(0.5, 4)
    await world.servers.promote(lag_s)
    world.tell(f"a replica {lag_s:.1f} s behind is promoted")


@fault("redis", "proxy", loses_redis=True)
async def failover_behind_a_name(world: World) -> None:
    """The name leads to the replica now; the old primary lives, read-only, and keeps connections."""
    await world.crew.until_owned()
    lag_s = world.draw.uniform(0, 2)
    await world.servers.promote(lag_s, by_name=True)
    world.tell(f"a replica {lag_s:.1f} s behind is promoted, the old primary is read-only")
    await asyncio.sleep(4)


@fault("redis", weight=0.5)
async def redis_down_for_long(world: World) -> None:
    """Redis is away for a quarter of a minute."""
    await world.crew.until_owned()
    await _bounce(world, "kept", 15)


@fault("redis", long=True, weight=0.4)
async def redis_down_for_a_minute(world: World) -> None:
    """Redis is away for longer than a worker waits for it."""
    await world.crew.until_owned()
    await _bounce(world, "kept", 62)


@fault("redis")
async def redis_frozen(world: World) -> None:
    """Redis holds its connections and does not answer, for longer than a timeout."""
    await world.crew.until_owned()
    process = world.servers.redis._process
    world.servers.is_backing_up = False
    world.tell("Redis frozen for 7 s")
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.sleep(7)
    os.kill(process.pid, signal.SIGCONT)
    world.servers.is_backing_up = True


@fault("redis")
async def client_pause(world: World) -> None:
    """Redis takes commands and answers them seconds later."""
    await world.crew.until_owned()
    world.tell("CLIENT PAUSE 6000 ms")
    world.servers.ask_redis("CLIENT", "PAUSE", 6000, "ALL")
    await asyncio.sleep(6)


@fault("redis")
async def redis_out_of_memory(world: World) -> None:
    """Redis refuses writes for a while: its memory is full."""
    await world.crew.until_owned()
    world.tell("Redis out of memory for 3 s")
    world.servers.ask_redis("CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(3)
    world.servers.ask_redis("CONFIG", "SET", "maxmemory", "0")


@fault("redis")
async def redis_read_only(world: World) -> None:
    """The primary has become a replica: writes are refused, until it is one again."""
    await world.crew.until_owned()
    world.tell("Redis read-only for 3 s")
    world.servers.ask_redis("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(3)
    world.servers.ask_redis("REPLICAOF", "NO", "ONE")


@fault("redis")
async def scripts_flushed(world: World) -> None:
    """Redis forgets its scripts."""
    world.tell(f"SCRIPT FLUSH {world.servers.ask_redis('SCRIPT', 'FLUSH')!r}")


async def ask_own(world: World, *command) -> object:
    """Send one command to the Redis of the fold, wherever it is; it may be down at the moment."""
    redis = connect_redis(world.servers.redis_url, 5)
    try:
        return await redis.execute_command(*command)
    except RedisConnectionError as error:
        return f"not answered: {error}"
    finally:
        await redis.aclose()


@fault("keys", loses_redis=True)
async def position_deleted(world: World) -> None:
    """One of the two keys is deleted."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[0]
    world.tell(f"UNLINK {key} {await ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def states_deleted(world: World) -> None:
    """The other one is deleted."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    world.tell(f"UNLINK {key} {await ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def fields_deleted(world: World) -> None:
    """Some hidden states are deleted."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    found = await ask_own(world, "HRANDFIELD", key, 3)
    fields = found if isinstance(found, list) else []
    gone = await ask_own(world, "HDEL", key, *fields) if fields else 0
    world.tell(f"HDEL {key} {gone!r} fields")


@fault("keys", loses_redis=True, weight=0.5)
async def wrong_type(world: World) -> None:
    """Something else writes a string under our key: workers stop, a person removes it."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    world.crew.expects_stop = "is not a hash"
    world.crew.stopped_for.clear()
    world.tell(f"SET {key} {await ask_own(world, 'SET', key, 'what is this')!r}")
    for _ in range(300):
        if world.crew.stopped_for:
            break
        await asyncio.sleep(0.1)
    world.tell(f"stopped: {[w.name for w, _ in world.crew.stopped_for]}")
    if await ask_own(world, "TYPE", key) == b"string":
        world.tell(f"a person deletes it: {await ask_own(world, 'DEL', key)!r}")
    await asyncio.sleep(3)
    # Who took the partition over before it was deleted stops too, and takes its time to close.
    for _ in range(150):
        world.crew.tend()
        if not any(worker.says(world.crew.expects_stop) for worker in world.crew.working):
            break
        await asyncio.sleep(0.1)
    world.crew.expects_stop = ""
