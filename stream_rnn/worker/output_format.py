"""The format of the predictions of a worker, which it finds out once at its start."""

import asyncio
import logging

from stream_rnn.errors import UnavailableError, UnreachableError
from stream_rnn.fold.output_schema import published_wire
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.settings import FoldSettings

logger = logging.getLogger(__name__)


async def find_output_format(settings: FoldSettings, model: Model) -> Wire:
    """Return the format of the predictions, with the id of their schema.

    Raises:
        ConfigError: The schema is not registered, or a setting is missing.
        UnreachableError: The registry does not answer.
    """
    if settings.predictions_format == "json":
        return Wire("json")
    try:
        wire = await asyncio.to_thread(published_wire, settings, model)
    except UnavailableError as error:
        raise UnreachableError(f"{error}; the next start of the worker tries again") from error
    logger.info("predictions format=%s schema_id=%d", wire.format, wire.schema_id)
    return wire
