"""A registry over HTTP: what a fold gets from it, and what happens while it does not serve."""

import io
import json
import re
from functools import partial

import fastavro
import numpy as np
import pytest

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.formats.registry import Registry
from stream_rnn.formats.registry_config import make_registry_config
from stream_rnn.model.event import Event
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.filtered import FilteredRecords
from stream_rnn.replay.no_event import SkipReasons
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import EventCollector
from stream_rnn.training.labels import read_labels
from tests import models
from tests.registry_server import RegistryServer

SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [{"name": "x", "type": "double"}, {"name": "kind", "type": "string"}],
}
GUID = "12345678-90ab-cdef-1234-567890abcdef"


@pytest.fixture
def registry():
    """Run a registry."""
    with RegistryServer({"/schemas/ids/7": {"schema": json.dumps(SCHEMA)}}) as server:
        yield server


def settings_of(server=None, **more):
    """Make settings."""
    url = {"schema_registry_url": server.url} if server else {}
    return Settings.build(app="app", source="events", predictions="out", **url, **more)


def log(as_value, count=150):
    """Make records of five keys."""
    rng = np.random.default_rng(3)
    events = [{"x": float(rng.normal()), "kind": "AB?"[rng.integers(3)]} for _ in range(count)]
    return [
        LogRecord(i, 1_000_000 + i, b"key-%d" % (i % 5), as_value(event))
        for i, event in enumerate(events)
    ]


def as_json(event):
    """Return an event as JSON."""
    return json.dumps(event).encode()


def as_avro(event):
    """Return an event with the schema 7."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), event)
    return b"\0\0\0\0\7" + body.getvalue()


async def replayed(settings, records):
    """Return the values of the predictions of some records."""
    found = []
    batches = in_batches(records)
    await replay_partition(
        models.small("gru", 8), settings, 0, 0, batches, lambda values, _: found.extend(values)
    )
    return [message.value for message in found]


async def test_avro_has_the_predictions_of_json_byte_for_byte(registry):
    """Through the worker's own processor, which asks once."""
    expected = await replayed(settings_of(), log(as_json))
    assert len(expected) == 150
    assert await replayed(settings_of(registry), log(as_avro)) == expected
    assert registry.asked == ["GET /schemas/ids/7"]


async def test_a_fold_waits_while_the_registry_does_not_serve(registry):
    """No record becomes a dead letter because of it."""
    registry.failures += [503, 500, 401]
    expected = await replayed(settings_of(), log(as_json, 20))
    assert await replayed(settings_of(registry), log(as_avro, 20)) == expected
    assert registry.asked == ["GET /schemas/ids/7"] * 4


async def test_a_fold_ends_after_its_deadline(registry):
    """The error names the registry, and a worker exits with status 4."""
    registry.failures += [500] * 100
    settings = settings_of(registry, schema_registry_retry_s=0)
    with pytest.raises(UnavailableError, match=r"registry http://127.*HTTP status 500"):
        await replayed(settings, log(as_avro, 5))


def test_ids_guids_and_references_are_fetched(registry):
    """References of references come first, each once, also in a circle."""
    reference = {"name": "A", "subject": "a", "version": 1}
    other = {"name": "B", "subject": "b", "version": 2}
    registry.schemas |= {
        "/schemas/ids/8": {"schema": "{}", "schemaType": "JSON"},
        f"/schemas/guids/{GUID}": {"schema": '"int"', "references": [reference]},
        "/subjects/a/versions/1": {
            "subject": "a",
            "id": 1,
            "version": 1,
            "schema": "SA",
            "references": [other, reference],
        },
        "/subjects/b/versions/2": {"subject": "b", "id": 2, "version": 2, "schema": "SB"},
    }
    source = Registry(partial(make_registry_config, registry.url), 5)
    assert (source.fetch("7").kind, source.fetch("8").kind) == ("AVRO", "JSON")
    found = source.fetch(GUID.replace("-", ""))
    assert found.references == (("B", "SB"), ("A", "SA"))
    with pytest.raises(DecodeError, match="has no schema with id 9") as unknown:
        source.fetch("9")
    assert unknown.value.code == "unknown_schema"


def test_a_registry_without_guids_does_not_know_one(registry):
    """Apicurio has no API for them; a record with a GUID must not wait for ever."""
    source, guid = Registry(partial(make_registry_config, registry.url), 5), GUID.replace("-", "")
    registry.failures += [404]
    with pytest.raises(DecodeError, match=f"has no schema with id {guid}") as unknown:
        source.fetch(guid)
    assert unknown.value.code == "unknown_schema"
    registry.failures += [404, 500]  # a wrong path, or a registry that is away, is no verdict
    with pytest.raises(UnavailableError):
        source.fetch(guid)


def test_no_message_shows_the_login():
    """A URL may contain a password."""
    source = Registry(partial(make_registry_config, "http://user:secret@127.0.0.1:9"), 0.5)
    with pytest.raises(UnavailableError) as refused:
        source.fetch("7")
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError) as wrong:
        make_registry_config("ftp://user:secret@host")
    assert "secret" not in str(wrong.value)


def test_the_fold_id_contains_whether_a_registry_is_set():
    """But neither its address nor any schema id; without one, ids are as they were."""
    plain = fold_id("f", settings_of())
    ids = {
        fold_id("f", Settings.build(app="a", schema_registry_url=url))
        for url in ("http://one", "http://two")
    }
    assert len(ids) == 1
    assert plain not in ids


def test_labels_and_a_split_column_are_read_from_framed_records(registry, tmp_path):
    """By id, and by a field of the event, as from JSON."""
    path = tmp_path / "labels.jsonl"
    path.write_text('{"kind": "A", "why": "a"}\n{"kind": "B", "why": "b"}')
    head = {
        "name": "why",
        "kind": "multiclass",
        "of": "label",
        "path": "why",
        "classes": ["a", "b"],
    }
    feature = {"name": "x", "kind": "numeric", "path": "x"}
    spec = FeatureSpec.model_validate({"name": "t", "features": [feature], "heads": [head]})
    found = []
    for settings, as_value in ((settings_of(), as_json), (settings_of(registry), as_avro)):
        labels = read_labels(path, "kind", spec)
        builder = EventCollector(spec, settings, labels=labels, split_column="kind")
        builder.add(log(as_value))
        events = builder.events()
        found.append((labels.joined, list(events.split_values)))
    assert found[0] == found[1]
    assert found[0][0] == sum(kind != "?" for kind in found[0][1]) > 0
    assert set(found[0][1]) == {"A", "B", "?"}


async def test_the_reason_why_no_record_is_an_event_shows_the_framed_value(registry):
    """Not that it is missing."""
    feature = {"name": "x", "kind": "numeric", "path": "kind"}
    head = {"name": "y", "kind": "regression", "path": "x"}
    spec = FeatureSpec.model_validate({"name": "t", "features": [feature], "heads": [head]})
    settings = settings_of(registry)
    reasons = SkipReasons(spec, settings)
    records = log(as_avro, 5)
    for row, error in Decoder(spec, settings).decode(records).skips.items():
        reasons.add(records[row], error)
    said = reasons.explain("log", 5, 0, 0)
    assert re.search(r'kind is "[AB?]"', said)
    only = {"only": [{"path": "kind", "in": ["a", "b"]}]}
    spec = spec.model_copy(update={"event": Event.model_validate(only)})
    filtered = FilteredRecords(spec, settings)
    filtered.add(records, range(5), {})
    assert any("kind is" in note for note in filtered.notes(has_events=False))
