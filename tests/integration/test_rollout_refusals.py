"""Every verb of a roll-out with wrong input: a sentence with the remedy, and the right exit status."""

import asyncio
import json
import signal
import sys

import pytest

from stream_rnn.errors import UnavailableError
from stream_rnn.fold.fold_id import store_tag
from stream_rnn.local.processes import free_port
from stream_rnn.model.bundle import save_bundle
from stream_rnn.operate.rollout_requests import promote
from stream_rnn.operate.rollout_status import open_rollout
from stream_rnn.store.redis_store import RedisStore
from tests import models
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import run

pytestmark = pytest.mark.timeout(300)
VERBS = ("start", "status", "promote", "finish", "abandon")


async def begun(person_of, **settings):
    """Return a person whose worker has published and reported."""
    person = await person_of(**settings)
    person.worker = await person.begin()
    return person


def refused(said: str) -> str:
    """Return what a verb said on standard error: one line of the program, and no traceback."""
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1, said
    assert lines[0].startswith("stream-rnn: ")
    return lines[0]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_server_that_does_not_answer_is_named(verb, person_of):
    """With status 4: trying again may help."""
    person = await person_of()
    place = options(person.stream, *PLACE)
    for option, name, status in (
        (f"--redis-url=redis://127.0.0.1:{free_port()}/0", "Redis", 4),
        (f"--bootstrap-servers=127.0.0.1:{free_port()}", "Kafka", 4),
    ):
        words = "rollout", verb, *place, option, "--kafka-timeout-s=2", "--redis-timeout-s=1"
        said = refused(await run(*words, "--json", status=status))
        assert name in said
        assert "127.0.0.1" in said


@pytest.mark.parametrize("verb", VERBS)
async def test_another_source_or_app_is_named(verb, person_of):
    """Nothing is written under a name that no worker has."""
    person = await begun(person_of)
    place = options(person.stream, *PLACE)
    said = await run("rollout", verb, *place, "--source=absent", "--json", status=3)
    assert "the source topic absent does not exist; check --source" in refused(said)
    strange = "rollout", verb, *place, "--app=absent-app", "--json"
    if verb == "status":
        assert json.loads(await run(*strange, status=1))["plan"] is None
    else:
        said = refused(await run(*strange, status=3))
        remedy = {
            "start": "no worker of app absent-app runs",
            "abandon": "there is nothing to abandon",
        }
        assert remedy.get(verb, "check that --app, --source and --redis-url are those") in said
    assert await person.redis.keys("*absent*") == []


async def test_steps_out_of_order_are_refused_or_wait(person_of, tmp_path):
    """A third bundle, a promote that is repeated, and a finish while one is pending."""
    person = await begun(person_of)
    old, new = person.ids
    await person.verb("start", "--wait", bundle=person.new_bundle)
    save_bundle(models.small("gru", seed=12), tmp_path / "third")
    said = refused(await person.verb("start", bundle=tmp_path / "third", status=3))
    assert f"a roll-out of the folds {old} and {new} is open: finish it" in said
    for text in ("0,x", "-1", "", "99999999999"):
        said = await person.verb("promote", f"--partitions={text}", status=2)
        assert "is no list of partitions, such as 0,1" in said
    await person.verb("promote", "--wait")
    again = await person.verb("promote", "--wait")  # of the fold in charge: it only takes a number
    assert [(one["fold_id"], one["number"], one["done"]) for one in again] == [(new, 2, True)] * 2
    async with open_rollout(person.settings) as rollout:
        seen = plan = (await rollout.status()).require_plan()
        for partition in (0, 1):
            origin = (await person.stored(0, partition)).origin
            known = await person.known(partition)
            plan = plan.with_request("promote", partition, old, known, (origin or 0) + 7)
        assert await rollout.plans.write(seen, plan)  # of an origin that no worker has
    said = refused(await person.verb("finish", status=3))
    assert f"the request to promote fold {old} is pending; wait for it, or cancel it by" in said
    (late, _) = await person.verb("promote", "--fold=old", "--wait", "--within=20")
    assert (late["number"], late["done"]) == (4, True)


async def test_a_start_with_other_settings_than_the_workers_is_refused(person_of):
    """Its fold would have an id that no worker makes; the setting is named, and nothing is begun."""
    person = await begun(person_of)
    said = refused(await person.verb("start", "--state-ttl=77", bundle=person.new_bundle, status=3))
    assert "has state_ttl None instead of 77.0, so it cannot run the fold" in said
    assert await person.plans.read() is None
    await person.verb("start", "--wait", bundle=person.new_bundle)
    said = refused(await person.verb("start", "--state-ttl=77", bundle=person.new_bundle, status=3))
    assert "give the command the settings of the workers" in said


async def test_of_two_persons_one_is_refused(person_of):
    """Both have seen the same plan; the second looks at the status, and tries again."""
    person = await begun(person_of)
    await person.verb("start", "--wait", bundle=person.new_bundle)

    async def promoted() -> str:
        async with open_rollout(person.settings) as rollout:
            try:
                await promote(rollout)
            except UnavailableError as error:
                return f"{type(error).__name__}: {error}"
        return "requested"

    said = await asyncio.gather(*(promoted() for _ in range(4)))
    assert "requested" in said
    refusal = "UnavailableError: another process has changed the plan meanwhile: look at the status"
    assert all(one == "requested" or one.startswith(refusal) for one in said)


async def test_ctrl_c_ends_a_wait_and_the_request_stands(person_of):
    """With status 130, at once, and without a traceback."""
    person = await begun(person_of)
    await person.verb("start", "--wait", bundle=person.new_bundle)
    settings = person.settings
    for partition in (0, 1):  # another origin than the worker has in memory, so it cannot promote
        tag = store_tag(settings.app, settings.source, partition, person.ids[1])
        await person.redis.hset(RedisStore(person.redis, tag, 5).position_key, "origin", 7)
    seen = plan = await person.plans.read()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream_rnn.cli", "rollout", "promote", "--wait", "--json"),
        *options(person.stream, *PLACE),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        while plan == seen and process.returncode is None:
            plan = await person.plans.read()
            await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 130, (out, err)
    assert b"Traceback" not in err
    assert {request.origin for request in plan.requests.values()} == {7}
