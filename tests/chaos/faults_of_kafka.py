"""Faults of Kafka and the network: dead brokers, deleted records, cut connections."""

import asyncio
import signal

from stream_rnn.fold.crash_points import Point
from tests.chaos.faults import World, block_worker_at, fault
from tests.chaos.faults_of_redis import ask_own
from tests.integration.quotas import set_quotas

FOREIGN_STOP_WITHIN_S = 240
PUBLISH_PHASES = (Point.BEGUN, Point.PREDICTIONS_SENT, Point.OFFSET_SENT, Point.PUBLISHED)


async def _kill_broker(world: World, down_s: float) -> None:
    broker = world.draw.choice(world.servers.brokers)
    await asyncio.to_thread(broker.kill)
    world.note(f"SIGKILL of broker {broker._node}, down for {down_s:.1f} s and its start")
    await asyncio.sleep(down_s)
    await asyncio.to_thread(broker.start)
    world.note(f"broker {broker._node} is back")


@fault("kafka")
async def broker_killed(world: World) -> None:
    """A broker is killed by SIGKILL and starts again."""
    await world.crew.wait_for_owners()
    await _kill_broker(world, world.draw.choice([0, 2, 6]))


def _register_broker_phases() -> None:
    for point in PUBLISH_PHASES:

        async def at_phase(world: World, point=point) -> None:
            await block_worker_at(world, point)
            await _kill_broker(world, 0)

        at_phase.__doc__ = (
            f"A broker is killed by SIGKILL while a worker is at the crash point {point}."
        )
        fault("kafka", name=f"broker-killed-at-{point}", weight=0.4)(at_phase)


_register_broker_phases()


@fault("kafka")
async def coordinator_unavailable(world: World) -> None:
    """A broker with its coordinators freezes for longer than the session timeout."""
    await world.crew.wait_for_owners()
    broker = world.draw.choice(world.servers.brokers)
    world.note(f"broker {broker._node} frozen for 7 s")
    broker.pause(signal.SIGSTOP)
    await asyncio.sleep(7)
    broker.pause(signal.SIGCONT)


@fault()
async def transaction_timeout(world: World) -> None:
    """A transaction stays open for longer than its timeout, so the broker aborts it."""
    point = world.draw.choice([Point.PREDICTIONS_SENT, Point.OFFSET_SENT])
    worker = world.crew.start(f"{point} 4 block=5", transaction_timeout_ms=1500)
    world.note(f"{worker.name} keeps a transaction open for 5 s; its timeout is 1.5 s")
    await world.crew.until_logged(worker, "fault over", 25)


@fault("kafka")
async def producer_quota(world: World) -> None:
    """A quota throttles every producer, so that large transactions do not end in time."""
    await world.crew.wait_for_owners()
    servers, rate = world.settings.bootstrap_servers, world.draw.choice([20_000.0, 60_000.0])
    await set_quotas(servers, producer_byte_rate=rate)
    world.note(f"producers may send {rate:.0f} bytes per second")
    await asyncio.sleep(10)
    await set_quotas(servers, producer_byte_rate=None)
    world.note("the quota is removed")


@fault(trims=True, weight=3)
async def records_deleted(world: World) -> None:
    """Records below every position are deleted (DeleteRecords) while workers run."""
    await world.crew.wait_for_owners()
    below = {}
    for partition in range(world.log.partitions):
        position = await ask_own(world, "HGET", world.keys(partition)[0], "position")
        if isinstance(position, bytes):
            below[partition] = max(0, int(position) - 200)
    await world.log.delete_records(below)
    world.note(f"records deleted below {below}")


@fault(weight=0.5)
async def message_too_large(world: World) -> None:
    """max.message.bytes of the predictions is lowered: workers stop until a person raises it."""
    crew = world.crew
    await crew.wait_for_owners()
    crew.stopped_for.clear()
    crew.expects_stop = "max.message.bytes"
    await world.log.limit_predictions(1500)
    world.note("predictions: max.message.bytes 1500")
    for _ in range(200):
        if crew.stopped_for:
            break
        await asyncio.sleep(0.1)
    await world.log.limit_predictions(1_048_588)
    world.note(f"stopped: {[w.name for w, _ in crew.stopped_for]}; a person raises it")
    await asyncio.sleep(3)
    crew.tend()
    crew.expects_stop = ""


@fault(weight=0.7, alone=True)
async def group_offsets_deleted(world: World) -> None:
    """All workers leave, the group's offsets are deleted, and all workers return."""
    crew = world.crew
    await crew.wait_for_owners()
    size, crew.size = crew.size, 0
    await crew.terminate_all()
    await world.log.delete_group_offsets()
    world.note("group offsets deleted")
    crew.size = size
    crew.tend()


async def _commit_foreign_offsets(world: World) -> None:
    """Let another consumer of the group consume and commit while no worker runs."""
    crew = world.crew
    await crew.wait_for_owners()
    crew.size = 0
    await crew.terminate_all()
    world.note(f"another consumer commits {await world.log.consume_in_the_group()}")


async def _stop_and_delete_offsets(world: World, size: int) -> None:
    """Start a worker, which must stop; delete the group's offsets, and start all workers."""
    crew = world.crew
    crew.stopped_for.clear()
    crew.expects_stop = "was not written by stream_rnn"
    async with asyncio.timeout(FOREIGN_STOP_WITHIN_S):
        while not crew.stopped_for:
            if not crew.working:  # the first one, or one that a slow server has ended with 4
                crew.start()
            await asyncio.sleep(0.1)
    worker, _ = crew.stopped_for[0]
    assert worker.has_logged(r"delete the group offset \(kafka-consumer-groups --delete-offsets\)")
    await world.log.delete_group_offsets()
    world.note(f"{worker.name} stopped; a person deletes the group offsets")
    crew.expects_stop = ""
    crew.size = size
    crew.tend()


@fault("group", weight=0.5, alone=True)
async def foreign_offsets(world: World) -> None:
    """Another consumer of the group commits offsets while no worker runs; a person deletes them."""
    size = world.crew.size
    await _commit_foreign_offsets(world)
    await _stop_and_delete_offsets(world, size)


@fault("group", "keys", loses_redis=True, weight=0.5, alone=True)
async def foreign_offsets_without_states(world: World) -> None:
    """The same, and Redis loses all hidden states and positions in the meantime."""
    size = world.crew.size
    await _commit_foreign_offsets(world)
    for partition in range(world.log.partitions):
        keys = world.keys(partition)
        world.note(f"UNLINK {keys} {[await ask_own(world, 'UNLINK', key) for key in keys]}")
    await _stop_and_delete_offsets(world, size)


# --- the network ---------------------------------------------------------------------------------


@fault("redis", "proxy")
async def reply_cut(world: World) -> None:
    """Connections to Redis are repeatedly reset in the middle of a reply."""
    await world.crew.wait_for_owners()
    proxy = world.servers.redis_proxy
    before = proxy.resets
    for after in (40, 700, 3, 15_000, 200):
        proxy.reset_after = after
        await asyncio.sleep(0.8)
    proxy.reset_after = None
    world.note(f"{proxy.resets - before} replies of Redis were cut in the middle")


def _proxies(world: World, server: str) -> list:
    return [world.servers.redis_proxy] if server == "redis" else world.servers.kafka_proxies


def _register_network() -> None:
    for server in ("redis", "kafka"):

        async def cut(world: World, server=server) -> None:
            await world.crew.wait_for_owners()
            for _ in range(3):
                world.note(
                    f"{server}: {[p.cut() for p in _proxies(world, server)]} connections cut"
                )
                await asyncio.sleep(world.draw.uniform(0.1, 1.5))

        async def delay(world: World, server=server) -> None:
            await world.crew.wait_for_owners()
            delay_s = world.draw.choice([0.05, 0.4, 1.2])
            world.note(f"{server}: each packet {delay_s} s late for 6 s")
            for proxy in _proxies(world, server):
                proxy.delay_s = delay_s
            await asyncio.sleep(6)
            for proxy in _proxies(world, server):
                proxy.delay_s = 0

        async def half_close(world: World, server=server) -> None:
            await world.crew.wait_for_owners()
            towards = world.draw.random() < 0.5
            proxies = _proxies(world, server)
            closed = [proxy.half_close(towards_server=towards) for proxy in proxies]
            side = "server" if towards else "workers"
            world.note(f"{server}: {closed} connections half closed, towards the {side}")

        what = server.capitalize()
        cut.__doc__ = f"Every connection to {what} is reset, three times."
        delay.__doc__ = f"Each packet from and to {what} is delayed, for six seconds."
        half_close.__doc__ = f"One side of every connection to {what} is half closed."
        fault(server, "proxy", name=f"{server}-connections-cut")(cut)
        fault(server, "proxy", name=f"{server}-delayed")(delay)
        fault(server, "proxy", name=f"{server}-half-closed")(half_close)


_register_network()
