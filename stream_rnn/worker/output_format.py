"""The format of the predictions of a worker's folds, found out when their bundles are loaded."""

import asyncio
import logging
from typing import NamedTuple

from stream_rnn.errors import ConfigError, UnavailableError, UnreachableError
from stream_rnn.fold.output_schema import published_wire
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire, output_fields, schema_text
from stream_rnn.predictions.writer import JSON
from stream_rnn.rollout.worker_report import REPORT_EXPIRES_S
from stream_rnn.settings import FoldSettings

logger = logging.getLogger(__name__)


class WiredModel(NamedTuple):
    """A model with the format in which its predictions are published.

    Attributes:
        model: The model.
        wire: The format, with the id of the model's schema.
    """

    model: Model
    wire: Wire


BESIDE_WITHIN_S = REPORT_EXPIRES_S / 2  # the worker reports, and reads the plan again, only then


async def find_output_format(settings: FoldSettings, model: Model) -> Wire:
    """Return the format of the predictions, with the id of their schema.

    Raises:
        ConfigError: The schema is not registered, or a setting is missing.
        UnreachableError: The registry does not answer.
    """
    if settings.predictions_format == "json":
        return JSON
    try:
        wire = await asyncio.to_thread(published_wire, settings, model)
    except UnavailableError as error:
        raise UnreachableError(f"{error}; the next start of the worker tries again") from error
    logger.info("predictions format=%s schema_id=%d", wire.format, wire.schema_id)
    return wire


async def find_format_beside(settings: FoldSettings, own: WiredModel, model: Model) -> Wire:
    """Return the format of the predictions of another bundle than the worker's own.

    A schema depends on the heads alone, so a bundle with the same heads has the same schema.

    Args:
        settings: Settings of the worker.
        own: Model of the worker's own bundle, with the format of its predictions.
        model: The other model.

    Raises:
        ConfigError: The schema is not registered, or its id cannot be found out.
        UnreachableError: The registry does not answer, or not all requests within 15 s.
    """
    if own.wire.format == "json":
        return own.wire
    heads = own.model.spec.heads, model.spec.heads
    if len({schema_text(own.wire.format, output_fields(one)) for one in heads}) == 1:
        return own.wire
    if settings.predictions_schema_id is not None:
        raise ConfigError(
            f"its heads are not those of the worker's own bundle, so its predictions have another "
            f"schema than predictions_schema_id {settings.predictions_schema_id}: give the workers "
            "--schema-registry-url without --predictions-schema-id, and restart them one by one"
        )
    answer_s = min(settings.schema_registry_timeout_s, BESIDE_WITHIN_S)  # nothing ends a thread
    # This process has no directory of the bundle.
    asked = settings.replace(bundle="NEW", schema_registry_timeout_s=answer_s)
    try:
        async with asyncio.timeout(BESIDE_WITHIN_S):
            return await asyncio.to_thread(published_wire, asked, model)
    except TimeoutError as error:
        raise UnreachableError(
            "the schema registry has not answered about the schema of the predictions within "
            f"{BESIDE_WITHIN_S:g} s; check that it runs, and schema_registry_url"
        ) from error
    except UnavailableError as error:
        raise UnreachableError(str(error)) from error
