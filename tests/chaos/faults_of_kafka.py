"""Brokers that die, offsets and records that somebody deletes, and a network that cuts."""

import asyncio
import signal

from stream_rnn.fold.crash_points import Point
from tests.chaos.faults import World, fault, worker_at
from tests.chaos.faults_of_redis import ask_own

PUBLISH_PHASES = (Point.BEGUN, Point.PREDICTIONS_SENT, Point.OFFSET_SENT, Point.PUBLISHED)


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
            await worker_at(world, point)
            await _kill_broker(world, 0)

        at_phase.__doc__ = f"SIGKILL of a broker while a worker is where {point} is passed."
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
        position = await ask_own(world, "HGET", world.keys(partition)[0], "position")
        if isinstance(position, bytes):
            below[partition] = max(0, int(position) - 200)
    await world.log.delete_records(below)
    world.tell(f"records deleted below {below}")


@fault(weight=0.5)
async def message_too_large(world: World) -> None:
    """Somebody lowers max.message.bytes of the predictions: workers stop, a person raises it."""
    crew = world.crew
    await crew.until_owned()
    crew.stopped_for.clear()
    crew.expects_stop = "max.message.bytes"
    await world.log.limit_predictions(1500)
    world.tell("predictions: max.message.bytes 1500")
    for _ in range(200):
        if crew.stopped_for:
            break
        await asyncio.sleep(0.1)
    await world.log.limit_predictions(1_048_588)
    world.tell(f"stopped: {[w.name for w, _ in crew.stopped_for]}; a person raises it")
    await asyncio.sleep(3)
    crew.tend()
    crew.expects_stop = ""


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

        what = server.capitalize()
        cut.__doc__ = f"Every connection to {what} is reset, three times."
        delay.__doc__ = f"Each packet from and to {what} is late for seconds."
        half_close.__doc__ = f"One side of every connection to {what} says that it sends no more."
        fault(server, "proxy", name=f"{server}-connections-cut")(cut)
        fault(server, "proxy", name=f"{server}-delayed")(delay)
        fault(server, "proxy", name=f"{server}-half-closed")(half_close)


_register_network()
