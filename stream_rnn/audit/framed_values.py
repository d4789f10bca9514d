"""Predictions that a schema registry's framing precedes: their schema ids, and their text.

The audit compares the bytes behind the frame.  The schema id in the frame belongs to a registry, so
it is no part of the fold; its schema must read the predictions as the bundle's schema does.
"""

from dataclasses import replace

from aiokafka.structs import ConsumerRecord

from stream_rnn.audit.findings import PendingExample
from stream_rnn.audit.published_predictions import PublishedPredictions
from stream_rnn.audit.result import AuditResult
from stream_rnn.errors import DecodeError, UnavailableError
from stream_rnn.formats.open_schemas import open_registry
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.predictions.decoder import PredictionDecoder, as_json
from stream_rnn.settings import FoldSettings


class PublishedSchemas:
    """The schemas by which predictions are read, from a registry that may be away.

    Unlike for a source, an unknown id is an error of the prediction, and nothing waits for it.  A
    registry that does not answer is asked no more: the audit compares what it can without it.

    Args:
        settings: Settings with the registry.

    Attributes:
        schemas: Known schemas; ``None`` if the settings name no registry.
        silence: Why the registry does not answer; empty while it does.

    Raises:
        ConfigError: See :func:`open_registry`.
    """

    def __init__(self, settings: FoldSettings) -> None:
        self._registry, self.silence = open_registry(settings), ""
        self.schemas = None if self._registry is None else Schemas(self)

    def fetch(self, schema_id: str) -> Schema:
        """Return a schema; this may block.

        Raises:
            DecodeError: There is no such schema, or the registry does not answer.
        """
        assert self._registry is not None, "the schemas have a source"
        try:
            if not self.silence:
                return self._registry.fetch(schema_id)
        except UnavailableError as error:
            self.silence = str(error)
        raise DecodeError("unknown_schema", self.silence)


def check_schema_ids(
    result: AuditResult,
    name: str,
    published: PublishedPredictions,
    settings: FoldSettings,
    registry: PublishedSchemas,
) -> None:
    """Report schema ids whose schema does not read the predictions as the bundle's schema does.

    Args:
        result: The result to add to.
        name: Name of the source partition.
        published: Predictions that were read.
        settings: Settings with the id of the schema.
        registry: Schemas of the registry.
    """
    expected, silence = settings.predictions_schema_id, registry.silence
    if undecoded := published.other_folds.undecoded:
        why = silence or "their schemas are not known without their bundle or schema_registry_url"
        result.notes.append(
            f"{name}: the content of {undecoded} predictions of other folds was not checked: {why}"
        )
    unexpected = [one for one in published.schema_ids if one != str(expected)]
    if expected is not None and unexpected:
        result.problems.append(
            f"{name}: predictions name schema id {', '.join(unexpected)}, and predictions_schema_id "
            f"is {expected}: consumers read them by another schema"
        )
    problems, unchecked = _check_content(published, registry)
    result.problems += [f"{name}: {problem}" for problem in problems]
    if unchecked and (registry.schemas is not None or expected is None):
        why = registry.silence or "give the predictions_schema_id of the worker"
        result.notes.append(
            f"{name}: predictions name schema id {', '.join(unchecked)}, which was not checked: {why}"
        )


def _check_content(
    published: PublishedPredictions, registry: PublishedSchemas
) -> tuple[list[str], list[str]]:
    """Return a problem for each id that reads a prediction wrongly, and the ids without a schema."""
    problems: list[str] = []
    if registry.schemas is None:
        return problems, list(published.schema_ids)
    decoder, unchecked = PredictionDecoder(schemas=registry.schemas), []
    for schema_id, value in published.schema_ids.items():
        try:
            is_same = decoder.content(value) == published.decoder.content(value)
            why = "its schema reads them otherwise than the bundle's"
        except DecodeError as error:
            if registry.silence and str(error) == registry.silence:
                unchecked.append(schema_id)
                continue
            is_same, why = False, str(error)
        if not is_same:
            problems.append(f"predictions name schema id {schema_id}: {why}")
    return problems, unchecked


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
