"""Redis that forgets, goes back, refuses and fails over; brokers that die; a network that cuts."""

import asyncio
import os
import signal

from redis.exceptions import ConnectionError as RedisConnectionError

from stream_rnn.clients import connect_redis
from stream_rnn.fold.points import Point
from tests.chaos.faults import World, fault

# Where a worker stands still while a server is hurt.
PHASES = {
    "before-load": Point.DECODED,
    "between-load-and-publish": Point.LOADED,
    "between-publish-and-commit": Point.PUBLISHED,
}
PUBLISH_PHASES = (Point.BEGUN, Point.PREDICTIONS_SENT, Point.OFFSET_SENT, Point.PUBLISHED)
BLOCK_S = 4


async def _worker_at(world: World, point: Point) -> None:
    """Return when a worker stands still at a point, for some seconds; or without one."""
    worker = world.crew.start(f"{point} 6 block={BLOCK_S}")
    reached = await world.crew.until_says(worker, "fault injected", 20)
    world.tell(f"{worker.name} stands still at {point}: {reached}")


# --- Redis ---------------------------------------------------------------------------------------


async def _bounce(world: World, data: str, down_s: float) -> None:
    left = await world.servers.stop_redis(data)
    world.tell(f"Redis killed, data {left}, down for {down_s:.1f} s")
    await asyncio.sleep(down_s)
    await world.servers.start_redis()


def _register_bounces() -> None:
    for data in ("kept", "tail-lost", "old", "nothing"):

        async def alone(world: World, data=data) -> None:
            await world.crew.until_owned()
            await _bounce(world, data, world.draw.choice([0, 0.5, 3]))

        fault("redis", name=f"redis-restart-{data}", loses_redis=data != "kept")(alone)
        for phase, point in PHASES.items():

            async def at_phase(world: World, data=data, point=point) -> None:
                await _worker_at(world, point)
                await _bounce(world, data, 0)

            name = f"redis-restart-{data}-{phase}"
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


async def _ask_own(world: World, *command) -> object:
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
    world.tell(f"UNLINK {key} {await _ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def states_deleted(world: World) -> None:
    """The other one is deleted."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    world.tell(f"UNLINK {key} {await _ask_own(world, 'UNLINK', key)!r}")


@fault("keys", loses_redis=True)
async def fields_deleted(world: World) -> None:
    """Some hidden states are deleted."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    found = await _ask_own(world, "HRANDFIELD", key, 3)
    fields = found if isinstance(found, list) else []
    gone = await _ask_own(world, "HDEL", key, *fields) if fields else 0
    world.tell(f"HDEL {key} {gone!r} fields")


@fault("keys", loses_redis=True, weight=0.5)
async def wrong_type(world: World) -> None:
    """Something else writes a string under our key: workers stop, a person removes it."""
    await world.crew.until_owned()
    key = world.keys(world.partition())[1]
    world.crew.expects_stop = "is not a hash"
    world.crew.stopped_for.clear()
    world.tell(f"SET {key} {await _ask_own(world, 'SET', key, 'what is this')!r}")
    for _ in range(80):
        if world.crew.stopped_for:
            break
        await asyncio.sleep(0.1)
    world.tell(f"stopped: {[w.name for w, _ in world.crew.stopped_for]}")
    if await _ask_own(world, "TYPE", key) == b"string":
        world.tell(f"a person deletes it: {await _ask_own(world, 'DEL', key)!r}")
    await asyncio.sleep(3)
    world.crew.tend()
    world.crew.expects_stop = ""


# --- Kafka ---------------------------------------------------------------------------------------


async def _kill_broker(world: World, down_s: float) -> None:
    broker = world.draw.choice(world.servers.brokers)
    await asyncio.to_thread(broker.kill)
    world.tell(f"SIGKILL of broker {broker._node}, down for {down_s:.1f} s and its start")
    await asyncio.sleep(down_s)
    await asyncio.to_thread(broker.start)
    world.tell(f"broker {broker._node} is back")


@fault("kafka")
async def broker_killed(world: World) -> None:
    """SIGKILL of a broker, which is started again."""
    await world.crew.until_owned()
    await _kill_broker(world, world.draw.choice([0, 2, 6]))


def _register_broker_phases() -> None:
    for point in PUBLISH_PHASES:

        async def at_phase(world: World, point=point) -> None:
            await _worker_at(world, point)
            await _kill_broker(world, 0)

        fault("kafka", name=f"broker-killed-at-{point}", weight=0.4)(at_phase)


_register_broker_phases()


@fault("kafka")
async def coordinator_unavailable(world: World) -> None:
    """A broker, with the coordinators on it, is frozen for longer than the session timeout."""
    await world.crew.until_owned()
    broker = world.draw.choice(world.servers.brokers)
    world.tell(f"broker {broker._node} frozen for 7 s")
    broker.pause(signal.SIGSTOP)
    await asyncio.sleep(7)
    broker.pause(signal.SIGCONT)


@fault()
async def transaction_timeout(world: World) -> None:
    """A transaction is open for longer than it may be: the broker aborts it."""
    point = world.draw.choice([Point.PREDICTIONS_SENT, Point.OFFSET_SENT])
    worker = world.crew.start(f"{point} 4 block=5", transaction_timeout_ms=1500)
    world.tell(f"{worker.name} keeps a transaction open for 5 s, 1.5 s are allowed")
    await world.crew.until_says(worker, "fault over", 25)


@fault(trims=True, weight=3)
async def records_deleted(world: World) -> None:
    """DeleteRecords below every position, under running workers."""
    await world.crew.until_owned()
    below = {}
    for partition in range(world.log.partitions):
        position = await _ask_own(world, "HGET", world.keys(partition)[0], "position")
        if isinstance(position, bytes):
            below[partition] = max(0, int(position) - 200)
    await world.log.delete_records(below)
    world.tell(f"records deleted below {below}")


@fault(weight=0.7, alone=True)
async def group_offsets_deleted(world: World) -> None:
    """All leave, somebody deletes the group's offsets, all come back."""
    crew = world.crew
    await crew.until_owned()
    size, crew.size = crew.size, 0
    await crew.leave()
    await world.log.delete_group_offsets()
    world.tell("group offsets deleted")
    crew.size = size
    crew.tend()


# --- the network ---------------------------------------------------------------------------------


@fault("redis", "proxy")
async def reply_cut(world: World) -> None:
    """Connections to Redis are reset in the middle of a reply, again and again."""
    await world.crew.until_owned()
    proxy = world.servers.redis_proxy
    before = proxy.resets
    for after in (40, 700, 3, 15_000, 200):
        proxy.reset_after = after
        await asyncio.sleep(0.8)
    proxy.reset_after = None
    world.tell(f"{proxy.resets - before} replies of Redis cut in the middle")


def _proxies(world: World, server: str) -> list:
    return [world.servers.redis_proxy] if server == "redis" else world.servers.kafka_proxies


def _register_network() -> None:
    for server in ("redis", "kafka"):

        async def cut(world: World, server=server) -> None:
            await world.crew.until_owned()
            for _ in range(3):
                world.tell(
                    f"{server}: {[p.cut() for p in _proxies(world, server)]} connections cut"
                )
                await asyncio.sleep(world.draw.uniform(0.1, 1.5))

        async def delay(world: World, server=server) -> None:
            await world.crew.until_owned()
            delay_s = world.draw.choice([0.05, 0.4, 1.2])
            world.tell(f"{server}: each packet {delay_s} s late for 6 s")
            for proxy in _proxies(world, server):
                proxy.delay_s = delay_s
            await asyncio.sleep(6)
            for proxy in _proxies(world, server):
                proxy.delay_s = 0

        async def half_close(world: World, server=server) -> None:
            await world.crew.until_owned()
            towards = world.draw.random() < 0.5
            proxies = _proxies(world, server)
            closed = [proxy.half_close(towards_server=towards) for proxy in proxies]
            side = "server" if towards else "workers"
            world.tell(f"{server}: {closed} connections half closed, towards the {side}")

        fault(server, "proxy", name=f"{server}-connections-cut")(cut)
        fault(server, "proxy", name=f"{server}-delayed")(delay)
        fault(server, "proxy", name=f"{server}-half-closed")(half_close)


_register_network()
