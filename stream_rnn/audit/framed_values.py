"""Predictions that a schema registry's framing precedes: their schema ids, and their text.

The audit compares the bytes behind the frame.  The schema id in the frame belongs to a registry, so
it is no part of the fold; its schema must read the predictions as the bundle's schema does.
"""

from collections.abc import Iterator
from dataclasses import replace

from aiokafka.structs import ConsumerRecord

from stream_rnn.audit.findings import PendingExample
from stream_rnn.audit.published_predictions import PublishedPredictions
from stream_rnn.audit.result import AuditResult
from stream_rnn.errors import DecodeError
from stream_rnn.formats.open_schemas import open_published_schemas
from stream_rnn.predictions.decoder import PredictionDecoder, as_json
from stream_rnn.settings import FoldSettings


def check_schema_ids(
    result: AuditResult, name: str, published: PublishedPredictions, settings: FoldSettings
) -> None:
    """Report schema ids whose schema does not read the predictions as the bundle's schema does.

    Args:
        result: The result to add to.
        name: Name of the source partition.
        published: Predictions that were read.
        settings: Settings with the registry.

    Raises:
        UnavailableError: The registry does not answer.
    """
    if undecoded := published.other_folds.undecoded:
        result.notes.append(
            f"{name}: the content of {undecoded} predictions of other folds was not checked: their "
            "schemas are not known without their bundle or schema_registry_url"
        )
    if not published.schema_ids:
        return
    expected, schemas = settings.predictions_schema_id, open_published_schemas(settings)
    unexpected = [one for one in published.schema_ids if one != str(expected)]
    if expected is not None and unexpected:
        result.problems.append(
            f"{name}: predictions name schema id {', '.join(unexpected)}, and predictions_schema_id "
            f"is {expected}: consumers read them by another schema"
        )
    if schemas is not None:
        result.problems += _misread_ids(name, published, PredictionDecoder(schemas=schemas))
    elif expected is None:
        ids = ", ".join(published.schema_ids)
        result.notes.append(
            f"{name}: predictions name schema id {ids}, which was not checked: give the "
            "predictions_schema_id of the worker"
        )


def _misread_ids(
    name: str, published: PublishedPredictions, registry: PredictionDecoder
) -> Iterator[str]:
    for schema_id, value in published.schema_ids.items():
        try:
            is_same = registry.content(value) == published.decoder.content(value)
            why = "its schema reads them otherwise than the bundle's"
        except DecodeError as error:
            is_same, why = False, str(error)
        if not is_same:
            yield f"{name}: predictions name schema id {schema_id}: {why}"


def in_json(
    decoder: PredictionDecoder, example: PendingExample, records: list[ConsumerRecord]
) -> tuple[PendingExample, list[ConsumerRecord]]:
    """Return an example and the records of its predictions with values that people can read."""
    read = [replace(one, value=as_json(one.value, decoder)) for one in records]
    expected = example.expected
    if expected is not None:
        expected = expected._replace(value=as_json(expected.value, decoder))
    replayed, published = (as_json(one, decoder) for one in (example.replayed, example.published))
    return example._replace(expected=expected, replayed=replayed, published=published), read
