"""The doctor's check of the schema of predictions at the schema registry."""

import asyncio
from typing import TYPE_CHECKING

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.model.network import Model
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.predictions.subject import open_subject
from stream_rnn.predictions.wire_schema import output_fields
from stream_rnn.settings import FoldSettings

if TYPE_CHECKING:
    from stream_rnn.formats.subjects import Subject

WHAT = "predictions schema"


async def check_output_schema(settings: FoldSettings, model: Model) -> list[Finding]:
    """Check whether a worker would find the id of its schema; nothing for predictions in JSON.

    Registers nothing.  If a worker would register the schema, it is asked whether this user may.
    """
    if settings.predictions_format == "json":
        return []
    try:
        return [await asyncio.to_thread(_check, settings, model)]
    except UnavailableError as error:
        return [bad(WHAT, str(error), "start the registry, or correct --schema-registry-url")]
    except ConfigError as error:
        detail, _, remedy = str(error).partition("; ")
        return [bad(WHAT, detail, remedy or "do what the message says")]


def _check(settings: FoldSettings, model: Model) -> Finding:
    given = settings.predictions_schema_id
    if settings.schema_registry_url is not None or settings.schema_registry_config is not None:
        subject = open_subject(settings, output_fields(model.spec.heads))
        return _compare(subject, subject.find(), settings)
    if given is not None:
        return fine(WHAT, f"schema id {given} is set; without a registry, it is not checked")
    detail = f"predictions_format {settings.predictions_format} needs the id of a schema"
    return bad(WHAT, detail, "give --schema-registry-url, or --predictions-schema-id")


def _compare(subject: "Subject", schema_id: int | None, settings: FoldSettings) -> Finding:
    """Compare what the settings say with what the registry has."""
    given = settings.predictions_schema_id
    if given not in (None, schema_id):
        found = "not at all" if schema_id is None else f"with id {schema_id}"
        detail = f"predictions_schema_id is {given}, and {subject.name} has the schema {found}"
        return bad(WHAT, detail, "correct --predictions-schema-id, or omit it")
    if schema_id is not None:
        return fine(WHAT, f"{subject.name} has the schema, with id {schema_id}")
    if incompatible := subject.incompatible_versions():
        versions = ", ".join(map(str, incompatible))
        detail = f"the schema is not compatible with version {versions} of {subject.name}"
        remedy = "publish to another topic, or change the compatibility of the subject"
        return bad(WHAT, detail, remedy)
    detail = f"{subject.name} does not have the schema, which is compatible with its versions"
    if settings.schema_auto_register:
        if subject.may_register():
            return fine(WHAT, f"{detail}; a worker registers it at its start")
        detail += "; the registry does not say whether this user may register it"
        return warning(WHAT, detail, "run stream-rnn schema register before a worker starts")
    return bad(WHAT, detail, "run stream-rnn schema register")
