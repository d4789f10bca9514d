"""Faults of the schema registry, at the moment when producers begin to write with a new schema."""

import asyncio

from tests.chaos.faults import World, fault

RETRY_S, TIMEOUT_S = 10, 2
"""Settings of the workers; some faults are longer, so that workers exit and are replaced."""


@fault("registry")
async def registry_down(world: World) -> None:
    """The registry is down when records with a new schema come."""
    await world.crew.wait_for_owners()
    await asyncio.to_thread(world.servers.registry.stop)
    schema_id = world.servers.writers.renew()
    down_s = world.draw.choice([0.5, 4, RETRY_S + 5])
    world.note(f"the registry is down for {down_s} s, records have schema {schema_id}")
    await asyncio.sleep(down_s)
    await asyncio.to_thread(world.servers.registry.start)


@fault("registry")
async def registry_slow(world: World) -> None:
    """The registry answers late, or only after the deadline of an answer, when a new schema comes."""
    await world.crew.wait_for_owners()
    registry = world.servers.registry
    registry.delay_s = world.draw.choice([0.5, TIMEOUT_S + 1])
    schema_id = world.servers.writers.renew()
    world.note(f"the registry takes {registry.delay_s} s, records have schema {schema_id}")
    await asyncio.sleep(4)
    registry.delay_s = 0.0


@fault("registry")
async def registry_answers_errors(world: World) -> None:
    """The registry answers errors of every kind when records with a new schema come."""
    await world.crew.wait_for_owners()
    statuses = [world.draw.choice([500, 503, 429, 401, 404, 302]) for _ in range(6)]
    world.servers.registry.failures += statuses
    schema_id = world.servers.writers.renew()
    world.note(f"the registry answers {statuses}, records have schema {schema_id}")
    await asyncio.sleep(1)


@fault("registry")
async def registry_loses_a_schema(world: World) -> None:
    """The registry has neither the schema of old records nor, yet, the one of new records."""
    await world.crew.wait_for_owners()
    writers = world.servers.writers
    lost = writers.current
    writers.hide(lost)
    schema_id = writers.renew(is_hidden=True)
    lost_s = world.draw.choice([1, 4, RETRY_S + 5])
    world.note(f"the registry has neither schema {lost} nor {schema_id} for {lost_s} s")
    await world.crew.kill(await world.crew.choose_victim())
    await asyncio.sleep(lost_s)
    writers.show()


@fault("registry")
async def incompatible_schema(world: World) -> None:
    """A producer registers a schema in which a field has another type, and writes with it."""
    await world.crew.wait_for_owners()
    schema_id = world.servers.writers.renew(x="string")
    world.note(f"records have schema {schema_id}, in which x is a text")
    await asyncio.sleep(world.draw.choice([0.5, 2]))
    world.servers.writers.renew()
