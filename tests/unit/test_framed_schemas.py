"""Where a decoder gets the schemas of framed records, and what it does without one."""

import json

import pytest

from stream_rnn.errors import UnavailableError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.framed import SchemasNeededError
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from tests.unit.framed_records import (
    LATER,
    SPEC,
    as_avro,
    as_later,
    decoder,
    records,
    settings,
    shelf,
)


def test_without_a_registry_a_framed_record_is_no_event():
    """The dead letter names the schema id and the setting."""
    spec = FeatureSpec.model_validate(SPEC)
    (error,) = Decoder(spec, settings()).decode(records([as_avro(1)])).skips.values()
    assert error.code == "framed"
    assert "schema id 7" in str(error)
    assert "schema_registry_url" in str(error)


def test_an_id_is_asked_for_once_and_what_it_stands_for_stays():
    """An id without a schema has none for this fold, even if one is registered later."""
    source = shelf()
    reader = Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=Schemas(source))
    for _ in range(3):
        found = reader.decode(records([as_avro(1), b"\0\0\0\0\x63body"]))
        source.schemas["99"] = Schema("AVRO", json.dumps(LATER))
        assert [error.code for error in found.skips.values()] == ["unknown_schema"]
    assert source.asked == ["7", "99"]


def test_an_unknown_id_makes_no_dead_letter_if_the_fold_is_to_stop():
    """The message names the id and every remedy; a schema that comes later is used."""
    source = shelf()
    schemas = Schemas(source, stops_at_unknown=True)
    reader = Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=schemas)
    values = records([b"\0\0\0\0\x63" + as_later(1)[5:]])
    with pytest.raises(UnavailableError, match=r"id 99; register .*--schemas.* dead_letter"):
        reader.decode(values)
    source.schemas["99"] = Schema("AVRO", json.dumps(LATER))
    assert not reader.decode(values).skips


def test_a_worker_fetches_schemas_outside_of_decode():
    """It gets the ids that it needs, and decodes again."""
    reader = decoder(fetches=False)
    values = records([as_avro(1), as_later(2), as_avro(3)])
    with pytest.raises(SchemasNeededError) as needed:
        reader.decode(values)
    assert sorted(needed.value.schema_ids) == ["7", "8"]
    for schema_id in needed.value.schema_ids:
        reader.schemas.fetch(schema_id)
    assert len(reader.decode(values).rows) == 3


def test_a_registry_that_is_away_makes_no_dead_letters():
    """The error goes to the caller, who tries again."""
    source = shelf()
    source.is_away = True
    with pytest.raises(UnavailableError):
        decoder(source).decode(records([as_avro(1)]))
