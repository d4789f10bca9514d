"""Faults of a Redis Cluster: slots move, and primaries fail over."""

import asyncio
import os
import signal

from tests.chaos.faults import World, fault
from tests.integration.redis_kinds import PRIMARIES, until

MOVES = (2, 5)
WAYS = ("killed", "frozen", "requested")


async def _slot(world: World) -> int:
    """Return the slot of a partition that a worker owns."""
    await world.crew.wait_for_owners()
    key = world.keys(world.partition())[0]
    return await world.servers.cluster.nodes[0].do("CLUSTER", "KEYSLOT", key)


async def _primaries(cluster) -> list[int]:
    roles = [(await node.redis.info("replication"))["role"] for node in cluster.nodes]
    primaries = [number for number, role in enumerate(roles) if role == "master"]
    assert len(primaries) == PRIMARIES, roles
    return primaries


@fault("cluster")
async def slot_moves_back_and_forth(world: World) -> None:
    """A slot moves key by key between primaries while workers use it, and ends where it began."""
    cluster, slot = world.servers.cluster, await _slot(world)
    first = at = await cluster.owner(slot)
    others = [number for number in await _primaries(cluster) if number != first]
    path = [world.draw.choice(others) for _ in range(world.draw.randint(*MOVES))]
    for target in (*path, first):
        if target != at:
            pause_s = world.draw.choice([0, 0.1, 0.7])
            keys = await cluster.migrate(slot, at, target, pause_s)
            world.note(f"slot {slot} moved from node {at} to {target}, {keys} keys")
            at = target


@fault("cluster", loses_redis=True)
async def cluster_primary_fails_over(world: World) -> None:
    """A primary dies, hangs or hands over on request, and its replica takes over its slots."""
    cluster, slot = world.servers.cluster, await _slot(world)
    old = await cluster.owner(slot)
    new = await cluster.replica(old)
    node, way = cluster.nodes[old], world.draw.choice(WAYS)
    world.note(f"primary {old} {way}; replica {new} should take its slots")
    process = node.server._process.pid
    if way == "killed":
        await asyncio.to_thread(node.server.kill)
    elif way == "frozen":
        os.kill(process, signal.SIGSTOP)
    else:
        await cluster.nodes[new].do("CLUSTER", "FAILOVER")
    try:

        async def is_promoted() -> bool:
            return await cluster.owner(slot, asked=new) == new

        await until(is_promoted, f"promotion of node {new}")
        world.note(f"node {new} took over from {old}")
        await asyncio.sleep(world.draw.choice([0, 2]))
    finally:
        if way == "killed":
            await asyncio.to_thread(node.server.start)
        elif way == "frozen":
            os.kill(process, signal.SIGCONT)
    await cluster.until_whole()
