"""Faults of Redis: lost and old data, refused writes, failovers, and changes by other clients."""

import asyncio
import os
import signal

from redis.exceptions import ConnectionError as RedisConnectionError

from stream_rnn.fold.crash_points import Point
from stream_rnn.store.connection import connect_redis
from tests.chaos.faults import World, block_worker_at, fault

# Crash points at which a worker blocks while a fault hits a server.
PHASES = {
    "before-load": Point.DECODED,
    "between-load-and-publish": Point.LOADED,
    "between-publish-and-commit": Point.PUBLISHED,
}
DATA = {
    "kept": "it keeps its data",
    "tail-lost": "it loses the writes of the last seconds",
    "old": "it returns to the data of ten seconds ago",
    "nothing": "it loses all data",
}


async def _bounce(world: World, data: str, down_s: float) -> None:
    left = await world.servers.stop_redis(data)
    world.note(f"Redis killed, data {left}, down for {down_s:.1f} s")
    await asyncio.sleep(down_s)
    await world.servers.start_redis()


def _register_bounces() -> None:
    for data, about in DATA.items():

        async def alone(world: World, data=data) -> None:
            await world.crew.wait_for_owners()
            await _bounce(world, data, world.draw.choice([0, 0.5, 3]))

        alone.__doc__ = f"Redis is killed and starts again; {about}."
        fault("redis", name=f"redis-restart-{data}", loses_redis=data != "kept")(alone)
        for phase, point in PHASES.items():

            async def at_phase(world: World, data=data, point=point) -> None:
                await block_worker_at(world, point)
                await _bounce(world, data, 0)

            name = f"redis-restart-{data}-{phase}"
            at_phase.__doc__ = f"Redis is killed {phase.replace('-', ' ')}; {about}."
            fault("redis", name=name, loses_redis=data != "kept", weight=0.35)(at_phase)


_register_bounces()


@fault("redis", loses_redis=True)
async def replica_promoted(world: World) -> None:
    """The primary dies, and a replica that is seconds behind replaces it."""
    await world.crew.wait_for_owners()
    lag_s = world.draw.uniform(0.5, 4)
    await world.servers.promote(lag_s)
    world.note(f"a replica {lag_s:.1f} s behind is promoted")


@fault("redis", "proxy", loses_redis=True)
async def failover_behind_a_name(world: World) -> None:
    """The name of Redis moves to the replica; the old primary keeps its connections, read-only."""
    await world.crew.wait_for_owners()
    lag_s = world.draw.uniform(0, 2)
    await world.servers.promote(lag_s, by_name=True)
    world.note(f"a replica {lag_s:.1f} s behind is promoted, the old primary is read-only")
    await asyncio.sleep(4)


@fault("redis", weight=0.5)
async def redis_down_for_long(world: World) -> None:
    """Redis is down for a quarter of a minute."""
    await world.crew.wait_for_owners()
    await _bounce(world, "kept", 15)


@fault("redis", long=True, weight=0.4)
async def redis_down_for_a_minute(world: World) -> None:
    """Redis is down for longer than a worker waits for it."""
    await world.crew.wait_for_owners()
    await _bounce(world, "kept", 62)


@fault("redis")
async def redis_frozen(world: World) -> None:
    """Redis keeps its connections open and does not answer for longer than a timeout."""
    await world.crew.wait_for_owners()
    process = world.servers.redis._process
    world.servers.is_backing_up = False
    world.note("Redis frozen for 7 s")
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.sleep(7)
    os.kill(process.pid, signal.SIGCONT)
    world.servers.is_backing_up = True


@fault("redis")
async def client_pause(world: World) -> None:
    """Redis accepts commands and answers them seconds later."""
    await world.crew.wait_for_owners()
    world.note("CLIENT PAUSE 6000 ms")
    world.servers.ask_redis("CLIENT", "PAUSE", 6000, "ALL")
    await asyncio.sleep(6)


@fault("redis")
async def redis_out_of_memory(world: World) -> None:
    """Redis refuses writes for three seconds, because its memory is full."""
    await world.crew.wait_for_owners()
    world.note("Redis out of memory for 3 s")
    world.servers.ask_redis("CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(3)
    world.servers.ask_redis("CONFIG", "SET", "maxmemory", "0")


@fault("redis")
async def redis_read_only(world: World) -> None:
    """The primary becomes a replica and refuses writes, until it is a primary again."""
    await world.crew.wait_for_owners()
    world.note("Redis read-only for 3 s")
    world.servers.ask_redis("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(3)
    world.servers.ask_redis("REPLICAOF", "NO", "ONE")


@fault("redis")
async def scripts_flushed(world: World) -> None:
    """Redis forgets its scripts."""
    world.note(f"SCRIPT FLUSH {world.servers.ask_redis('SCRIPT', 'FLUSH')!r}")


async def ask_own(world: World, *command) -> object:
    """Send one command to the Redis or cluster of the fold, which may be down."""
    redis = connect_redis(world.servers.redis_url, 5)
    try:
        return await redis.execute_command(*command)
    except RedisConnectionError as error:
        return f"no answer: {error}"
    finally:
        await redis.aclose()


@fault("keys", loses_redis=True)
async def position_deleted(world: World) -> None:
    """The position of a partition is deleted."""
    await world.crew.wait_for_owners()
    key = world.keys(world.partition())[0]
    world.note(f"UNLINK {key} {await ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def states_deleted(world: World) -> None:
    """All hidden states of a partition are deleted."""
    await world.crew.wait_for_owners()
    key = world.keys(world.partition())[1]
    world.note(f"UNLINK {key} {await ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def fields_deleted(world: World) -> None:
    """Three hidden states of a partition are deleted."""
    await world.crew.wait_for_owners()
    key = world.keys(world.partition())[1]
    answer = await ask_own(world, "HRANDFIELD", key, 3)
    fields = answer if isinstance(answer, list) else []
    deleted = await ask_own(world, "HDEL", key, *fields) if fields else 0
    world.note(f"HDEL {key} {deleted!r} fields")


@fault("keys", loses_redis=True, weight=0.5)
async def wrong_type(world: World) -> None:
    """Another client writes a string to a fold's key: workers stop until a person deletes it."""
    await world.crew.wait_for_owners()
    key = world.keys(world.partition())[1]
    world.crew.expects_stop = "is not a hash"
    world.crew.stopped_for.clear()
    world.note(f"SET {key} {await ask_own(world, 'SET', key, 'a string')!r}")
    for _ in range(300):
        if world.crew.stopped_for:
            break
        await asyncio.sleep(0.1)
    world.note(f"stopped: {[w.name for w, _ in world.crew.stopped_for]}")
    if await ask_own(world, "TYPE", key) == b"string":
        world.note(f"a person deletes it: {await ask_own(world, 'DEL', key)!r}")
    await asyncio.sleep(3)
    # A worker that took over the partition before the key was deleted also stops, after some time.
    for _ in range(150):
        world.crew.tend()
        if not any(worker.has_logged(world.crew.expects_stop) for worker in world.crew.working):
            break
        await asyncio.sleep(0.1)
    world.crew.expects_stop = ""
