"""The format of the predictions of a bundle that is rolled out beside the worker's own."""

import pytest

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire
from stream_rnn.settings import Settings
from stream_rnn.worker import output_format
from stream_rnn.worker.output_format import WiredModel, find_format_beside
from tests import models
from tests.registry_server import RegistryServer

HEADS = models.SPEC["heads"]
REORDERED = models.of({**models.SPEC, "heads": HEADS[::-1]}, seed=3)
FEWER = models.of({**models.SPEC, "heads": HEADS[1:]}, seed=3)
ALIKE = models.of(
    {**models.SPEC, "heads": [{**HEADS[0], "name": "a_b"}, {**HEADS[0], "name": "a-b"}]}
)
"""No schema can have both names, but JSON can."""


def settings(wire_format, **more):
    """Return settings of a worker."""
    return Settings.build(
        app="a",
        source="s",
        predictions="p",
        bundle="old",
        predictions_format=wire_format,
        **more,
    ).of_fold()


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_bundles_with_the_same_heads_share_the_id(wire_format):
    """In any order, and without a registry; with other heads, the id cannot be found out."""
    given, own = settings(wire_format, predictions_schema_id=5), models.small()
    wire = Wire(wire_format, 5)
    assert await find_format_beside(given, WiredModel(own, wire), REORDERED) == wire
    with pytest.raises(ConfigError, match=r"predictions_schema_id 5: .* --schema-registry-url"):
        await find_format_beside(given, WiredModel(own, wire), FEWER)


async def test_json_needs_no_schema():
    """Not even one that could be made."""
    wire = Wire("json")
    assert (
        await find_format_beside(settings("json"), WiredModel(models.small(), wire), ALIKE) == wire
    )


async def test_the_registry_is_asked_for_another_schema():
    """A silent one is asked again later; what to register is the new bundle, not the worker's."""
    with RegistryServer() as registry:
        given = settings("avro", schema_registry_url=registry.url)
        made = given, WiredModel(models.small(), Wire("avro", 5)), FEWER
        with pytest.raises(ConfigError, match="--bundle NEW"):
            await find_format_beside(*made)
        registering = given.replace(schema_auto_register=True)
        assert await find_format_beside(registering, *made[1:]) == Wire("avro", 7)
        assert await find_format_beside(*made) == Wire("avro", 7)
        for mode, statuses in (("READONLY", {}), ("READWRITE", {"POST /subjects/p-value/versions": (403, 40301)})):  # fmt: skip
            registry.mode, registry.statuses = (
                mode,
                statuses,
            )  # what is there needs no right to write
            assert await find_format_beside(registering, *made[1:]) == Wire("avro", 7)
        registry.status = 503
        with pytest.raises(UnreachableError, match="503"):
            await find_format_beside(*made)


async def test_a_registry_that_answers_slowly_holds_up_no_report(monkeypatch):
    """Each answer has a deadline, and so have all together: a look at the plan waits for them."""
    monkeypatch.setattr(output_format, "BESIDE_WITHIN_S", 1.0)
    with RegistryServer() as registry:
        given = settings("avro", schema_registry_url=registry.url, schema_auto_register=True)
        own = WiredModel(models.small(), Wire("avro", 5))
        assert await find_format_beside(given, own, FEWER) == Wire("avro", 7)
        registry.delay_s = 0.7
        with pytest.raises(UnreachableError, match=r"within 1 s"):
            await find_format_beside(given, own, FEWER)
