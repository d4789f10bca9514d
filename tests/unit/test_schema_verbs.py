"""``stream-rnn schema``, and what a worker asks a registry for."""

import json
import re
import shutil

import pytest

from stream_rnn.errors import ConfigError, UnavailableError, UnreachableError
from stream_rnn.fold.output_schema import published_wire
from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate.check_output_schema import check_output_schema
from stream_rnn.predictions.subject import open_subject
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire, output_fields, schema_text
from stream_rnn.worker.output_format import find_output_format
from tests.integration.streams import run
from tests.unit.registered_schemas import SUBJECT, settings_of, words


@pytest.fixture(scope="module")
def model(bundle):
    """Return the model of the bundle."""
    return load_bundle(bundle)


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
@pytest.mark.parametrize("hyphen", ["_", "-"])
async def test_show_prints_the_schema_without_a_registry(bundle, model, wire_format, hyphen):
    """It needs only ``bundle.json``; the format may be spelled as names of options are."""
    option = wire_format.replace("_", hyphen)
    out = await run("schema", "show", "--bundle", str(bundle), "--format", option)
    assert out.rstrip() == schema_text(wire_format, output_fields(model.spec.heads)).rstrip()


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_a_schema_is_registered_once(registry, bundle, model, wire_format):
    """A second call prints the same id; a worker finds it, and so does the doctor."""
    hyphened = wire_format.replace("_", "-")
    out = await run("schema", "register", *words(bundle, registry, wire_format=hyphened))
    assert out == f"{SUBJECT}: schema id 7\n"
    again = await run(
        "schema", "register", *words(bundle, registry, "--json", wire_format=wire_format)
    )
    assert json.loads(again) == {"subject": SUBJECT, "schema_id": 7, "registered": False}
    settings = settings_of(bundle, registry, wire_format)
    assert published_wire(settings, model) == Wire(wire_format, 7)
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, finding.said) == ("fine", f"{SUBJECT} has the schema, with id 7")
    assert registry.subjects == {SUBJECT: [7]}


async def test_a_worker_does_not_register_by_itself(registry, bundle, model):
    """The error names subject and command; with the setting, it registers."""
    with pytest.raises(
        ConfigError,
        match=rf"subject {SUBJECT}; run: stream-rnn schema register --predictions delays",
    ):
        await find_output_format(settings_of(bundle, registry), model)
    assert registry.subjects == {}
    settings = settings_of(bundle, registry, schema_auto_register=True)
    assert await find_output_format(settings, model) == Wire("avro", 7)
    assert registry.subjects == {SUBJECT: [7]}


async def test_a_worker_with_an_id_asks_nobody(bundle, model):
    """It needs no registry; without an id and a registry, the error names both settings."""
    settings = settings_of(bundle, predictions_schema_id=9)
    assert await find_output_format(settings, model) == Wire("avro", 9)
    with pytest.raises(ConfigError, match=r"--schema-registry-config, or --predictions-schema-id"):
        await find_output_format(settings_of(bundle), model)
    json_settings = settings_of(bundle, wire_format="json", schema_auto_register=True)
    assert await find_output_format(json_settings, model) == Wire("json")


async def test_a_subject_of_another_format_is_not_compatible(registry, bundle):
    """A registry cannot compare the formats, and says so by status 422."""
    await run("schema", "register", *words(bundle, registry, wire_format="avro"))
    registry.statuses = {"POST /compatibility": (422, 42201)}
    given = words(bundle, registry, wire_format="protobuf")
    assert "not compatible with version 1" in await run("schema", "check", *given, status=1)


async def test_an_id_that_is_served_in_another_format_is_not_registered(registry, bundle, model):
    """A registry without a rule takes the text, and serves it in the format of the subject."""
    await run("schema", "register", *words(bundle, registry, wire_format="avro"))
    registry.stays_in_first_kind = True
    given = words(bundle, registry, wire_format="protobuf")
    for _ in range(2):  # the second call finds the schema
        err = await run("schema", "register", *given, status=3)
        assert "with id 8, but serves this id as AVRO" in err
        assert "publish to another topic, or delete the subject" in err
    for automatic in (True, False):
        settings = settings_of(bundle, registry, "protobuf", schema_auto_register=automatic)
        with pytest.raises(ConfigError, match="serves this id as AVRO"):
            await find_output_format(settings, model)
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, "serves this id as AVRO" in finding.said) == ("bad", True)


async def test_an_id_whose_messages_have_another_order_is_not_registered(registry, bundle, model):
    """A frame names a message by its place, so nobody could read the predictions."""
    text = schema_text("protobuf", output_fields(model.spec.heads))
    first, *others = re.findall(r"^message \w+ \{.*?^\}\n", text, re.DOTALL | re.MULTILINE)
    registry.served = {7: text.replace(first, "") + first}
    assert others
    given = words(bundle, registry, wire_format="protobuf")
    assert "with another meaning" in await run("schema", "register", *given, status=3)


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
async def test_an_id_that_is_served_with_another_meaning_is_not_registered(
    registry, bundle, model, wire_format
):
    """Another text of the same meaning is the schema, a changed type is not."""
    text = schema_text(wire_format, output_fields(model.spec.heads))
    if wire_format == "protobuf":
        same = "// a comment\n" + text.replace("\n", "\n\n")
        other = text.replace("string numerics = 7", "string numerics = 12")
    else:
        same = json.dumps(json.loads(text), indent=2, sort_keys=True)
        other = text.replace('"long"', '"string"').replace('"integer"', '"string"')
    registry.served = {7: same}
    out = await run("schema", "register", *words(bundle, registry, wire_format=wire_format))
    assert out == f"{SUBJECT}: schema id 7\n"
    registry.served = {7: other}
    given = words(bundle, registry, wire_format=wire_format)
    err = await run("schema", "register", *given, status=3)
    assert "serves this id with another meaning" in err


async def test_an_id_that_the_registry_does_not_serve_yet_ends_with_status_4(registry, bundle):
    """Its nodes may lag behind each other, and the next try finds it."""
    registry.statuses = {"GET /schemas/ids/7": (404, 40403)}
    err = await run("schema", "register", *words(bundle, registry), status=4)
    assert "try again once all nodes of the registry know it" in err
    registry.statuses = {}
    assert "registered before" in await run("schema", "register", *words(bundle, registry))


STATUSES = {  # status and code of an answer -> error, part of the remedy
    (401, 40101): (ConfigError, "grant it, or give another login"),
    (403, 40301): (ConfigError, "grant it, or give another login"),
    (302, 302): (UnavailableError, "set schema_registry_url to its final URL"),
    (400, 400): (UnavailableError, "the log of the registry"),
    (404, 404): (UnavailableError, "check the path of schema_registry_url"),
    (404, 40401): (ConfigError, "check the path of schema_registry_url"),
    (405, 405): (UnavailableError, "whether the registry is read-only"),
    (409, 409): (ConfigError, "change the subject's compatibility"),
    (413, 413): (UnavailableError, "raise the limit of a request"),
    (422, 42201): (
        ConfigError,
        "takes the schema for invalid; check whether the registry supports AVRO",
    ),
    (422, 42205): (ConfigError, "to READWRITE"),
    (429, 429): (UnavailableError, "raise the limit of requests"),
    (500, 50001): (UnavailableError, "the log of the registry has the cause"),
    (503, 503): (UnavailableError, "try again later"),
}


CALLS = {  # requests of the methods of a subject
    "register": f"POST /subjects/{SUBJECT}/versions",
    "find": f"POST /subjects/{SUBJECT}",
    "versions": "GET /subjects",
    "incompatible_versions": "POST /compatibility",
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("answer", STATUSES)
def test_every_status_has_a_remedy(registry, bundle, model, answer, method):
    """And the message names the registry, the subject and the status."""
    fields = output_fields(model.spec.heads)
    if method != "register":  # a schema that is there needs no right to write
        open_subject(settings_of(bundle, registry), fields).register()
    registry.statuses = {CALLS[method]: answer}
    subject = open_subject(settings_of(bundle, registry), fields)
    if answer == (404, 40401) and method != "register":
        assert not getattr(subject, method)()
        return
    kind, remedy = STATUSES[answer]
    with pytest.raises(kind) as error:
        getattr(subject, method)()
    for part in (remedy, registry.url, f"subject {SUBJECT}", f"HTTP status {answer[0]}"):
        assert part in str(error.value)


@pytest.mark.parametrize("answer", [(409, 409), (422, 42201), (500, 50001)])
async def test_a_registry_that_cannot_compare_two_formats_is_told_apart(registry, bundle, answer):
    """Its statuses differ; the message names both formats."""
    await run("schema", "register", *words(bundle, registry, wire_format="avro"))
    registry.statuses = {f"POST /subjects/{SUBJECT}": answer, "POST /compatibility": answer}
    given = words(bundle, registry, wire_format="protobuf")
    err = await run("schema", "register", *given, status=3)
    assert "its newest version is AVRO, and the schema PROTOBUF; publish to another topic" in err
    assert "not compatible with version 1" in await run("schema", "check", *given, status=1)


@pytest.mark.parametrize("wrong", ["path", "id", "text"])
async def test_answers_of_something_else_are_no_verdict(registry, bundle, wrong):
    """A wrong path, and an id that no frame can have."""
    await run("schema", "register", *words(bundle, registry))
    if wrong == "path":
        registry.status = 404
    else:
        number = 99_999_999_999 if wrong == "id" else "x"
        registry.ids = dict.fromkeys(registry.ids, number)
        registry.subjects = {SUBJECT: [number]}
    said = await run("schema", "check", *words(bundle, registry), status=4)
    assert "check the path of schema_registry_url" in said


async def test_check_names_the_versions_that_are_not_compatible(registry, bundle, model):
    """It registers nothing, and ``register`` is refused with the remedy."""
    assert "no version yet" in await run("schema", "check", *words(bundle, registry))
    await run("schema", "register", *words(bundle, registry, wire_format="json_schema"))
    assert "compatible with all versions (1)" in await run(
        "schema", "check", *words(bundle, registry)
    )
    registry.incompatible.add(SUBJECT)
    out = await run("schema", "check", *words(bundle, registry), status=1)
    assert "not compatible with version 1" in out
    shown = await run("schema", "check", *words(bundle, registry, "--json"), status=1)
    assert json.loads(shown)["incompatible"] == [1]
    err = await run("schema", "register", *words(bundle, registry), status=3)
    assert "its newest version is JSON, and the schema AVRO" in err
    (finding,) = await check_output_schema(settings_of(bundle, registry), model)
    assert finding.level == "bad"
    assert "not compatible with version 1" in finding.said
    assert registry.subjects == {SUBJECT: [7]}


async def test_a_user_who_may_not_write_is_told_so(registry, bundle, model):
    """Status 3, because a person must grant the right; reading works."""
    registry.statuses = {"POST /subjects/delays-value/versions": (403, 40301)}
    err = await run("schema", "register", *words(bundle, registry), status=3)
    assert f"does not let this user write subject {SUBJECT} (HTTP status 403)" in err
    settings = settings_of(bundle, registry, schema_auto_register=True)
    with pytest.raises(ConfigError, match="does not let this user write"):
        await find_output_format(settings, model)


async def test_a_registry_that_is_away_ends_the_start_with_status_4(registry, bundle, model):
    """The next start tries again; no message has the login."""
    registry.status = 503
    settings = settings_of(bundle, registry)
    with pytest.raises(UnavailableError, match="HTTP status 503"):
        published_wire(settings, model)
    with pytest.raises(UnreachableError, match="the next start of the worker tries again"):
        await find_output_format(settings, model)
    (finding,) = await check_output_schema(settings, model)
    assert (finding.level, finding.remedy) == (
        "bad",
        "start the registry, or correct --schema-registry-url",
    )
    await run("schema", "check", *words(bundle, registry), status=4)


async def test_json_has_no_subject(registry, bundle, tmp_path):
    """The error names the option; a directory without a bundle is named."""
    err = await run("schema", "register", *words(bundle, registry, wire_format="json"), status=3)
    assert "give --predictions-format" in err
    shutil.copy(bundle / "model.safetensors", tmp_path)
    err = await run("schema", "show", "--bundle", str(tmp_path), status=3)
    assert f"no bundle at {tmp_path}" in err
