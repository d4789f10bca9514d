"""The audit of predictions in every format: it compares the bytes behind the frame."""

import pytest

from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.predictions.decoder import body_of
from stream_rnn.predictions.wire_schema import (
    FRAMED_FORMATS,
    REGISTRY_KINDS,
    Wire,
    output_fields,
    schema_text,
)
from tests import models
from tests.audited import faults, records_of, settings_of
from tests.memory_topics import Folded, fold
from tests.registry_server import RegistryServer

ID = 7


@pytest.fixture(scope="module", params=FRAMED_FORMATS)
def wire_format(request):
    """Return a format."""
    return request.param


@pytest.fixture
async def made(model, wire_format):
    """Return what a worker has made in a format."""
    settings = settings_of(predictions_format=wire_format)
    log = await fold(model, settings, records_of(), sizes=[20] * 12, wire=Wire(wire_format, ID))
    return Folded(model, settings, log)


def with_value(made, at, value):
    """Replace the value of a prediction."""
    made.predictions[at] = made.predictions[at]._replace(value=value)


async def test_nothing_is_found_where_nothing_is_wrong(made):
    """Without a registry, the note says that the schema id was not checked."""
    result = await made.audit()
    assert faults(result) == {}
    assert result.counts["compared"] == len(made.predictions)
    assert result.problems == []
    assert [note for note in result.notes if f"schema id {ID}, which was not checked" in note]
    assert (await made.audit(predictions_schema_id=ID)).notes == []


async def test_one_byte_that_differs_is_found_and_shown_as_json(made):
    """Of the last byte, which is ``cold`` or the end of the object, and of one in the middle."""
    value = made.predictions[40].value
    for at in (-1, len(value) // 2):
        spoilt = bytearray(value)
        spoilt[at] ^= 1
        with_value(made, 40, bytes(spoilt))
        result = await made.audit(predictions_schema_id=ID)
        assert faults(result) == {"different": 1}
        (finding,) = result.examples
        assert '{"format":1,' in finding.replayed


async def test_a_prediction_without_its_frame_is_different(made, wire_format):
    """Consumers cannot read it; only JSON is the same object with and without a frame."""
    if wire_format == "json_schema":
        pytest.skip("the bytes behind the frame of JSON Schema are JSON")
    with_value(made, 40, body_of(made.predictions[40].value))
    assert faults(await made.audit(predictions_schema_id=ID)) == {"different": 1}


async def test_an_output_of_other_numerics_is_compared_by_value(made):
    """As in JSON."""
    for at in range(40, 60):
        message = made.predictions[at]
        numerics = made.model.numerics().encode()
        with_value(made, at, message.value.replace(numerics, b"deadbeef"))
    result = await made.audit(predictions_schema_id=ID)
    assert faults(result) == {}
    assert result.other_numerics >= 20


async def test_another_schema_id_than_the_setting_is_a_problem(made):
    """Consumers read these predictions by another schema."""
    result = await made.audit(predictions_schema_id=8)
    assert faults(result) == {}
    (problem,) = result.problems
    assert "name schema id 7, and predictions_schema_id is 8" in problem


async def test_the_registry_is_asked_whether_its_schema_reads_them(model, wire_format):
    """A registry that was restored with other ids gives another schema for the id."""
    fields = output_fields(model.spec.heads)
    kind, text = REGISTRY_KINDS[wire_format], schema_text(wire_format, fields)
    with RegistryServer() as registry, RegistryServer() as other:
        settings = settings_of(predictions_format=wire_format, schema_registry_url=registry.url)
        wire = Wire(wire_format, ID)
        made = Folded(model, settings, await fold(model, settings, records_of(), wire=wire))
        registry.ids[kind, text] = ID
        right = await made.audit()
        assert (right.problems, right.notes) == ([], [])
        url = settings_of(schema_registry_url=other.url).schema_registry_url
        wrong = await made.audit(schema_registry_url=url)
    if wire_format == "json_schema":
        return  # every JSON Schema reads JSON
    (problem,) = wrong.problems
    assert "schema id 7: the schema registry" in problem


async def test_a_registry_that_is_away_costs_the_check_of_the_id_alone(model, wire_format):
    """All else is compared, and the registry is asked once, also for predictions of other folds."""
    kind = REGISTRY_KINDS[wire_format]
    with RegistryServer() as registry:
        registry.status = 503
        settings = settings_of(predictions_format=wire_format, schema_registry_url=registry.url)
        wire = Wire(wire_format, ID)
        made = Folded(model, settings, await fold(model, settings, records_of(), wire=wire))
        result = await made.audit()
        newer = with_fingerprint(models.small("lstm"))
        other = await made.audit(model=newer)
        asked = list(registry.asked)
    assert (result.problems, result.counts["compared"]) == ([], len(made.predictions))
    assert other.counts["compared"] == 0
    if kind == "JSON":
        assert (result.notes, asked) == ([], [])
        return
    assert [note for note in result.notes if "not checked: the schema registry" in note]
    assert [note for note in other.notes if "of other folds was not checked: the schema" in note]
    assert len(asked) == 2


async def test_a_change_of_the_format_is_another_fold(model, wire_format):
    """Predictions in JSON before it are of another fold, whose own fields are checked."""
    before, after = settings_of(), settings_of(predictions_format=wire_format)
    records = records_of()
    log = await fold(model, before, records[:100])
    count = len(log.predictions)
    log.records.extend(records[100:])
    log = await fold(model, after, records, log=log, wire=Wire(wire_format, ID))
    made = Folded(model, after, log)
    result = await made.audit(predictions_schema_id=ID)
    assert (faults(result), result.other_folds) == ({}, count)
    assert result.counts["compared"] == len(made.predictions) - count
    in_json = await made.audit(predictions_format="json", predictions_schema_id=None)
    assert (faults(in_json), in_json.other_folds) == ({}, len(made.predictions) - count)
    assert in_json.counts["compared"] == count


async def test_a_prediction_of_an_unknown_schema_is_compared_by_its_headers(model, wire_format):
    """Another bundle made it, and there is no registry: a note says so."""
    other = with_fingerprint(models.small("lstm"))
    before, after = settings_of(predictions_format=wire_format), settings_of()
    records = records_of()
    log = await fold(other, before, records[:100], wire=Wire(wire_format, ID))
    log.records.extend(records[100:])
    made = Folded(model, after, await fold(model, after, records, log=log))
    result = await made.audit()
    assert faults(result) == {}
    unknown = [note for note in result.notes if "their schemas are not known" in note]
    assert len(unknown) == (wire_format != "json_schema")  # its bytes are JSON
