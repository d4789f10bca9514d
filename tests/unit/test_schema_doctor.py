"""What the doctor asks a registry about the schema of predictions."""

import pytest

from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate.check_output_schema import check_output_schema
from tests.integration.streams import run
from tests.unit.registered_schemas import SUBJECT, settings_of, words


@pytest.fixture(scope="module")
def model(bundle):
    """Return the model of the bundle."""
    return load_bundle(bundle)


async def test_the_doctor_asks_whether_a_worker_may_register(registry, bundle, model):
    """Nothing is registered: the question has a text that is no schema."""
    settings = settings_of(bundle, registry, schema_auto_register=True)
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, "a worker registers it at its start" in finding.said) == ("fine", True)
    asked = f"POST /subjects/{SUBJECT}/versions"
    for status, code, expected in ((403, 40301, "write subject"), (422, 42205, "READWRITE")):
        registry.statuses = {asked: (status, code)}
        (finding,) = await check_output_schema(settings, model)
        assert finding.level == "bad"
        assert expected in f"{finding.said}; {finding.remedy}"
    registry.statuses = {}
    registry.mode = "READONLY"
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, "has mode READONLY for subject" in finding.said) == ("bad", True)
    assert "READWRITE" in finding.remedy
    registry.mode = "READWRITE"
    registry.statuses = {"GET /mode": (403, 40301)}
    (finding,) = await check_output_schema(settings, model)
    assert finding.level == "fine", "reading the mode may need another right"
    registry.statuses = {asked: (503, 503)}
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, "HTTP status 503" in finding.said) == ("bad", True)
    registry.statuses = {asked: (404, 404)}
    (finding,) = await check_output_schema(settings, model)
    assert finding.level == "warning"
    assert "does not say whether this user may register it" in finding.said
    assert registry.subjects == {}
    registry.statuses = {}
    before = len(registry.asked)
    await check_output_schema(settings_of(bundle, registry), model)
    assert asked not in registry.asked[before:], "who registers by hand is asked nothing"


async def test_the_doctor_compares_the_id_of_the_setting(registry, bundle, model):
    """Another id at the registry is a problem; predictions in JSON have no finding."""
    await run("schema", "register", *words(bundle, registry))
    (finding,) = await check_output_schema(
        settings_of(bundle, registry, predictions_schema_id=9), model
    )
    assert (finding.level, "with id 7" in finding.said) == ("bad", True)
    (finding,) = await check_output_schema(settings_of(bundle, predictions_schema_id=9), model)
    assert (finding.level, "not checked" in finding.said) == ("fine", True)
    (finding,) = await check_output_schema(settings_of(bundle), model)
    assert finding.level == "bad"
    assert await check_output_schema(settings_of(bundle, wire_format="json"), model) == []
