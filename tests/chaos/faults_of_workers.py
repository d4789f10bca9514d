"""Faults of workers and of the group: workers die, freeze, join and leave, or are slow."""

import asyncio
import signal
from pathlib import Path

from stream_rnn.fold.crash_points import Point
from tests.chaos.faults import World, fault

BEYOND_S = 2.5  # more than the session timeout, so that the group reassigns the partitions
JUMPING = (str(Path(__file__).with_name("jumping_clock.py")),)


@fault(weight=2)
async def kill(world: World) -> None:
    """A worker is killed by SIGKILL."""
    worker = await world.crew.choose_victim()
    world.note(f"SIGKILL {worker.name} partitions={worker.partitions()}")
    await world.crew.kill(worker)


@fault(weight=2)
async def terminate(world: World) -> None:
    """A worker receives SIGTERM: it finishes its micro-batch and hands over its partitions."""
    worker = await world.crew.choose_victim()
    world.note(f"SIGTERM {worker.name} partitions={worker.partitions()}")
    await world.crew.terminate(worker)


async def _freeze(world: World, worker, seconds: float) -> None:
    world.note(f"SIGSTOP {worker.name} partitions={worker.partitions()} for {seconds:g} s")
    if not world.crew.stop_tending(worker):
        return  # the worker has ended already
    worker.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        worker.signal(signal.SIGCONT)
        if not worker.is_leaving:  # unless another fault has ended it meanwhile
            world.crew.working.append(worker)
    world.note(f"SIGCONT {worker.name}")


@fault(weight=2)
async def zombie_with_a_warm_cache(world: World) -> None:
    """A worker freezes until the group has reassigned its partitions, and then continues."""
    await _freeze(world, await world.crew.choose_victim(), world.crew.session_timeout_s + BEYOND_S)


@fault()
async def zombie_with_a_cold_cache(world: World) -> None:
    """A worker that reads every hidden state from Redis freezes, and then continues."""
    worker = world.crew.start(cache_bytes_max=0)
    await world.crew.until_logged(worker, "starting partition", 20)
    await _freeze(world, worker, world.crew.session_timeout_s + BEYOND_S)


@fault()
async def frozen_before_it_fences(world: World) -> None:
    """A worker freezes before it fences the previous owner, until its partition is reassigned."""
    worker = world.crew.start(f"{Point.CONNECTED} 1 block=1")
    reached = await world.crew.until_logged(worker, "fault injected", 20)
    world.note(f"{worker.name} is about to fence: {reached}")
    await _freeze(world, worker, world.crew.session_timeout_s + BEYOND_S)


@fault()
async def short_freeze(world: World) -> None:
    """A worker freezes for less than the session timeout, so the group does not notice."""
    await _freeze(world, await world.crew.choose_victim(), 2)


@fault(weight=4)
async def crash_at_a_point(world: World) -> None:
    """A worker crashes when it reaches a random crash point for the n-th time."""
    point = world.draw.choice(list(Point))
    passes = world.draw.choice([1, 1, 2, 5, 20])
    worker = world.crew.start(f"{point} {passes} exit")
    crashed = await world.crew.until_logged(worker, "fault injected", 15)
    world.note(f"crash of {worker.name} at {point}, pass {passes}: {crashed}")


@fault()
async def slow_step(world: World) -> None:
    """Some steps block the event loop for a second or more."""
    worker = world.crew.start(
        "stepped 3 block=1.5,stepped 5 block=1,stepped 8 block=3,decoded 9 block=1"
    )
    world.note(f"slow step in {worker.name}")
    await world.crew.until_logged(worker, "fault over point=stepped", 15)


@fault()
async def step_beyond_the_session_timeout(world: World) -> None:
    """A step takes longer than the session timeout, while a thread of its own sends heartbeats."""
    seconds = world.crew.session_timeout_s + 2
    worker = world.crew.start(f"stepped 4 block={seconds}")
    world.note(f"a step of {seconds:g} s in {worker.name}")
    await world.crew.until_logged(worker, "fault over", 20 + seconds)


@fault()
async def slow_to_revoke(world: World) -> None:
    """A worker joins while another one is in the middle of a micro-batch for seconds."""
    worker = world.crew.start("published 4 block=4")
    if await world.crew.until_logged(worker, "fault injected", 15):
        world.crew.start()
    world.note(f"{worker.name} is slow to revoke while another one joins")
    await asyncio.sleep(4)
    await world.crew.terminate(worker)


@fault(weight=0.5)
async def log_on_a_full_disk(world: World) -> None:
    """A worker cannot write to its log, because the disk is full."""
    await world.crew.choose_victim()
    worker = world.crew.start(is_mute=True)
    world.note(f"the log of {worker.name} goes to a full disk")
    await asyncio.sleep(8)
    await world.crew.kill(worker)


@fault()
async def clock_that_jumps(world: World) -> None:
    """The wall clock of a worker jumps back and forth by hours."""
    worker = world.crew.start(program=JUMPING)
    world.note(f"the clock of {worker.name} jumps")
    await world.crew.until_logged(worker, "starting partition", 20)
    await asyncio.sleep(3)


@fault(weight=0.7, loses_redis=True)  # the other fold begins at the log start
async def two_folds_in_a_rolling_deploy(world: World) -> None:
    """A worker with another bundle joins the group and leaves it; both folds must stay correct."""
    worker = world.crew.start(bundle=world.other_bundle)
    world.note(f"{worker.name} has another bundle")
    await world.crew.until_logged(worker, "starting partition", 20)
    await asyncio.sleep(world.draw.uniform(1, 6))
    await world.crew.kill(worker) if world.draw.random() < 0.5 else await world.crew.terminate(
        worker
    )


# --- the group -----------------------------------------------------------------------------------


@fault("group")
async def join(world: World) -> None:
    """A worker joins, and leaves again after some seconds."""
    worker = world.crew.start()
    world.note(f"{worker.name} joins")
    await world.crew.until_logged(worker, "fold ready", 20)
    await asyncio.sleep(world.draw.uniform(0, 4))
    if worker in world.crew.working:
        await world.crew.terminate(worker)
    world.note(f"{worker.name} has left")


@fault("group")
async def churn(world: World) -> None:
    """Three workers join and leave in quick succession."""
    for _ in range(3):
        worker = world.crew.start()
        await world.crew.until_logged(worker, "fold ready", 20)
        await asyncio.sleep(world.draw.uniform(0, 1.5))
        victim = world.draw.choice([worker, await world.crew.choose_victim()])
        await world.crew.terminate(victim)
    world.note("three joined and left")


@fault("group")
async def all_at_once(world: World) -> None:
    """All workers are killed by SIGKILL at once."""
    await world.crew.wait_for_owners()
    world.note(f"SIGKILL of all workers: {len(world.crew.working)}")
    await asyncio.gather(*(world.crew.kill(worker) for worker in list(world.crew.working)))


@fault("group")
async def standby_takes_over(world: World) -> None:
    """An owner dies, and an idle worker takes over: there are more workers than partitions."""
    crew = world.crew
    while len(crew.working) < 5:
        crew.start()
    await crew.wait_until_ready()
    victim = await crew.choose_victim()
    world.note(f"{len(crew.working)} workers, SIGKILL {victim.name} {victim.partitions()}")
    await crew.kill(victim)
    await asyncio.sleep(world.crew.session_timeout_s + 3)
    spare = [w for w in crew.working if w.is_alive][crew.size :]
    for worker in spare:
        await crew.terminate(worker)


@fault("group")
async def partition_comes_back(world: World) -> None:
    """A worker joins and is killed, so its partitions return to their previous owner."""
    worker = world.crew.start()
    await world.crew.until_logged(worker, "starting partition", 20)
    world.note(f"{worker.name} takes partitions and dies")
    await world.crew.kill(worker)


@fault("group")
async def rebalance_during_recovery(world: World) -> None:
    """A worker joins while another one is still in recovery."""
    point = world.draw.choice([Point.STATE_READ, Point.GROUP_OFFSET_READ, Point.POSITIONED])
    worker = world.crew.start(f"{point} 1 block=3,{point} 2 block=2")
    await world.crew.until_logged(worker, "fault injected", 20)
    other = world.crew.start()
    world.note(f"{other.name} joins while {worker.name} is at {point}")
    await world.crew.until_logged(other, "starting partition", 20)
    await world.crew.terminate(worker)


@fault("redis")
async def rebalance_without_redis(world: World) -> None:
    """A worker dies while Redis is down, and another one takes over before Redis is back."""
    victim = await world.crew.choose_victim()
    await world.servers.stop_redis("kept")
    world.note(f"Redis stopped, SIGKILL {victim.name}")
    await world.crew.kill(victim)
    await asyncio.sleep(world.crew.session_timeout_s + 3)
    await world.servers.start_redis()
    world.note("Redis is back")
