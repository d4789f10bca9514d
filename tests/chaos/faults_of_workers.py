"""Workers that die, freeze, are slow, and come and go; groups that rebalance at bad moments."""

import asyncio
import signal
from pathlib import Path

from stream_rnn.fold.crash_points import Point
from tests.chaos.faults import World, fault

BEYOND_S = 2.5  # the session timeout: the group gives the partitions away
JUMPING = (str(Path(__file__).with_name("jumping_clock.py")),)


@fault(weight=2)
async def kill(world: World) -> None:
    """SIGKILL."""
    worker = await world.crew.victim()
    world.tell(f"SIGKILL {worker.name} partitions={worker.partitions()}")
    await world.crew.kill(worker)


@fault(weight=2)
async def terminate(world: World) -> None:
    """SIGTERM: the batch in hand is finished, the partitions are given back."""
    worker = await world.crew.victim()
    world.tell(f"SIGTERM {worker.name} partitions={worker.partitions()}")
    await world.crew.terminate(worker)


async def _freeze(world: World, worker, seconds: float) -> None:
    world.tell(f"SIGSTOP {worker.name} partitions={worker.partitions()} for {seconds:g} s")
    if not world.crew.take(worker):
        return  # it is gone already; another one takes its place
    worker.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        worker.signal(signal.SIGCONT)
        if not worker.is_leaving:  # another fault may have ended it meanwhile
            world.crew.working.append(worker)
    world.tell(f"SIGCONT {worker.name}")


@fault(weight=2)
async def zombie_with_a_warm_cache(world: World) -> None:
    """Frozen until the group has given its partitions away, then it goes on as if nothing was."""
    await _freeze(world, await world.crew.victim(), world.crew.session_timeout_s + BEYOND_S)


@fault()
async def zombie_with_a_cold_cache(world: World) -> None:
    """The same with a worker that reads every hidden state from Redis."""
    worker = world.crew.start(cache_bytes_max=0)
    await world.crew.until_says(worker, "starting partition", 20)
    await _freeze(world, worker, world.crew.session_timeout_s + BEYOND_S)


@fault()
async def frozen_before_it_fences(world: World) -> None:
    """Frozen where it is about to fence the last owner, until the group has given its partition away."""
    worker = world.crew.start(f"{Point.CONNECTED} 1 block=1")
    reached = await world.crew.until_says(worker, "fault injected", 20)
    world.tell(f"{worker.name} is about to fence: {reached}")
    await _freeze(world, worker, world.crew.session_timeout_s + BEYOND_S)


@fault()
async def short_freeze(world: World) -> None:
    """Frozen for less than the session timeout: the group does not notice."""
    await _freeze(world, await world.crew.victim(), 2)


@fault(weight=4)
async def crash_at_a_point(world: World) -> None:
    """The process ends at a drawn point, the n-th time that it passes it."""
    point = world.draw.choice(list(Point))
    passes = world.draw.choice([1, 1, 2, 5, 20])
    worker = world.crew.start(f"{point} {passes} exit")
    crashed = await world.crew.until_says(worker, "fault injected", 15)
    world.tell(f"crash of {worker.name} at {point}, pass {passes}: {crashed}")


@fault()
async def slow_step(world: World) -> None:
    """Some steps take a second and more; the loop stands still meanwhile."""
    worker = world.crew.start(
        "stepped 3 block=1.5,stepped 5 block=1,stepped 8 block=3,decoded 9 block=1"
    )
    world.tell(f"slow step in {worker.name}")
    await world.crew.until_says(worker, "fault over point=stepped", 15)


@fault()
async def step_beyond_the_session_timeout(world: World) -> None:
    """A step takes longer than the session timeout; heartbeats go on from their own thread."""
    seconds = world.crew.session_timeout_s + 2
    worker = world.crew.start(f"stepped 4 block={seconds}")
    world.tell(f"a step of {seconds:g} s in {worker.name}")
    await world.crew.until_says(worker, "fault over", 20 + seconds)


@fault()
async def slow_to_revoke(world: World) -> None:
    """A member is in the middle of a micro-batch for seconds while another one joins."""
    worker = world.crew.start("published 4 block=4")
    if await world.crew.until_says(worker, "fault injected", 15):
        world.crew.start()
    world.tell(f"{worker.name} is slow to revoke, another one joins")
    await asyncio.sleep(4)
    await world.crew.terminate(worker)


@fault(weight=0.5)
async def log_on_a_full_disk(world: World) -> None:
    """A worker cannot write one line of its log."""
    await world.crew.victim()
    worker = world.crew.start(is_mute=True)
    world.tell(f"the log of {worker.name} goes to a full disk")
    await asyncio.sleep(8)
    await world.crew.kill(worker)


@fault()
async def clock_that_jumps(world: World) -> None:
    """The wall clock of a worker jumps by hours, back and forth."""
    worker = world.crew.start(program=JUMPING)
    world.tell(f"the clock of {worker.name} jumps")
    await world.crew.until_says(worker, "starting partition", 20)
    await asyncio.sleep(3)


@fault(weight=0.7, loses_redis=True)  # the other fold begins at the log start
async def two_folds_in_a_rolling_deploy(world: World) -> None:
    """A worker with another bundle joins the group, and goes again: both folds must be right."""
    worker = world.crew.start(bundle=world.other_bundle)
    world.tell(f"{worker.name} has another bundle")
    await world.crew.until_says(worker, "starting partition", 20)
    await asyncio.sleep(world.draw.uniform(1, 6))
    await world.crew.kill(worker) if world.draw.random() < 0.5 else await world.crew.terminate(
        worker
    )


# --- the group -----------------------------------------------------------------------------------


@fault("group")
async def join(world: World) -> None:
    """One more worker joins for a while, and leaves."""
    worker = world.crew.start()
    world.tell(f"{worker.name} joins")
    await world.crew.until_says(worker, "fold ready", 20)
    await asyncio.sleep(world.draw.uniform(0, 4))
    if worker in world.crew.working:
        await world.crew.terminate(worker)
    world.tell(f"{worker.name} has left")


@fault("group")
async def churn(world: World) -> None:
    """Workers join and leave all the time."""
    for _ in range(3):
        worker = world.crew.start()
        await world.crew.until_says(worker, "fold ready", 20)
        await asyncio.sleep(world.draw.uniform(0, 1.5))
        victim = world.draw.choice([worker, await world.crew.victim()])
        await world.crew.terminate(victim)
    world.tell("three joined and left")


@fault("group")
async def all_at_once(world: World) -> None:
    """SIGKILL of every worker."""
    await world.crew.until_owned()
    world.tell(f"SIGKILL of all {len(world.crew.working)}")
    await asyncio.gather(*(world.crew.kill(worker) for worker in list(world.crew.working)))


@fault("group")
async def standby_takes_over(world: World) -> None:
    """More workers than partitions; an owner dies and an idle one takes its partition."""
    crew = world.crew
    while len(crew.working) < 5:
        crew.start()
    await crew.until_ready()
    victim = await crew.victim()
    world.tell(f"{len(crew.working)} workers, SIGKILL {victim.name} {victim.partitions()}")
    await crew.kill(victim)
    await asyncio.sleep(world.crew.session_timeout_s + 3)
    spare = [w for w in crew.working if w.is_alive][crew.size :]
    for worker in spare:
        await crew.terminate(worker)


@fault("group")
async def partition_comes_back(world: World) -> None:
    """A worker joins and is killed: the partitions come back to the process that had them."""
    worker = world.crew.start()
    await world.crew.until_says(worker, "starting partition", 20)
    world.tell(f"{worker.name} takes partitions and dies")
    await world.crew.kill(worker)


@fault("group")
async def rebalance_during_recovery(world: World) -> None:
    """A worker is still looking where to start when the next one joins."""
    point = world.draw.choice([Point.STATE_READ, Point.GROUP_OFFSET_READ, Point.POSITIONED])
    worker = world.crew.start(f"{point} 1 block=3,{point} 2 block=2")
    await world.crew.until_says(worker, "fault injected", 20)
    other = world.crew.start()
    world.tell(f"{other.name} joins while {worker.name} is at {point}")
    await world.crew.until_says(other, "starting partition", 20)
    await world.crew.terminate(worker)


@fault("redis")
async def rebalance_without_redis(world: World) -> None:
    """A worker dies while Redis is down, and another one takes over before it is back."""
    victim = await world.crew.victim()
    await world.servers.stop_redis("kept")
    world.tell(f"Redis stopped, SIGKILL {victim.name}")
    await world.crew.kill(victim)
    await asyncio.sleep(world.crew.session_timeout_s + 3)
    await world.servers.start_redis()
    world.tell("Redis is back")
