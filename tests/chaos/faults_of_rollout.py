"""Faults of a roll-out: at each of its stages, to its plan, to its bundles, and in its cut-overs."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from stream_rnn.fold.crash_points import Point
from stream_rnn.model.bundle import load_bundle
from stream_rnn.rollout.bundles import read_bundle_bytes
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.store.connection import connect_redis
from tests.chaos.crew import Worker
from tests.chaos.faults import World, fault
from tests.chaos.faults_of_kafka import _kill_broker
from tests.chaos.faults_of_redis import ask_own
from tests.chaos.faults_of_workers import BEYOND_S, _freeze
from tests.chaos.rollout import STAGES, STOPPED

PROGRAM = str(Path(__file__).with_name("rollout_worker.py"))
TRIES = 3
STAGE_WITHIN_S = 100  # a promote waits for a candidate that has to fold the log again
REACHED_WITHIN_S = 60
ATTEMPTS_WITHIN_S = 100  # another fault may end the worker first
TOOL_WITHIN_S = 60  # for each verb
IN_A_CUT_OVER = (
    Point.PAUSED, Point.BEGUN, Point.OFFSET_SENT, Point.CUT_OVER, Point.DECODED, Point.STEPPED,
    Point.PUBLISHED, Point.COMMITTED,
)  # fmt: skip
OF_A_CANDIDATE = (
    Point.POSITIONED, Point.FIRST_POSITION_WRITTEN, Point.DECODED, Point.LOADED, Point.STEPPED,
    Point.COMMITTED,
)  # fmt: skip
OF_THE_PLAN = ("read", "get_bundle", "has_bundle", "put_report")
BROKER_POINTS = (Point.PAUSED, Point.BEGUN, Point.OFFSET_SENT, Point.CUT_OVER)
DIRECTIONS = ("promote", "back")


async def _at_stage(world: World, stage: str) -> bool:
    """Wait for a random moment of a stage, in the end for any; return whether it came."""
    person, deadline = world.rollout, time.monotonic() + STAGE_WITHIN_S
    for delay in (*world.draw.sample([0, 0.1, 0.5, 1], 2), 0):
        reached = await person.reach(stage, deadline - time.monotonic())
        await asyncio.sleep(delay if reached else 0)
        if person.stage == stage:
            world.note(f"while {stage}, after {delay} s")
            return True
    world.note(f"never while {stage}")
    return False


def _register_stages() -> None:
    for stage in STAGES:

        async def killed(world: World, stage=stage) -> bool:
            await world.crew.wait_for_owners()
            reached = await _at_stage(world, stage)
            worker = await world.crew.choose_victim()
            world.note(f"SIGKILL {worker.name} partitions={worker.partitions()}")
            await world.crew.kill(worker)
            return reached

        async def emptied(world: World, stage=stage) -> bool:
            await world.crew.wait_for_owners()
            reached = await _at_stage(world, stage)
            world.note(f"FLUSHALL {world.servers.ask_redis('FLUSHALL')!r}")
            return reached

        async def frozen(world: World, stage=stage) -> bool:
            await world.crew.wait_for_owners()
            reached = await _at_stage(world, stage)
            worker = await world.crew.choose_victim()
            await _freeze(world, worker, world.crew.session_timeout_s + BEYOND_S)
            return reached

        async def rebalanced(world: World, stage=stage) -> bool:
            await world.crew.wait_for_owners()
            worker = world.crew.start()
            await world.crew.until_logged(worker, "fold ready", 20)
            reached = await _at_stage(world, stage)
            world.note(f"{worker.name} joins")
            await world.crew.until_logged(worker, "starting partition", 20)
            await world.crew.terminate(worker)
            return reached

        name = stage.replace(" ", "-")
        killed.__doc__ = f"A worker is killed by SIGKILL while the roll-out is {stage}."
        emptied.__doc__ = f"Redis loses all data while the roll-out is {stage}."
        frozen.__doc__ = f"A worker with both folds freezes while the roll-out is {stage}, until the group has reassigned its partitions."
        rebalanced.__doc__ = f"A worker joins and leaves while the roll-out is {stage}."
        fault("rollout", name=f"killed-while-{name}")(killed)
        fault("rollout", "redis", name=f"redis-emptied-while-{name}", loses_redis=True)(emptied)
        fault("rollout", name=f"zombie-while-{name}")(frozen)
        fault("rollout", "group", name=f"rebalance-while-{name}")(rebalanced)


_register_stages()


async def _inject_into_owner(world: World, role: str, injected: str) -> Worker | None:
    """Let a worker take another one's place; return it once it has reached its crash point."""
    crew, deadline = world.crew, time.monotonic() + ATTEMPTS_WITHIN_S
    while time.monotonic() < deadline:
        await crew.wait_for_owners()
        worker = crew.start(injected, program=(PROGRAM, role))
        crew.size -= 1  # so that the worker gets partitions
        try:
            await crew.kill(await crew.choose_victim())
            if role == "candidate" and await crew.until_logged(worker, "fold ready", 20):
                await world.rollout.reach("warming", 0)  # where a first position is written
            reached = await crew.until_logged(worker, "fault injected", REACHED_WITHIN_S)
        finally:
            crew.size += 1
        world.note(f"{worker.name} at {injected} of {role}: {reached}")
        if reached:
            return worker
        await crew.kill(worker)
    return None


@fault("rollout", weight=3)
async def crash_in_a_cut_over(world: World) -> bool:
    """A worker crashes at a crash point of a promote, or of the way back."""
    injected = f"{world.draw.choice(IN_A_CUT_OVER)} 1 exit"
    return bool(await _inject_into_owner(world, world.draw.choice(DIRECTIONS), injected))


@fault("rollout")
async def crash_in_a_candidate(world: World) -> bool:
    """A worker crashes at a crash point of the fold that is not in charge."""
    injected = f"{world.draw.choice(OF_A_CANDIDATE)} {world.draw.choice([1, 1, 5])} exit"
    return bool(await _inject_into_owner(world, "candidate", injected))


@fault("rollout")
async def crash_at_the_plan(world: World) -> bool:
    """A worker crashes after it has read the plan, loaded a bundle, or reported."""
    return bool(await _inject_into_owner(world, f"plan:{world.draw.choice(OF_THE_PLAN)}", ""))


@fault("rollout")
async def tool_that_dies(world: World) -> bool:
    """The tool of the person dies after some calls of Redis, at each verb."""
    died = [
        await world.rollout.let_die(verb, world.draw.randint(1, 6), TOOL_WITHIN_S)
        for verb in ("finish", "start", "promote")
    ]
    return all(died)


# --- the plan and the bundles ----------------------------------------------------------------------


def _plans(world: World, redis) -> RedisPlanStore:
    return RedisPlanStore(redis, world.settings.of_fold())


def _bundle_keys(world: World) -> list[str]:
    tag = f"{{{world.settings.app}:{world.settings.source}}}:bundle:"
    return [tag + load_bundle(bundle).fingerprint for bundle in world.rollout.bundles]


async def _until_kept(world: World, keys: Sequence[str]) -> None:
    """Wait until a roll-out has written keys, from which workers may stop."""
    world.crew.may_stop = STOPPED
    deadline = time.monotonic() + STAGE_WITHIN_S
    while not all([await ask_own(world, "EXISTS", key) for key in keys]):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)


async def _delete(world: World, *keys: str) -> bool:
    """Delete keys, once a roll-out goes on; return whether each of them was there."""
    await _until_kept(world, keys)
    counts = [await ask_own(world, "UNLINK", key) for key in keys]
    world.note(f"UNLINK {keys} {counts}")
    return all(count == 1 for count in counts)


def _plan_key(world: World) -> str:
    return f"{{{world.settings.app}:{world.settings.source}}}:rollout"


@fault("rollout", "keys")
async def plan_lost(world: World) -> bool:
    """The plan of the roll-out is deleted, and nothing else."""
    await world.crew.wait_for_owners()
    return await _delete(world, _plan_key(world))


@fault("rollout", "keys")
async def plan_lost_with_an_owner(world: World) -> bool:
    """The plan of the roll-out is deleted, and a worker dies directly afterwards."""
    await world.crew.wait_for_owners()
    was_there = await _delete(world, _plan_key(world))
    await world.crew.kill(await world.crew.choose_victim())
    return was_there


@fault("rollout", "keys")
async def bundles_lost(world: World) -> bool:
    """Both bundles are deleted from Redis, and a worker dies."""
    await world.crew.wait_for_owners()
    was_there = await _delete(world, *_bundle_keys(world))
    await world.crew.kill(await world.crew.choose_victim())
    return was_there


@fault("rollout", "keys", weight=0.7)
async def plan_and_bundles_lost(world: World) -> bool:
    """The plan and both bundles are deleted, and all workers die."""
    await world.crew.wait_for_owners()
    was_there = await _delete(world, _plan_key(world), *_bundle_keys(world))
    await asyncio.gather(*(world.crew.kill(worker) for worker in list(world.crew.working)))
    return was_there


async def _put_new_bundle(world: World) -> None:
    redis = connect_redis(world.servers.redis_url, 5)
    try:
        model, bundle = read_bundle_bytes(world.rollout.bundles[1])
        await _plans(world, redis).put_bundle(model.fingerprint, bundle)
    finally:
        await redis.aclose()
    world.note("the new bundle is in Redis again")


async def _refuse_until_it_is_there_again(world: World) -> bool:
    """Start a worker that cannot load the new bundle, and put the bundle there later."""
    worker = world.crew.start()
    refused = await world.crew.until_logged(worker, "cannot run fold", 20)
    world.note(f"{worker.name} cannot load the new bundle: {refused}")
    await asyncio.sleep(world.draw.uniform(0, 3))
    await _put_new_bundle(world)
    if worker in world.crew.working:
        await world.crew.terminate(worker)
    return refused


@fault("rollout", "keys")
async def worker_without_the_bundle(world: World) -> bool:
    """A worker finds no bundle of the candidate in Redis, until somebody puts it there again."""
    await world.crew.wait_for_owners()
    for _ in range(TRIES):
        await _delete(world, _bundle_keys(world)[1])
        if await _refuse_until_it_is_there_again(world):
            return True
    return False


@fault("rollout", "keys")
async def bundle_that_fails_to_load(world: World) -> bool:
    """A worker finds a torn bundle of the candidate in Redis, until somebody puts it there again."""
    await world.crew.wait_for_owners()
    key = _bundle_keys(world)[1]
    for _ in range(TRIES):  # a roll-out that starts again meanwhile brings the whole bundle
        await _until_kept(world, [_plan_key(world), key])
        torn = await ask_own(world, "HSET", key, "tensors", b"\x08" + b"\0" * 63)
        world.note(f"HSET {key} tensors {torn!r}")
        if await _refuse_until_it_is_there_again(world):
            return True
    return False


@fault("rollout", trims=True, weight=3)
async def retention_overtakes_the_candidate(world: World) -> bool:
    """Records below the group offset are deleted while the candidate has still to fold them."""
    await world.crew.wait_for_owners()
    if not await world.rollout.reach("warming", STAGE_WITHIN_S):
        return False
    below = {
        partition: max(0, offset - world.draw.choice([0, 50]))
        for partition, offset in (await world.log.group_offsets()).items()
    }
    await world.log.delete_records(below)
    world.note(f"records deleted below {below}")
    return any(below.values())


# --- Kafka -----------------------------------------------------------------------------------------


def _register_broker_points() -> None:
    for point in BROKER_POINTS:

        async def at_point(world: World, point=point) -> bool:
            role = world.draw.choice(DIRECTIONS)
            worker = await _inject_into_owner(world, role, f"{point} 1 block=3")
            await _kill_broker(world, 0)
            return worker is not None

        at_point.__doc__ = (
            f"A broker is killed by SIGKILL while a worker is at {point} of a cut-over."
        )
        fault("rollout", "kafka", name=f"broker-killed-in-a-cut-over-at-{point}", weight=0.7)(
            at_point
        )


_register_broker_points()
