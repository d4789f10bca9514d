"""A roll-out of workers whose predictions have a schema, which depends on the heads of a bundle."""

import asyncio
import time

import pytest
from aiohttp import ClientSession

from stream_rnn.operate.dashboard import open_dashboard
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS
from tests import models
from tests.integration.rollout_person import compare
from tests.integration.started_workers import ends, logs, options
from tests.integration.streams import run
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(240)

MORE_HEADS = models.of(
    {
        **models.SPEC,
        "heads": [
            {"name": "small", "kind": "binary", "of": "next", "path": "x", "above": 2.0},
            *models.SPEC["heads"],
        ],
    },
    seed=11,
)


@pytest.fixture
def registry():
    """Run a registry."""
    with RegistryServer() as server:
        yield server


async def register(person, bundle) -> str:
    """Register the schema of a bundle; return what the command says."""
    names = "predictions", "predictions_format", "schema_registry_url"
    words = options(person.stream, *names)
    return await run("schema", "register", *words, f"--bundle={bundle}")


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_a_bundle_with_another_head_is_rolled_out_and_back(wire_format, registry, person_of):
    """Each prediction names the schema of its fold; what both heads have is compared."""
    person = await person_of(
        MORE_HEADS, predictions_format=wire_format, schema_registry_url=registry.url
    )
    stream, (old, new) = person.stream, person.ids
    await register(person, stream.bundle)
    worker = await person.begin()
    refused = await person.verb("start", bundle=person.new_bundle, status=3)
    assert "have no schema that the workers could use" in refused
    assert "run stream-rnn schema register" in refused

    assert "schema id 8" in await register(person, person.new_bundle)
    await person.verb("start", "--wait", bundle=person.new_bundle)
    await person.publish(2, worker)
    (report,) = await person.verb("status", "--compare")
    assert report["comparison"]["heads"].keys() == {"big", "wait", "next"}
    assert report["comparison"]["events"] > 0
    await person.verb("promote", "--wait")
    await person.publish(3, worker)
    await person.verb("promote", "--fold=old", "--wait")
    await person.publish(4, worker)
    await person.verb("promote", "--wait")
    await person.publish(5, worker)
    assert await ids_of(person) == {old: {7}, new: {8}}
    await compare(person, is_exact=True)
    both = await person.audit(stream.bundle, person.new_bundle)
    wrong = ("missing", "duplicated", "different", "unexpected", "not_comparable")
    assert {name: both[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert both["compared"] > 400
    await person.verb("finish")
    wall = time.time  # noqa: TID251  # how late predictions are
    async with (
        open_dashboard(person.settings, [], 0, wall) as page,
        ClientSession() as session,
        session.get(f"{page.address}key?key=a") as answer,
    ):
        shown = (await answer.json())["predictions"]
    assert shown[-1]["outputs"].keys() == {"big", "wait", "next", "small"}


async def test_workers_register_the_schema_of_the_new_bundle_if_they_may(
    registry, person_of, monkeypatch
):
    """As they do with that of their own; the start of the roll-out registers nothing."""
    person = await person_of(
        MORE_HEADS, predictions_format="avro", schema_registry_url=registry.url
    )
    worker = await person.begin({"STREAM_RNN_SCHEMA_AUTO_REGISTER": "true"})
    refused = await person.verb("start", bundle=person.new_bundle, status=3)
    assert "run stream-rnn schema register" in refused
    monkeypatch.setenv("STREAM_RNN_SCHEMA_AUTO_REGISTER", "true")
    await person.verb("start", "--wait", bundle=person.new_bundle)
    await person.verb("promote", "--wait")
    await person.publish(2, worker)
    assert await ids_of(person) == dict(zip(person.ids, ({7}, {8}), strict=True))


async def test_a_registry_that_is_away_holds_up_the_candidate_alone(registry, person_of):
    """The worker says so; the fold in charge goes on."""
    person = await person_of(
        MORE_HEADS, predictions_format="avro", schema_registry_url=registry.url
    )
    for bundle in (person.stream.bundle, person.new_bundle):
        await register(person, bundle)
    worker = person.stream.start("one")
    await person.stream.until_published(worker=worker)
    registry.status = 503
    await person.start()  # not by the verb, which asks the registry, too
    await logs(worker, "the worker tries again within a minute")
    await person.publish(2, worker)


async def test_a_restarted_worker_goes_on_with_another_head_once_the_registry_answers(
    registry, person_of
):
    """Until then, it ends with the status after which it is restarted."""
    person = await person_of(
        MORE_HEADS, predictions_format="protobuf", schema_registry_url=registry.url
    )
    for bundle in (person.stream.bundle, person.new_bundle):
        await register(person, bundle)
    worker = await person.promote_new()
    await person.publish(2, worker)
    worker.kill()
    registry.statuses["GET /schemas/ids/8"] = 503, 0  # which is that of the new bundle alone
    lost = person.stream.start("two")
    assert await ends(lost) == 4
    said = f"the fold {person.ids[1]} is in charge, and this worker cannot load it: the schema reg"
    assert said in lost.log.read_text()
    registry.statuses.clear()
    await person.publish(3, person.stream.start("three"))
    assert await ids_of(person) == dict(zip(person.ids, ({7}, {8}), strict=True))
    await compare(person, is_exact=True, of_new=(1,))
    assert (await person.audit(person.stream.bundle, person.new_bundle))["different"] == 0


async def ids_of(person) -> dict[str, set[int]]:
    """Return the schema ids that the predictions of each fold name."""
    found: dict[str, set[int]] = {}
    for partition in (0, 1):
        for record in await person.stream.outputs(person.settings.predictions, partition):
            fold = dict(record.headers)["sr-fold"].decode()
            found.setdefault(fold, set()).add(int.from_bytes(record.value[1:5], "big"))
    return found


async def test_a_bundle_with_the_same_heads_needs_no_registry(person_of):
    """Its schema has the id that the workers were given; with other heads, the id is not known."""
    person = await person_of(predictions_format="avro", predictions_schema_id=5)
    stream = person.stream
    worker = await person.promote_new()
    await person.publish(2, worker)
    assert await ids_of(person) == {one: {5} for one in person.ids}
    await person.verb("finish")
    assert (await person.audit(stream.bundle, person.new_bundle))["different"] == 0


async def test_a_worker_that_cannot_find_the_schema_says_so(person_of):
    """It goes on with the fold in charge, and a promote is refused."""
    person = await person_of(MORE_HEADS, predictions_format="avro", predictions_schema_id=5)
    worker = await person.begin()
    await person.verb("start", bundle=person.new_bundle)
    why = "another schema than predictions_schema_id 5"
    async with asyncio.timeout(40):
        while why not in (said := await person.verb("promote", "--wait", status=3)):
            assert "has not loaded the bundle" in said
            await asyncio.sleep(0.2)
    await person.publish(2, worker)


async def test_a_roll_out_is_refused_with_another_format_than_the_workers(person_of):
    """It would be another fold."""
    person = await person_of()
    await person.begin()
    person.stream.settings = person.stream.settings.replace(
        predictions_format="protobuf", predictions_schema_id=5
    )
    refused = await person.verb("start", bundle=person.new_bundle, status=3)
    assert "predictions_format json instead of protobuf" in refused
